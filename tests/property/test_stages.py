"""Laws of what happens between fusing and presenting: scores stay scores, parts add up, nothing is lost or doubled."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.boosts import MAX_FACTOR
from nearfield.search.boost import applied, reordered
from nearfield.search.diversity import marginal
from nearfield.search.ranked import Ranked

UNIT = st.floats(0, 1, width=32)
FACTOR = st.floats(0, MAX_FACTOR)


@st.composite
def rankings(draw: st.DrawFn) -> Ranked:
    scores = sorted(draw(st.lists(UNIT, max_size=30)), reverse=True)
    keys = draw(st.permutations(range(1, len(scores) + 1)))
    documents = np.array(keys, dtype=np.int64)
    return Ranked(documents, documents << 12, np.array(scores, dtype=np.float32))


@given(UNIT, FACTOR, FACTOR)
def test_a_boosted_score_is_a_score_and_rises_with_the_factor(score: float, one: float, other: float) -> None:
    low, high = sorted([one, other])
    under = applied(np.array([score, score]), np.array([low, high]))
    assert 0 <= under[0] <= under[1] <= 1
    assert applied(np.array([score]), np.array([1.0]))[0] == score


@given(UNIT, UNIT, FACTOR)
def test_equally_boosted_documents_keep_their_order(one: float, other: float, factor: float) -> None:
    low, high = sorted([one, other])
    under = applied(np.array([low, high]), np.full(2, factor))
    assert under[0] <= under[1] + 1e-12


@given(st.data(), rankings())
def test_boosts_add_up_and_lose_nobody(data: st.DataObject, ranked: Ranked) -> None:
    count = len(ranked.documents)
    head = data.draw(st.integers(0, count))
    sizes = data.draw(st.integers(1, 3))
    factors = [np.array(data.draw(st.lists(FACTOR, min_size=head, max_size=head)), dtype=np.float64)] * sizes
    after = reordered(ranked, head, factors)
    assert sorted(after.ranked.documents.tolist()) == sorted(ranked.documents.tolist())
    before = dict(zip(ranked.documents.tolist(), ranked.scores.tolist(), strict=True))
    scores = after.ranked.scores.tolist()
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for place, key in enumerate(after.ranked.documents.tolist()):
        assert abs(before[key] + after.deltas[:, place].sum() - scores[place]) < 1e-6
    equal = [(-score, key) for score, key in zip(scores, after.ranked.documents.tolist(), strict=True)][:head]
    assert equal == sorted(equal)


@given(st.data(), rankings(), UNIT)
def test_diversity_keeps_everybody_and_the_first(data: st.DataObject, ranked: Ranked, diversity: float) -> None:
    count = len(ranked.documents)
    head = data.draw(st.integers(0, count))
    numbers = st.lists(st.floats(-1, 1, width=32), min_size=head * 3, max_size=head * 3)
    vectors = np.array(data.draw(numbers), dtype=np.float32).reshape(head, 3)
    after = marginal(ranked, vectors, diversity)
    assert sorted(after.documents.tolist()) == sorted(ranked.documents.tolist())
    assert after.documents[head:].tolist() == ranked.documents[head:].tolist()
    assert after.documents[:1].tolist() == ranked.documents[:1].tolist()
    scores = after.scores.tolist()
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


@given(rankings())
def test_without_diversity_nothing_moves(ranked: Ranked) -> None:
    after = marginal(ranked, np.ones((len(ranked.documents), 2), dtype=np.float32), 0.0)
    assert after.documents.tolist() == ranked.documents.tolist()
    assert after.scores.tolist() == ranked.scores.tolist()
