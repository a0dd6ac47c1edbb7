"""Clicks → how relevant documents are, with the position they were shown at taken out.

The position-based model says that a document is clicked when it is examined, which depends on its rank alone, and
attractive, which depends on query and document alone: P(click) = examination(rank) * attraction(query, document).
Source: the examination hypothesis of Richardson, Dominowska & Ragno, WWW 2007, and Craswell, Zoeter, Taylor & Ramsey,
WSDM 2008; the EM updates are those of Chuklin, Markov & de Rijke, "Click Models for Web Search", 2015, section 4.1.

The two can be told apart only where documents are shown at more than one rank, for one query or across queries. Where
a ranking never moves, a document that always stands first and is clicked often may be good or merely seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.events import EventKind
from nearfield.domain.judgments import Float64Array, Judgment, JudgmentSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.events import Event, Impression

MAX_RANKS: Final = 100
"""Deeper ranks are one: hardly anybody goes there, and each needs clicks of its own to be learnt."""
ITERATIONS: Final = 200
CLOSE_ENOUGH: Final = 1e-5
PRIOR: Final = 2.0  # impressions that the mean attraction counts for, so that one lucky click is no perfect document
CART_WEIGHT: Final = 2.0
PURCHASE_WEIGHT: Final = 4.0
"""How many times over a click that led there counts. Both are asked of clicks, where the rank no longer matters."""
MIN_EXAMINED: Final = 5.0
"""Times a document must have been looked at, by the model, before it is judged."""
GRADE_FROM: Final = ((3, 0.7), (2, 0.4), (1, 0.15))
"""The least share of the query's best document for each grade; below them 0."""
_LEAST: Final = 1e-6


class ClickTally:
    """What was shown and clicked, counted: all that the model needs of any number of searches. Not thread-safe."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[int, int], list[int]] = {}  # (pair, rank) → [not clicked, clicked]
        self._outcomes: dict[int, list[int]] = {}  # pair → [searches with a click, with a cart, with a purchase]
        self.searches = self.clicks = self.elsewhere = 0
        """elsewhere: events on a document that the search had not shown."""

    def add(self, shown: Sequence[Impression], events: Mapping[str, Sequence[Event]]) -> None:
        """events: by search id. Searches whose query differs only in blanks or case are one query."""
        for impression in shown:
            query = same_query(impression.query)
            done: dict[str, set[EventKind]] = {}
            for event in events.get(impression.search_id, ()):
                done.setdefault(event.document_id, set()).add(event.kind)
            self.searches += 1
            self.elsewhere += len(done.keys() - set(impression.shown))
            for place, document in enumerate(impression.shown):
                pair = self._pairs.setdefault((query, document), len(self._pairs))
                kinds = done.get(document)
                rank = min(impression.offset + place, MAX_RANKS - 1)
                self._counts.setdefault((pair, rank), [0, 0])[kinds is not None] += 1
                if kinds is not None:
                    self.clicks += 1
                    outcome = self._outcomes.setdefault(pair, [0, 0, 0])
                    outcome[0] += 1
                    outcome[1] += bool(kinds & {EventKind.CART, EventKind.PURCHASE})
                    outcome[2] += EventKind.PURCHASE in kinds

    def fit(self) -> ClickModel:
        """Fit the model: milliseconds an iteration for each hundred thousand pairs."""
        cells = np.array([(*cell, *count) for cell, count in self._counts.items()], dtype=np.int64).reshape(-1, 4)
        outcomes = np.zeros((len(self._pairs), 3))
        for pair, outcome in self._outcomes.items():
            outcomes[pair] = outcome
        examination, attraction = _expectation_maximisation(cells, len(self._pairs))
        looks = examination[cells[:, 1]] * cells[:, 2:].sum(axis=1)
        examined = np.bincount(cells[:, 0], weights=looks, minlength=len(self._pairs)).astype(np.float64)
        return ClickModel(tuple(self._pairs), examination, attraction, examined, outcomes)


@dataclass(frozen=True, slots=True, eq=False)
class ClickModel:
    """What clicks say.

    pairs: query and document. examination: float64, shape (ranks,), how likely a rank is looked at; the first is 1.
    attraction: float64, shape (pairs,), the chance of a click once looked at. examined: times each pair was looked at.
    outcomes: float64, shape (pairs, 3): searches with a click on it, with a cart, with a purchase.
    """

    pairs: tuple[tuple[str, str], ...]
    examination: Float64Array
    attraction: Float64Array
    examined: Float64Array
    outcomes: Float64Array

    @property
    def worth(self) -> Float64Array:
        """attraction * (1 + CART_WEIGHT * P(cart | click) + PURCHASE_WEIGHT * P(purchase | click)), shape (pairs,)."""
        clicks, carts, purchases = self.outcomes.T
        weights: Float64Array = 1 + (CART_WEIGHT * carts + PURCHASE_WEIGHT * purchases) / (clicks + 1)
        return self.attraction * weights

    def judgments(self) -> list[Judgment]:
        """Grades 0 to 3 of every pair that was looked at MIN_EXAMINED times, by its share of the query's best worth.

        A query none of whose documents was ever clicked is judged in nothing: that may have other reasons.
        """
        worth, judged = self.worth, self.examined >= MIN_EXAMINED
        best: dict[str, float] = {}
        for place, (query, _) in enumerate(self.pairs):
            if judged[place] and self.outcomes[place, 0]:
                best[query] = max(best.get(query, 0.0), float(worth[place]))
        found = []
        for place, (query, document) in enumerate(self.pairs):
            if judged[place] and query in best:
                share = float(worth[place]) / best[query] if self.outcomes[place, 0] else 0.0
                grade = next((grade for grade, least in GRADE_FROM if share >= least), 0)
                found.append(Judgment(query, document, grade, JudgmentSource.CLICKS))
        return found


def same_query(query: str) -> str:
    """What people typed, with single blanks and without case: as one query is counted and judged."""
    return " ".join(query.split()).casefold()


def by_search(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Events by their search, in the order given."""
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.search_id, []).append(event)
    return found


