"""The seam to where documents come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearfield.domain.documents import Rejection


@dataclass(frozen=True, slots=True, eq=False)
class SourceRow:
    """One row read. line: 1-based line in a text file (where the row starts), or row number otherwise.

    textual: the values are all strings (CSV), to be read by the types of the schema.
    """

    line: int
    body: Mapping[str, Any]
    textual: bool = False


class Source(Protocol):
    """A finite run of rows. Reads with bounded memory whatever the size."""

    @property
    def name(self) -> str:
        """For messages: the file's name, `-` for standard input."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes in all (compressed as stored), None when unknown."""
        ...

    @property
    def position(self) -> int:
        """Bytes read so far, on the scale of `size`."""
        ...

    def rows(self) -> Iterator[SourceRow | Rejection]:
        """Rows in order; a row that cannot be read is a Rejection with its line, and reading goes on.

        Blocks: iterate in a thread. Raises InvalidFile when nothing can be read at all.
        """
        ...
