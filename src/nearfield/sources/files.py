"""Open a file, whatever it is: CSV, JSON lines, a JSON list or Parquet, packed or not, on disk or on standard input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from nearfield.domain.errors import InvalidFile
from nearfield.protocols.source import Told
from nearfield.sources.csv_file import read_csv
from nearfield.sources.json_file import BOM, read_json
from nearfield.sources.origin import Origin
from nearfield.sources.parquet_file import MAGIC, read_parquet, told_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.domain.documents import Rejection
    from nearfield.protocols.source import Source, SourceRow

Format = Literal["csv", "tsv", "json", "parquet"]

FORMATS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
STDIN: Final = "-"


def open_source(path: str | Path) -> Source:
    """A source over a file; `-` is standard input.

    The extension says the format (before `.gz`); a stream, and a file called only `.gz`, is told by its first
    character. Gzip is told by its first two bytes, whatever the name. Nothing is read yet.
    Raises InvalidFile, with what to do, for a path that is not there, a folder, an empty file, an unknown extension.
    """
    if str(path) == STDIN:
        return FileSource(Origin(None), None)
    where = Path(path)
    origin = Origin(where)
    return FileSource(origin, _format(where) if origin.is_file else None)


class FileSource:
    """Rows of one file. A file on disk can be read again from the start, a stream only once."""

    def __init__(self, origin: Origin, format: Format | None) -> None:
        self._origin = origin
        self._format = format

    @property
    def name(self) -> str:
        return self._origin.name

    @property
    def size(self) -> int | None:
        return self._origin.size

    @property
    def position(self) -> int:
        return self._origin.position

    def told(self) -> Told:
        """What a Parquet file that `export` wrote holds in its metadata; nothing for any other file."""
        path = self._origin.path
        if path is None or self._format != "parquet" or path.suffix == ".gz":
            return Told()
        return told_by(path)

    def rows(self) -> Iterator[SourceRow | Rejection]:
        origin = self._origin
        with origin.open() as stream:
            head = stream.peek()
            if not head:
                raise InvalidFile(f"{_called(origin)} is empty; expected rows to read")
            match self._format or _sniffed(head):
                case "json":
                    yield from read_json(stream, origin.name)
                case "parquet":
                    yield from read_parquet(stream, origin)
                case "tsv":
                    yield from read_csv(stream, origin.name, delimiter="\t")
                case "csv":
                    yield from read_csv(stream, origin.name)


def _called(origin: Origin) -> str:
    return "standard input" if origin.path is None else f"file {origin.name}"


def _format(path: Path) -> Format | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
        if not suffixes:
            return None
    if suffixes and suffixes[-1] in FORMATS:
        return FORMATS[suffixes[-1]]
    given = f"extension {suffixes[-1]!r}" if suffixes else "no extension"
    raise InvalidFile(
        f"file {path} has {given}; expected one of {', '.join(FORMATS)}, each also with .gz "
        "(or pass it as standard input: `-`)"
    )


def _sniffed(head: bytes) -> Format:
    if head.startswith(MAGIC):
        return "parquet"
    return "json" if head.removeprefix(BOM).lstrip()[:1] in (b"{", b"[") else "csv"
