"""Candidates in final order, as every stage from fusion on takes and gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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

    def take(self, places: Int64Array) -> Ranked:
        """Those at some places, in that order."""
        return Ranked(self.documents[places], self.chunks[places], self.scores[places])

    def without(self, excluded: frozenset[int]) -> Ranked:
        """All but some documents, given by key."""
        left = ~np.isin(self.documents, np.fromiter(excluded, dtype=np.int64, count=len(excluded)))
        return Ranked(self.documents[left], self.chunks[left], self.scores[left])
