"""Two lists of documents, one by meaning and one by words, as one score. Pure: the lists are all that is looked at.

Every method gives a document a value of 0 to 1 on each side; its score is `share` of the one plus `1 - share` of the
other, so it lies in 0..1 and its two parts add up to it. A document that is at least as good as another on both sides
never scores less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from nearfield.domain.fusion import FusionMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearfield.domain.fusion import Fusion

Float64Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.intp]

FULL_MATCH: Final = 3.0
"""BM25 a document earns per word of the query when it answers it in full, about. With it a document that holds one
common word of three is no perfect lexical match; 1.5 to 4 differ by less than .003 nDCG@10."""
UNSEEN: Final = 0.8
"""The similarity of a document that only words found, beside that of the last one meaning found. Measured: the mean is
.66 to .92 on 39 pairs of queries and embedder, .8 in the middle."""
JUDGES: Final = 3
"""Documents of each side that are compared to see whether words and meaning agree."""
LEAN: Final = 1.25
"""Weight of words beside meaning where the two agree."""
REACH: Final = 1.5
"""How fast words lose weight where they do not: the power of the agreement, doubled where no match of words stands
out. See docs/why/fusion.md for how these were chosen."""
DAMPING: Final = 60  # ranks
SIGMAS: Final = 3.0
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Two lists over the same documents. Arrays of one side's list are best first; of documents, shape (n,).

    nearest: unit similarities 0..1 of the list by meaning. best: BM25 sums of the list by words, above 0.
    meant, said: each document's place in the one and the other list, from 0; -1 where the list has it not. Every
    document is in one of them at least.
    full: BM25 of a full match (`full_match`).
    """

    nearest: Float64Array
    best: Float64Array
    meant: Ranks
    said: Ranks
    full: float


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What each document's score has from meaning and from words, shape (n,) both, and the share of meaning in it."""

    meaning: Float64Array
    words: Float64Array
    share: float


def full_match(text: str) -> float:
    """BM25 a document earns about when it holds all distinct words of a query."""
    return FULL_MATCH * len(set(_WORD.findall(text.lower())))


def combine(sides: Sides, fusion: Fusion) -> Parts:
    """The two parts of every document's score by the method asked for."""
    by_meaning, by_words = _SCALES[fusion.method](sides)
    share = _adapted(sides) if fusion.share is None else fusion.share
    return Parts(share * by_meaning, (1 - share) * by_words, share)


# -- scales: each side's value of each document, 0..1 -----------------------------------------------------------------
def as_they_are(sides: Sides) -> tuple[Float64Array, Float64Array]:
    """The similarity itself; BM25 over the query's best, or over a full match of its words if that is more.

    One that only words found counts as UNSEEN of the least similar, one that only meaning found as without words.
    Source: the convex combination of Bruch, Gai & Ingber, ACM TOIS 42(1), 2023, "An Analysis of Fusion Functions for
    Hybrid Retrieval", with a bound of the scores in place of their maximum.
    """
    unseen = UNSEEN * float(sides.nearest[-1]) if len(sides.nearest) else 0.0
    top = max(float(sides.best[0]), sides.full) if len(sides.best) else 1.0
    return _taken(sides.nearest, sides.meant, unseen), _taken(sides.best / top, sides.said, 0.0)


def reciprocal_ranks(sides: Sides) -> tuple[Float64Array, Float64Array]:
    """(DAMPING + 1) / (DAMPING + rank), rank from 1; 0 where the list has it not.

    Source: Cormack, Clarke & Buettcher, SIGIR 2009, "Reciprocal rank fusion"; damping 60 is theirs, here scaled so
    that the first place is 1.
    """

    def side(places: Ranks) -> Float64Array:
        return np.where(places >= 0, (DAMPING + 1) / (DAMPING + 1.0 + places), 0.0)

    return side(sides.meant), side(sides.said)


def minimum_to_maximum(sides: Sides) -> tuple[Float64Array, Float64Array]:
    """(s - least) / (best - least) within the list, all 1 where they are equal; 0 where the list has it not.

    Source: Lee, SIGIR 1997, "Analyses of multiple evidence combination".
    """

    def side(scores: Float64Array, places: Ranks) -> Float64Array:
        if not len(scores):
            return np.zeros(len(places))
        width = scores[0] - scores[-1]
        return _taken((scores - scores[-1]) / width if width > 0 else np.ones(len(scores)), places, 0.0)

    return side(sides.nearest, sides.meant), side(sides.best, sides.said)


