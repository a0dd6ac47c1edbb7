"""Candidates of one side or of both, as documents in final order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.schema import Metric
from nearfield.search.fusion import Sides, combine, full_match
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.fusion import Fusion
    from nearfield.search.fusion import Float64Array, Ranks
    from nearfield.search.retrieve import Candidates

HYBRID_DEPTHS = (50, 100, 250, 500, 1_000, 2_500, 5_000)
"""How deep the lists are that one ranking is cut from: so many documents by words, DENSE_DEPTH times as many by
meaning. In steps, so that the pages of one question begin with the same ranking."""
DENSE_DEPTH = 2
"""A hundred by meaning beside fifty by words rank as the similarity of every document would, read vector by vector:
nDCG@10 .650 on the four judged sets where fifty and fifty give .647."""


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """meaning, words: what each score of `ranked` has from either side, float64, shape (n,); they add up to it.

    share: of meaning, 0..1, in the first documents.
    """

    ranked: Ranked
    meaning: Float64Array
    words: Float64Array
    share: float


def unit_similarity(scores: Float32Array, metric: Metric) -> Float32Array:
    """An engine's similarity as a score 0..1, order kept (cosines below 0 all become 0).

    cosine: itself. dot: the logistic function. Euclidean: 1 / (1 + distance).
    """
    wide = scores.astype(np.float64)
    match metric:
        case Metric.COSINE:
            return np.clip(scores, 0.0, 1.0)
        case Metric.DOT:
            return (1.0 / (1.0 + np.exp(-np.clip(wide, -500, 500)))).astype(np.float32)
        case Metric.EUCLIDEAN:
            return (1.0 / (1.0 - wide)).astype(np.float32)


def rank_dense(found: Candidates, metric: Metric) -> Ranked:
    """Semantic candidates as the final order."""
    return Ranked(found.documents, found.chunks, unit_similarity(found.scores, metric))


def unit_lexical(scores: Float32Array, text: str) -> Float32Array:
    """BM25 sums, best first, as scores 0..1, order kept.

    Each is divided by the query's best, or by what a full match of its distinct words would earn if that is more.
    """
    if not len(scores):
        return scores
    return np.asarray(scores / max(float(scores[0]), full_match(text)), dtype=np.float32)


def rank_lexical(found: Candidates, text: str) -> Ranked:
    """Lexical candidates as the final order."""
    return Ranked(found.documents, found.chunks, unit_lexical(found.scores, text))


def depth_for(want: int) -> int:
    """The least step of HYBRID_DEPTHS that has `want` documents, or `want` beyond the last."""
    return next((step for step in HYBRID_DEPTHS if step >= want), want)


def fuse(dense: Candidates, lexical: Candidates, metric: Metric, text: str, fusion: Fusion) -> Fused:
    """Put both lists together by a method of `search.fusion`, best first, ties by document key.

    Every document of either list comes out once. Documents beyond the first step of HYBRID_DEPTHS in both lists follow
    after all others, so that a deeper search begins as a shallow one: step by step, each fused from the lists as far as
    that step goes, with scores cut down to the last one before where they would exceed it.
    """
    blocks: list[_Block] = []
    done = 0, 0
    for step in (*HYBRID_DEPTHS, max(len(dense), len(lexical))):
        ends = min(step * DENSE_DEPTH, len(dense)), min(step, len(lexical))
        if blocks and ends == done:
            continue
        blocks.append(
            _block(dense.first(ends[0]), lexical.first(ends[1]), metric, text, fusion).below(
                blocks[-1] if blocks else None, done
            )
        )
        done = ends
        if done == (len(dense), len(lexical)):
            break
    if len(blocks) == 1:
        return blocks[0].fused()
    return _joined(blocks).fused()


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    documents: Int64Array
    chunks: Int64Array
    meant: Ranks
    said: Ranks
    meaning: Float64Array
    words: Float64Array
    share: float

    def below(self, before: _Block | None, done: tuple[int, int]) -> _Block:
        """Only what no earlier block held, no score above their last."""
        if before is None:
            return self
        new = ((self.meant < 0) | (self.meant >= done[0])) & ((self.said < 0) | (self.said >= done[1]))
        fresh = self.at(np.flatnonzero(new))
        if not len(before.documents):
            return fresh
        totals = fresh.meaning + fresh.words
        ceiling = float(before.meaning[-1] + before.words[-1])
        fits = np.where(totals > ceiling, ceiling / np.where(totals > 0, totals, 1.0), 1.0)
        return fresh.scaled(fits)

    def at(self, places: Ranks) -> _Block:
        """Those at some places, in that order."""
        return _Block(
            self.documents[places],
            self.chunks[places],
            self.meant[places],
            self.said[places],
            self.meaning[places],
            self.words[places],
            self.share,
        )

    def scaled(self, by: Float64Array) -> _Block:
        """With both parts of every score multiplied."""
        return _Block(
            self.documents, self.chunks, self.meant, self.said, self.meaning * by, self.words * by, self.share
        )

    def fused(self) -> Fused:
        """As an answer."""
        scores = (self.meaning + self.words).astype(np.float32)
        return Fused(Ranked(self.documents, self.chunks, scores), self.meaning, self.words, self.share)


def _block(dense: Candidates, lexical: Candidates, metric: Metric, text: str, fusion: Fusion) -> _Block:
    """Both lists, fused and in order."""
    by_meaning, by_words = dense.documents, lexical.documents
    places = {key: place for place, key in enumerate(by_meaning.tolist())}
    at = np.array([places.get(key, -1) for key in by_words.tolist()], dtype=np.intp)
    alone = np.flatnonzero(at < 0)
    said = np.full(len(by_meaning), -1, dtype=np.intp)
    said[at[at >= 0]] = np.flatnonzero(at >= 0)
    sides = Sides(
        nearest=unit_similarity(dense.scores, metric).astype(np.float64),
        best=lexical.scores.astype(np.float64),
        meant=np.concatenate([np.arange(len(by_meaning)), np.full(len(alone), -1)]).astype(np.intp),
        said=np.concatenate([said, alone]),
        full=full_match(text),
    )
    parts = combine(sides, fusion)
    documents = np.concatenate([by_meaning, by_words[alone]])
    chunks = np.concatenate([dense.chunks, lexical.chunks[alone]])
    order = np.lexsort((documents, -(parts.meaning + parts.words)))
    return _Block(documents, chunks, sides.meant, sides.said, parts.meaning, parts.words, parts.share).at(order)


def _joined(blocks: Sequence[_Block]) -> _Block:
    return _Block(
        np.concatenate([one.documents for one in blocks]),
        np.concatenate([one.chunks for one in blocks]),
        np.concatenate([one.meant for one in blocks]),
        np.concatenate([one.said for one in blocks]),
        np.concatenate([one.meaning for one in blocks]),
        np.concatenate([one.words for one in blocks]),
        blocks[0].share,
    )
