"""Two lists into one: every document once, in order, page after page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.search.parts import auto_in_steps

from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.schema import Metric
from nearfield.search.fuse import (
    DENSE_DEPTH,
    HYBRID_DEPTHS,
    depth_for,
    fuse,
    rank_dense,
    rank_lexical,
    unit_similarity,
)
from nearfield.search.fusion import UNSEEN
from nearfield.search.retrieve import Candidates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.search.fuse import Fused

TWO_STEPS = HYBRID_DEPTHS[1]


def candidates(scores: Mapping[int, float], most: int | None = None) -> Candidates:
    order = sorted(scores, key=lambda key: (-scores[key], key))[:most]
    documents = np.array(order, dtype=np.int64)
    return Candidates(documents, documents << 12, np.array([scores[key] for key in order], dtype=np.float32))


def fused(raw: Mapping[int, float], words: Mapping[int, float], how: Fusion | None = None, *, step: int = 50) -> Fused:
    lists = candidates(raw, step * DENSE_DEPTH), candidates(words, step)
    return fuse(*lists, Metric.COSINE, "desk lamp", how or Fusion())


@st.composite
def sides(draw: st.DrawFn) -> tuple[dict[int, float], dict[int, float]]:
    raw = draw(st.dictionaries(st.integers(1, 400), st.floats(0, 1, width=32), min_size=1, max_size=250))
    keys = draw(st.sets(st.sampled_from(sorted(raw)), max_size=150))
    words = {key: draw(st.one_of(st.sampled_from((1.0, 2.0)), st.floats(0.125, 9, width=32))) for key in sorted(keys)}
    return raw, words


@given(sides())
def test_the_default_is_its_formula(given_sides: tuple[dict[int, float], dict[int, float]]) -> None:
    raw, words = given_sides
    found = fuse(candidates(raw), candidates(words), Metric.COSINE, "desk lamp", Fusion()).ranked
    expected = auto_in_steps(raw, words, full=6.0)
    assert found.scores.tolist() == pytest.approx([score for _, score in expected], abs=1e-6)
    scores = dict(expected)
    for document, score in zip(found.documents.tolist(), found.scores.tolist(), strict=True):
        assert score == pytest.approx(scores[document], abs=1e-6)


ways = st.just(Fusion()) | st.builds(
    Fusion, st.sampled_from(sorted({*FusionMethod} - {FusionMethod.AUTO})), st.floats(0, 1)
)


@given(sides(), ways)
def test_a_deeper_search_begins_as_a_shallow_one(
    given_sides: tuple[dict[int, float], dict[int, float]], how: Fusion
) -> None:
    shallow, deep = (fused(*given_sides, how, step=step) for step in HYBRID_DEPTHS[:2])
    seen = len(shallow.ranked)
    assert deep.ranked.documents[:seen].tolist() == shallow.ranked.documents.tolist()
    assert deep.ranked.chunks[:seen].tolist() == shallow.ranked.chunks.tolist()
    assert deep.ranked.scores[:seen].tolist() == shallow.ranked.scores.tolist()
    assert deep.share == shallow.share
    assert (np.diff(deep.ranked.scores) <= 0).all()
    assert (deep.meaning + deep.words).tolist() == pytest.approx(deep.ranked.scores.tolist(), abs=1e-6)
    assert len(set(deep.ranked.documents.tolist())) == len(deep.ranked)


def test_ties_break_by_document() -> None:
    assert fused({3: 0.5, 1: 0.5, 2: 0.5}, {2: 1.0, 3: 1.0}).ranked.documents.tolist() == [2, 3, 1]


def test_a_document_only_words_found_counts_as_a_little_less_alike_than_all_that_meaning_found() -> None:
    raw = dict.fromkeys(range(1, 101), 0.5)
    found = fused(raw, {200: 12.0})
    place = found.ranked.documents.tolist().index(200)
    assert found.meaning[place] == pytest.approx(found.share * UNSEEN * 0.5)
    assert found.words[place] == pytest.approx(1 - found.share)
    assert found.ranked.chunks[place] == 200 << 12


def test_words_count_as_far_as_meaning_agrees() -> None:
    raw = {1: 0.4, 2: 0.4, 3: 0.4, 4: 0.1, 5: 0.1, 6: 0.1}
    beside_the_point = fused(raw, {4: 3.0, 5: 3.0, 6: 3.0})
    assert beside_the_point.ranked.documents.tolist() == [1, 2, 3, 4, 5, 6]
    to_the_point = fused(raw, {3: 3.0, 2: 3.0})
    assert to_the_point.ranked.documents.tolist()[:2] == [2, 3]
    assert to_the_point.share < 0.5 < beside_the_point.share


def test_a_match_of_words_that_stands_out_is_believed_sooner() -> None:
    raw = {key: 0.9 - key / 1000 for key in range(1, 300)}
    alone = fused(raw, {250: 12.0})
    among_many = fused(raw, {250: 12.0} | dict.fromkeys(range(251, 280), 11.0))
    assert alone.share < among_many.share
    assert alone.ranked.documents[0] == 250


@pytest.mark.parametrize(
    ("raw", "words", "share"), [({}, {}, 0.0), ({1: 0.4}, {}, 1.0), ({}, {1: 2.0}, 0.0), ({1: 0.0}, {1: 2.0}, None)]
)
def test_either_side_may_be_empty(raw: dict[int, float], words: dict[int, float], share: float | None) -> None:
    found = fused(raw, words)
    assert found.ranked.documents.tolist() == list(raw or words)
    assert share is None or found.share == share
    for method in FusionMethod:
        assert fused(raw, words, Fusion(method)).ranked.documents.tolist() == list(raw or words)


def test_the_depth_is_a_step() -> None:
    assert [depth_for(want) for want in (1, 50, 51, 5_000, 5_001)] == [50, 50, 100, 5_000, 5_001]


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
