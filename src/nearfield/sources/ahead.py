"""Look at a source's first rows without losing them, so that a schema can be inferred even from a stream."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from nearfield.domain.inference import MAX_ROWS
from nearfield.protocols.source import SourceRow, Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearfield.domain.documents import Rejection
    from nearfield.protocols.source import Source

MAX_AHEAD_BYTES: Final = 16 * 1024 * 1024


class Ahead:
    """A source whose first rows can be looked at before they are read. It can be read once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: list[SourceRow | Rejection] = []
        self._rest = source.rows()

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def size(self) -> int | None:
        return self._source.size

    @property
    def position(self) -> int:
        return self._source.position

    def told(self) -> Told:
        return self._source.told()

    def first(self, count: int) -> list[SourceRow | Rejection]:
        """The first `count` rows, fewer at the end of the file or once MAX_AHEAD_BYTES are read. Blocks.

        Raises InvalidFile as `rows` does.
        """
        for row in islice(self._rest, max(0, count - len(self._seen))):
            self._seen.append(row)
            if self._source.position > MAX_AHEAD_BYTES:
                break
        return self._seen[:count]

    def rows(self) -> Iterator[SourceRow | Rejection]:
        seen, self._seen = self._seen, []
        return chain(seen, self._rest)


def first_rows(sources: Sequence[Ahead]) -> list[SourceRow]:
    """The first rows that can be read, of one source: the first that has any. Empty when none has. Blocks.

    Raises InvalidFile for a file that cannot be read, before anything is stored of any other.
    """
    first = [[row for row in source.first(MAX_ROWS) if isinstance(row, SourceRow)] for source in sources]
    return next((rows for rows in first if rows), [])


def first_told(sources: Sequence[Ahead]) -> Told:
    """What the first source that tells anything tells. Blocks."""
    return next((told for told in (source.told() for source in sources) if told != Told()), Told())
