"""The seam to where documents come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearfield.domain.documents import Rejection
    from nearfield.domain.schema import FieldType, Metric

VECTOR: Final = "vector"
"""The key of a row's body under which it brings its vector."""
PASSAGES: Final = "vector:passages"
"""The key under which a row brings a vector for each of its passages, in order, where it has several."""


class VectorUse(StrEnum):
    """What becomes of the vectors that rows bring. none: they bring none, or none was asked for.

    keep: they are the documents' own. drop: the text is embedded anew. adopt: they are what the collection's model
    gives, and go where that keeps its vectors.
    """

    NONE = "none"
    KEEP = "keep"
    DROP = "drop"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True, eq=False)
class SourceRow:
    """One row read. line: 1-based line in a text file (where the row starts), or row number otherwise.

    textual: the values are all strings (CSV), to be read by the types of the schema.
    """

    line: int
    body: Mapping[str, Any]
    textual: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a source tells of its rows before any is read; None and empty: nothing.

    dimension: of the vectors its rows bring, under VECTOR. metric: by which they are compared where they come from.
    embed, fields: as `CollectionSpec` has them. id_field: which field holds the id.
    notes: what a person is to know of it, a sentence each.
    """

    dimension: int | None = None
    metric: Metric | None = None
    embed: str | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    id_field: str | None = None
    notes: tuple[str, ...] = ()


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

    def told(self) -> Told:
        """What it tells of itself. Blocks. Raises as `rows` does."""
        ...

    def rows(self) -> Iterator[SourceRow | Rejection]:
        """Rows in order; a row that cannot be read is a Rejection with its line, and reading goes on.

        Blocks: iterate in a thread. Raises InvalidFile when nothing can be read at all; EngineUnavailable where a
        server does not answer.
        """
        ...
