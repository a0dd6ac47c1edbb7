"""What a search returns: keys and scores from an engine, hits and answers to the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.explanations import Explanation, Part
    from nearfield.domain.facets import FacetCounts
    from nearfield.domain.highlights import Highlights
    from nearfield.domain.plans import Plan
    from nearfield.domain.understood import Understood


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
    passage: which passage of the document matched best, counted from 0.
    parts: what each stage had to do with the score, where `explain` is asked; they add up to it.
    group, members: where hits are grouped, the value they share, and others of the group, best first; members is None
    where they are not.
    highlights: which words matched, where `highlight` is asked.
    """

    id: str
    score: float
    document: Mapping[str, Any]
    passage: int = 0
    parts: tuple[Part, ...] = ()
    group: Any = None
    members: tuple[Hit, ...] | None = None
    highlights: Highlights | None = None

    def with_group(self, group: Any, members: tuple[Hit, ...]) -> Hit:
        """The same hit as the best of a group."""
        return replace(self, group=group, members=members)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a search. `hits` are best first; ties break by the order in which documents were first stored.

    cursor: of the page that follows, None after the last. explanation: where `explain` was asked.
    facets: in the order asked, on the first page only.
    search_id: what events on these hits name, where the collection collects them; else None.
    understood: what was read from the query, None where nothing was.
    """

    hits: tuple[Hit, ...]
    plan: Plan
    took_ms: float
    cursor: str | None = None
    explanation: Explanation | None = None
    facets: tuple[FacetCounts, ...] = ()
    search_id: str | None = None
    understood: Understood | None = None

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, place: int) -> Hit:
        return self.hits[place]
