"""What a search returns: keys and scores from an engine, hits and answers to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.plans import Plan


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """An engine's answer.

    keys: int64, shape (n,), best first, each once; ties in order of key.
    scores: float32, shape (n,), non-increasing. For vectors the similarity itself: cosine in -1..1, the dot product, or
    the negated Euclidean distance. For text the BM25 sum, above 0.
    """

    keys: Int64Array
    scores: Float32Array

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """One document found.

    score: 0..1, higher is better, the same meaning under every engine.
    passage: for a document of several passages, the number of the best one (0-based); None for a short document.
    """

    id: str
    score: float
    document: Mapping[str, Any]
    passage: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a search. `hits` are best first; ties break by the order in which documents were first stored."""

    hits: tuple[Hit, ...]
    plan: Plan
    took_ms: float