def standard_scores(sides: Sides) -> tuple[Float64Array, Float64Array]:
    """z = (s - mean) / deviation, moved into 0..1 by (z + m) / 2m; the list's least where it has it not.

    m = sqrt(n - 1) of the longer list, which no |z| of n values exceeds, so that both sides keep one scale.
    Source: Montague & Aslam, CIKM 2001, "Relevance score normalization for metasearch" (ZMUV); the bound is
    Samuelson's, JASA 1968.
    """
    bound = float(np.sqrt(max(len(sides.nearest), len(sides.best), 2) - 1))

    def side(scores: Float64Array, places: Ranks) -> Float64Array:
        if not len(scores):
            return np.zeros(len(places))
        z = _standard(scores)
        unit = np.clip((z + bound) / (2 * bound), 0.0, 1.0)
        return _taken(unit, places, float(unit[-1]))

    return side(sides.nearest, sides.meant), side(sides.best, sides.said)


def distribution_based(sides: Sides) -> tuple[Float64Array, Float64Array]:
    """(s - (mean - 3 deviations)) / (6 deviations), cut to 0..1; 0 where the list has it not.

    Source: Mazzeschi, 2023, "Distribution-Based Score Fusion (DBSF)", the form Qdrant took up.
    """

    def side(scores: Float64Array, places: Ranks) -> Float64Array:
        if not len(scores):
            return np.zeros(len(places))
        return _taken(np.clip(_standard(scores) / (2 * SIGMAS) + 0.5, 0.0, 1.0), places, 0.0)

    return side(sides.nearest, sides.meant), side(sides.best, sides.said)


_SCALES: Final[Mapping[FusionMethod, Callable[[Sides], tuple[Float64Array, Float64Array]]]] = {
    FusionMethod.AUTO: as_they_are,
    FusionMethod.SUM: as_they_are,
    FusionMethod.RRF: reciprocal_ranks,
    FusionMethod.MINMAX: minimum_to_maximum,
    FusionMethod.ZSCORE: standard_scores,
    FusionMethod.DBSF: distribution_based,
}


# -- auto --------------------------------------------------------------------------------------------------------------
def agreement(sides: Sides) -> float:
    """Mean similarity of the best JUDGES by words over that of the best by meaning, 0..1.

    Where the words of a query are beside its point ("gear" finds cog wheels), what holds them is far from its meaning.
    """
    nearest = float(sides.nearest[:JUDGES].mean()) if len(sides.nearest) else 0.0
    if not len(sides.best) or nearest <= 0:
        return 1.0
    heard = np.full(min(JUDGES, len(sides.best)), UNSEEN * float(sides.nearest[-1]))
    both = (sides.said >= 0) & (sides.said < JUDGES) & (sides.meant >= 0)
    heard[sides.said[both]] = sides.nearest[sides.meant[both]]
    return float(min(1.0, heard.mean() / nearest))


def flatness(sides: Sides) -> float:
    """BM25 of the tenth document over that of the best, 0..1; 0 where fewer hold any word. Low: one match stands out,
    as it does for a model number."""
    return float(sides.best[9] / sides.best[0]) if len(sides.best) >= 10 else 0.0


def _adapted(sides: Sides) -> float:
    """The share of meaning for this query: 1 / (1 + LEAN * agreement ** (REACH * (1 + flatness))).

    All of it where no document holds a word, none where meaning found nothing.
    """
    if not len(sides.best) or not len(sides.nearest):
        return 1.0 if len(sides.nearest) else 0.0
    trust: float = agreement(sides) ** (REACH * (1.0 + flatness(sides)))
    return 1.0 / (1.0 + LEAN * trust)


def _taken(values: Float64Array, places: Ranks, missing: float) -> Float64Array:
    if not len(values):
        return np.full(len(places), missing)
    return np.where(places >= 0, values[places], missing)


def _standard(scores: Float64Array) -> Float64Array:
    deviation = float(scores.std())
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros(len(scores))
