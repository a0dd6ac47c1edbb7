"""The seam to where documents go, their vectors with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, StoredDocument


@dataclass(frozen=True, slots=True, eq=False)
class VectorRow:
    """A document and its vectors: float32, shape (passages, dimension), in order of passage, at least one."""

    document: StoredDocument
    vectors: Float32Array


class Sink(Protocol):
    """Takes documents in order, then is finished or abandoned. All methods block, and may be called from any thread."""

    def write(self, rows: Sequence[VectorRow]) -> None:
        """Take documents. Raises InvalidFile, DiskFull."""
        ...

    def finish(self) -> None:
        """Have all of it at its place, durable. Raises as `write` does."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind; what was at its place before is untouched. Nothing after `finish`."""
        ...
