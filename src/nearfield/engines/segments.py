"""Rows on disk as a list of segments, each the rows written and deleted between two flushes.

A segment is one `.npz` of plain arrays (nothing in it is ever executed); rows and texts travel in it as JSON lines.
`segments.json` names the segments that count and is replaced atomically, so a crash leaves the old list or the new.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import IndexDamaged
from nearfield.domain.filters import GeoPoint
from nearfield.domain.schema import FieldType
from nearfield.engines.durable import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.filters import FieldValue, Row

LIST_FILE: Final = "segments.json"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """deleted: int64 keys that are gone. keys, rows, texts: what was put, row by row. No key in both.

    arrays: what else there is of what was put, such as its vectors: by name, each with a line per key.
    """

    deleted: Int64Array
    keys: Int64Array
    arrays: Mapping[str, np.ndarray[Any, Any]]
    rows: Sequence[Row]
    texts: Sequence[str]


class SegmentFiles:
    """The segments of one index. Every method blocks; OSError passes through.

    arrays: names of the arrays that each segment holds. beside: what else counts, files that change with the rows,
    say; any JSON object. It stands in the list of segments, so that both change at once.
    """

    def __init__(self, folder: Path, fields: Mapping[str, FieldType], *, arrays: Sequence[str]) -> None:
        self._folder = folder
        self._fields = fields
        self._arrays = arrays
        self._names: list[str] = []
        self._next = 1
        self.beside: Mapping[str, Any] = {}

    @property
    def count(self) -> int:
        """Segments that count."""
        return len(self._names)

    def load(self) -> Iterator[Segment]:
        """Every segment, oldest first. Raises IndexDamaged for files that are missing or not as they were written."""
        path = self._folder / LIST_FILE
        if not path.exists():
            return
        try:
            listed = json.loads(path.read_bytes())
            self._names, self._next = [str(name) for name in listed["segments"]], int(listed["next"])
            self.beside = dict(listed.get("beside", {}))
        except (ValueError, KeyError, TypeError) as exc:
            raise IndexDamaged(f"{LIST_FILE} of index {self._folder.name!r} cannot be read; rebuild it") from exc
        for name in self._names:
            yield self._read(name)

    def append(self, segment: Segment | None, *, beside: Mapping[str, Any] | None = None) -> None:
        """Add a segment, durably. beside: in place of what stood there, if anything else."""
        added = [] if segment is None else [self._write(segment)]
        self._commit([*self._names, *added], self.beside if beside is None else beside)

    def replace(self, segment: Segment, *, beside: Mapping[str, Any] | None = None) -> None:
        """Put one segment in place of all, durably."""
        self._commit([self._write(segment)], self.beside if beside is None else beside)

    def _commit(self, names: list[str], beside: Mapping[str, Any]) -> None:
        dropped = set(self._names) - set(names)
        listed = {"segments": names, "next": self._next + 1, **({"beside": beside} if beside else {})}
        write_atomically(self._folder / LIST_FILE, json.dumps(listed).encode())
        self._names, self._next, self.beside = names, self._next + 1, beside
        for name in dropped:
            (self._folder / name).unlink(missing_ok=True)

    def _write(self, segment: Segment) -> str:
        lines = "\n".join(
            json.dumps([row, text]) for row, text in zip(segment.rows, segment.texts, strict=True)
        ).encode()
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: segment.arrays[name] for name in self._arrays}
        arrays |= {"deleted": segment.deleted, "keys": segment.keys, "lines": np.frombuffer(lines, np.uint8)}
        np.savez(content, **arrays)
        name = f"{self._next:08d}.npz"
        write_atomically(self._folder / name, content.getvalue())
        return name

    def _read(self, name: str) -> Segment:
        try:
            with (self._folder / name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                lines = arrays["lines"].tobytes().decode().split("\n")
                pairs = [json.loads(line) for line in lines if line]
                segment = Segment(
                    arrays["deleted"].astype(np.int64),
                    arrays["keys"].astype(np.int64),
                    {name: arrays[name] for name in self._arrays},
                    [self._row(row) for row, _ in pairs],
                    [text for _, text in pairs],
                )
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as exc:
            raise IndexDamaged(f"segment {name} of index {self._folder.name!r} cannot be read; rebuild it") from exc
        lines_of = {len(segment.keys), len(segment.rows), *map(len, segment.arrays.values())}
        if len(lines_of) > 1:
            raise IndexDamaged(f"segment {name} of index {self._folder.name!r} is incomplete; rebuild it")
        return segment

    def _row(self, stored: Mapping[str, Any]) -> Row:
        return {name: _value(value, self._fields[name]) for name, value in stored.items()}


def _value(stored: Any, kind: FieldType) -> FieldValue:
    """A value as it was before JSON made lists of its tuples."""
    if kind is FieldType.GEO:
        return GeoPoint(*stored)
    if kind is FieldType.GEOS:
        return tuple(GeoPoint(*point) for point in stored)
    return tuple(stored) if kind.is_list else stored
