"""The sum of meaning and words, against the sum over all documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.search.parts import agreement

from nearfield.domain.documents import chunk_key
from nearfield.domain.schema import Metric
from nearfield.search.fuse import DENSE_SHARE, JUDGES, fuse, rank_dense, rank_lexical, unit_similarity
from nearfield.search.retrieve import Candidates

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.search.ranked import Ranked

QUERY = np.ones(2, dtype=np.float32)


class KnownSimilarities:
    """Stands for a retrieval: the similarity of every passage is known, and asking for it is counted."""

    def __init__(self, raw: dict[int, float], metric: Metric) -> None:
        self.raw = {chunk_key(document, 0): score for document, score in raw.items()}
        self.asked: list[int] = []
        settings = type("Settings", (), {"metric": metric})
        self.live = type("Live", (), {"generation": type("Generation", (), {"index": settings})})

    async def similarities(self, vector: Float32Array, chunks: Int64Array) -> dict[int, float]:
        assert len(chunks)
        self.asked += chunks.tolist()
        return {chunk: self.raw[chunk] for chunk in chunks.tolist() if chunk in self.raw}


def candidates(scores: dict[int, float], most: int | None = None) -> Candidates:
    order = sorted(scores, key=lambda key: (-scores[key], key))[:most]
    documents = np.array(order, dtype=np.int64)
    return Candidates(documents, documents << 12, np.array([scores[key] for key in order], dtype=np.float32))


async def fused(
    raw: dict[int, float], words: dict[int, float], *, want: int, depth: int, metric: Metric = Metric.COSINE
) -> tuple[Ranked, KnownSimilarities]:
    known = KnownSimilarities(raw, metric)
    dense = candidates(raw, depth)
    return await fuse(known, QUERY, dense, rank_lexical(candidates(words), ""), want), known  # type: ignore[arg-type]


def brute_force(raw: dict[int, float], words: dict[int, float], metric: Metric) -> dict[int, float]:
    best = max(words.values(), default=1.0)
    unit = dict(zip(raw, unit_similarity(np.array(list(raw.values()), dtype=np.float32), metric).tolist(), strict=True))
    agreed = agreement(unit, words)
    return {key: DENSE_SHARE * unit[key] + (1 - DENSE_SHARE) * agreed * words.get(key, 0.0) / best for key in raw}


@st.composite
def sides(draw: st.DrawFn) -> tuple[dict[int, float], dict[int, float], Metric]:
    metric = draw(st.sampled_from(Metric))
    low, high = {Metric.COSINE: (-1, 1), Metric.DOT: (-4, 4), Metric.EUCLIDEAN: (-5, 0)}[metric]
    grid = st.one_of(st.sampled_from((low, low + 0.5, high)), st.floats(low, high, width=32))
    raw = draw(st.dictionaries(st.integers(1, 60), grid, min_size=1, max_size=40))
    keys = draw(st.sets(st.sampled_from(sorted(raw))))
    words = {key: draw(st.one_of(st.sampled_from((1.0, 2.0)), st.floats(0.125, 9, width=32))) for key in sorted(keys)}
    return raw, words, metric


@given(sides(), st.integers(1, 45), st.integers(0, 20))
async def test_the_first_are_those_of_the_sum_over_all(
    sides: tuple[dict[int, float], dict[int, float], Metric], want: int, deeper: int
) -> None:
    raw, words, metric = sides
    ranked, _ = await fused(raw, words, want=want, depth=max(JUDGES, want + deeper), metric=metric)
    totals = brute_force(raw, words, metric)
    wanted = sorted(totals.values(), reverse=True)[:want]
    assert ranked.scores[:want].tolist() == pytest.approx(wanted, abs=1e-6)
    for document, score in zip(ranked.documents[:want].tolist(), ranked.scores[:want].tolist(), strict=True):
        assert score == pytest.approx(totals[document], abs=1e-6)
    assert len(set(ranked.documents.tolist())) == len(ranked.documents)
    assert ((ranked.scores >= 0) & (ranked.scores <= 1)).all()


async def test_ties_break_by_document() -> None:
    ranked, _ = await fused({3: 0.5, 1: 0.5, 2: 0.5}, {2: 1.0, 3: 1.0}, want=3, depth=3)
    assert ranked.documents.tolist() == [2, 3, 1]


async def test_a_document_only_words_found_gets_its_similarity() -> None:
    raw = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6}
    ranked, known = await fused(raw, {4: 2.0, 1: 1.0}, want=3, depth=3)
    assert set(known.asked) == {chunk_key(4, 0)}
    agreed = (0.6 + 0.9) / 2 / ((0.9 + 0.8 + 0.7) / 3)
    wanted = {4: 0.6 * 0.6 + 0.4 * agreed, 1: 0.6 * 0.9 + 0.2 * agreed, 2: 0.6 * 0.8, 3: 0.6 * 0.7}
    assert dict(zip(ranked.documents.tolist(), ranked.scores.tolist(), strict=True)) == pytest.approx(wanted, abs=1e-6)


async def test_words_count_as_far_as_meaning_agrees() -> None:
    raw = {1: 0.4, 2: 0.4, 3: 0.4, 4: 0.1, 5: 0.1, 6: 0.1}
    beside_the_point, _ = await fused(raw, {4: 3.0, 5: 3.0, 6: 3.0}, want=6, depth=6)
    assert beside_the_point.documents.tolist() == [1, 2, 3, 4, 5, 6]
    assert beside_the_point.scores[3] == pytest.approx(0.6 * 0.1 + 0.4 * 0.25)
    to_the_point, _ = await fused(raw, {3: 3.0, 2: 3.0}, want=6, depth=6)
    assert to_the_point.scores[:2].tolist() == pytest.approx([0.6 * 0.4 + 0.4] * 2)


async def test_a_document_that_cannot_come_in_is_not_looked_up() -> None:
    raw = {1: 1.0, 2: 1.0, 3: 0.5, 4: 0.01, 5: 0.0}
    ranked, known = await fused(raw, {1: 100.0, 2: 100.0, 3: 50.0, 5: 1.0}, want=2, depth=4)
    assert known.asked == []
    assert ranked.documents.tolist() == [1, 2, 3, 4]


async def test_a_passage_gone_meanwhile_counts_as_without_meaning() -> None:
    known = KnownSimilarities({}, Metric.COSINE)
    ranked = await fuse(known, QUERY, candidates({}), rank_lexical(candidates({5: 3.0}), ""), 1)  # type: ignore[arg-type]
    assert ranked.documents.tolist() == [5]
    assert ranked.scores.tolist() == pytest.approx([0.4])


@pytest.mark.parametrize(("raw", "words"), [({}, {}), ({1: 0.4}, {}), ({}, {1: 2.0})])
async def test_either_side_may_be_empty(raw: dict[int, float], words: dict[int, float]) -> None:
    known = KnownSimilarities(words, Metric.COSINE)
    ranked = await fuse(known, QUERY, candidates(raw), rank_lexical(candidates(words), ""), 3)  # type: ignore[arg-type]
    assert ranked.documents.tolist() == list(raw or words)


@given(st.sampled_from(Metric), st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_unit_similarity_keeps_the_order(metric: Metric, scores: list[float]) -> None:
    if metric is Metric.EUCLIDEAN:
        scores = [-abs(score) for score in scores]
    given_scores = np.sort(np.array(scores, dtype=np.float32))[::-1]
    unit = unit_similarity(given_scores, metric)
    assert unit.dtype == np.float32
    assert ((unit >= 0) & (unit <= 1)).all()
    assert (np.diff(unit) <= 0).all()


def test_unit_similarity_by_its_formulas() -> None:
    def one(score: float, metric: Metric) -> float:
        return float(unit_similarity(np.array([score], dtype=np.float32), metric)[0])

    assert one(0.25, Metric.COSINE) == 0.25
    assert one(-0.25, Metric.COSINE) == 0
    assert one(1.0000001, Metric.COSINE) == 1
    assert one(0, Metric.DOT) == 0.5
    assert one(2, Metric.DOT) == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert one(0, Metric.EUCLIDEAN) == 1
    assert one(-3, Metric.EUCLIDEAN) == 0.25


def test_a_side_alone_keeps_its_order() -> None:
    dense = rank_dense(candidates({1: -0.5, 2: 0.5, 3: -0.2}), Metric.COSINE)
    assert dense.documents.tolist() == [2, 3, 1]
    assert dense.scores.tolist() == [0.5, 0, 0]
    lexical = rank_lexical(candidates({1: 2.0, 2: 8.0}), "")
    assert lexical.documents.tolist() == [2, 1]
    assert lexical.scores.tolist() == [1, 0.25]
    assert rank_lexical(candidates({}), "blue lamp").scores.tolist() == []


def test_a_poor_match_of_words_is_no_perfect_one() -> None:
    poor = rank_lexical(candidates({1: 2.0, 2: 4.0}), "affordable audio gear gear").scores
    assert poor.tolist() == pytest.approx([4 / 9, 2 / 9])
    assert rank_lexical(candidates({1: 2.0, 2: 12.0}), "affordable audio gear").scores.tolist() == pytest.approx(
        [1, 1 / 6]
    )