def _expectation_maximisation(cells: Int64Array, pairs: int) -> tuple[Float64Array, Float64Array]:
    """Examination of each rank and attraction of each pair.

    cells: int64, shape (n, 4): pair, rank, times not clicked, times clicked.
    """
    pair, rank, passed, clicked = cells.T
    shown = passed + clicked
    ranks = int(rank.max()) + 1 if rank.size else 0
    examination = 1 / np.arange(1.0, ranks + 1)
    if not pairs:
        return examination, np.zeros(0)
    mean = max(float(clicked.sum() / shown.sum()), _LEAST)
    attraction = np.full(pairs, mean)
    shown_of_pair = np.bincount(pair, weights=shown, minlength=pairs)
    shown_at_rank = np.maximum(np.bincount(rank, weights=shown, minlength=ranks), 1)
    for _ in range(ITERATIONS):
        before = attraction
        seen, liked = examination[rank], attraction[pair]
        unclicked = np.maximum(1 - seen * liked, _LEAST)
        # of the times without a click: how often it was attractive all the same, how often looked at all the same
        missed, ignored = liked * (1 - seen) / unclicked, seen * (1 - liked) / unclicked
        attractive = np.bincount(pair, weights=clicked + passed * missed, minlength=pairs)
        attraction = (attractive + PRIOR * mean) / (shown_of_pair + PRIOR)
        examination = np.bincount(rank, weights=clicked + passed * ignored, minlength=ranks) / shown_at_rank
        examination[0] = 1.0  # only the product is seen: the first rank sets the scale
        mean = float(attraction.mean())
        if np.abs(attraction - before).max() < CLOSE_ENOUGH:
            break
    return examination, attraction
