"""Boosts on the best candidates: a factor a document, and what it does to a score.

A factor below 1 multiplies the score. A factor above 1 multiplies its odds, s / (1 - s): a boosted score stays
below 1, equally boosted documents keep their order, and one without any relevance gets none. The factors of several
boosts are multiplied, and their product is kept within 0..MAX_FACTOR.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from nearfield.domain.binding import bind
from nearfield.domain.boost_expression import evaluate, fields_in
from nearfield.domain.boosts import MAX_FACTOR, Boost, FilterBoost, Formula, Popularity, Recency, check_fields
from nearfield.domain.filters import fields_of, matches
from nearfield.domain.rows import row_of
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.filters import Filter, Row
    from nearfield.search.retrieve import Retrieval

DEPTH: Final = 200  # candidates; one statement reads their documents
MICROSECONDS: Final = 1e6

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """ranked: the new order. deltas: per boost, what it added to the score of each document of `ranked` (float64,
    shape (boosts, n)); old score + sum = new score. silent: per boost, the documents it had no value for."""

    ranked: Ranked
    deltas: Float64Array
    silent: tuple[int, ...]


def applied(scores: Float64Array, factors: Float64Array) -> Float64Array:
    """Scores 0..1 under factors 0..MAX_FACTOR, shape (n,) each; rises with both, 0..1 again."""
    up = np.maximum(factors, 1.0)
    # s = 1 has infinite odds: written so that it stays 1
    return np.minimum(factors, 1.0) * (up * scores / (1.0 + (up - 1.0) * scores))


async def boost(retrieval: Retrieval, ranked: Ranked, boosts: tuple[Boost, ...]) -> Boosted:
    """Boost the first DEPTH of a ranking by what the store's documents say now; the rest keeps its place below.

    Ties break by document key. A document gone meanwhile keeps its score.
    Raises InvalidRequest, InvalidFilter for a field that is not the collection's.
    """
    fields = retrieval.collection.spec.fields
    check_fields(boosts, fields)
    bound = [bind(one.where, fields) if isinstance(one, FilterBoost) else None for one in boosts]
    head = min(DEPTH, len(ranked.documents))
    keys = ranked.documents[:head].tolist()
    stored = await retrieval.store.by_key(retrieval.collection, keys)
    bodies = [stored[key].body if key in stored else {} for key in keys]

    def compute() -> Boosted:
        needed = {name: fields[name] for name in _needed(boosts, bound)}
        rows = [row_of(body, needed) for body in bodies]
        factors = [_factors(one, where, rows) for one, where in zip(boosts, bound, strict=True)]
        return reordered(ranked, head, factors)

    return await asyncio.to_thread(compute)


def reordered(ranked: Ranked, head: int, factors: Sequence[Float64Array]) -> Boosted:
    """The first `head` by their boosted scores, then the rest, no higher than the lowest of them.

    factors: per boost, shape (head,); NaN has no value, which is a factor of 1.
    """
    before = ranked.scores[:head].astype(np.float64)
    total = np.ones(head)
    steps = [before]
    for each in factors:
        total = total * np.where(np.isnan(each), 1.0, each)
        steps.append(applied(before, np.clip(total, 0.0, MAX_FACTOR)))
    # ordered as they will be seen: float32 makes ties, which the key decides
    steps[-1] = after = steps[-1].astype(np.float32).astype(np.float64)
    order = np.lexsort((ranked.documents[:head], -after))
    rest = ranked.scores[head:].astype(np.float64)
    floor = float(after.min()) if head else 1.0
    scores = np.concatenate([after[order], np.minimum(rest, floor)])
    deltas = np.zeros((len(factors), len(scores)))
    deltas[:, :head] = np.diff(np.stack(steps), axis=0)[:, order]
    if len(factors):
        deltas[-1, head:] = scores[head:] - rest
    places = np.concatenate([order, np.arange(head, len(scores))])
    return Boosted(
        Ranked(ranked.documents[places], ranked.chunks[places], scores.astype(np.float32)),
        deltas,
        tuple(int(np.isnan(each).sum()) for each in factors),
    )


def _needed(boosts: Sequence[Boost], bound: Sequence[Filter | None]) -> dict[str, None]:
    """The fields that are read, each once."""
    names: list[str] = []
    for one, where in zip(boosts, bound, strict=True):
        match one:
            case Recency() | Popularity():
                names.append(one.field)
            case Formula():
                names.extend(fields_in(one.expression))
            case FilterBoost():
                names.extend(fields_of(where) if where is not None else ())
    return dict.fromkeys(names)


def _factors(one: Boost, where: Filter | None, rows: Sequence[Row]) -> Float64Array:
    """One factor a document, 0..MAX_FACTOR; NaN where a document has no value."""
    match one:
        case Recency():
            origin = time.time() * MICROSECONDS if one.origin_us is None else one.origin_us
            age_s = np.maximum(origin - _column(one.field, rows), 0.0) / MICROSECONDS
            return np.asarray(1.0 + one.weight * np.exp2(-age_s / one.half_life_s))
        case Popularity():
            amount = np.maximum(_column(one.field, rows), 0.0)
            signal = (
                amount / (amount + one.scale)
                if one.curve == "saturation"
                else np.minimum(np.log1p(amount) / np.log1p(one.scale), 1.0)
            )
            return np.asarray(1.0 + one.weight * signal)
        case Formula():
            columns = {name: _column(name, rows) for name in fields_in(one.expression)}
            return np.clip(evaluate(one.expression, columns, len(rows)), 0.0, MAX_FACTOR)
        case FilterBoost():
            assert where is not None  # noqa: S101 - for the type checker
            return np.array([one.factor if matches(where, row) else 1.0 for row in rows])


def _column(name: str, rows: Sequence[Row]) -> Float64Array:
    """A numeric field of each row; float64, NaN where it is missing."""
    return np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
