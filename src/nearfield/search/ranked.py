"""Candidates in final order, as every stage from fusion on takes and gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Documents best first, each once: int64 keys, the chunk that speaks for each, and scores 0..1; shape (n,) each.

    The arrays are shared, never written to.
    """

    documents: Int64Array
    chunks: Int64Array
    scores: Float32Array

    def __len__(self) -> int:
        return len(self.documents)
