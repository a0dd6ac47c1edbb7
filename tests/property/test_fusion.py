"""Laws of every fusion method, on any two lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nearfield.domain.fusion import DEFAULT_WEIGHT, Fusion, FusionMethod
from nearfield.domain.schema import Metric
from nearfield.search.fuse import fuse
from nearfield.search.fusion import Sides, combine
from nearfield.search.retrieve import Candidates

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDING = 1e-9

similarity = st.one_of(st.sampled_from((0.0, 0.25, 0.5, 1.0)), st.floats(0, 1))
bm25 = st.one_of(st.sampled_from((1.0, 2.0, 4.0)), st.floats(0.01, 100))
fusions = st.just(Fusion()) | st.builds(Fusion, st.sampled_from(list(DEFAULT_WEIGHT)), st.floats(0, 1))
fixed = st.builds(Fusion, st.sampled_from((FusionMethod.SUM, FusionMethod.RRF)), st.floats(0, 1))


@st.composite
def any_sides(draw: st.DrawFn) -> Sides:
    nearest = sorted(draw(st.lists(similarity, max_size=30)), reverse=True)
    best = sorted(draw(st.lists(bm25, max_size=30)), reverse=True)
    both = draw(st.integers(0, min(len(nearest), len(best))))
    meant = draw(st.permutations(range(len(nearest))))
    said = draw(st.permutations(range(len(best))))
    return Sides(
        np.array(nearest, dtype=np.float64),
        np.array(best, dtype=np.float64),
        np.array([*meant, *[-1] * (len(best) - both)], dtype=np.intp),
        np.array([*said[:both], *[-1] * (len(nearest) - both), *said[both:]], dtype=np.intp),
        draw(st.floats(0, 60)),
    )


def values(sides: Sides, fusion: Fusion) -> np.ndarray:
    parts = combine(sides, fusion)
    return parts.meaning + parts.words


@given(any_sides(), fusions)
def test_scores_and_their_parts_lie_in_0_to_1(sides: Sides, fusion: Fusion) -> None:
    parts = combine(sides, fusion)
    assert 0 <= parts.share <= 1
    for part, most in ((parts.meaning, parts.share), (parts.words, 1 - parts.share)):
        assert part.shape == sides.meant.shape
        assert ((part >= 0) & (part <= most + ROUNDING)).all()


@given(any_sides(), fusions)
def test_a_document_as_good_on_both_sides_never_scores_less(sides: Sides, fusion: Fusion) -> None:
    scores = values(sides, fusion)
    # a place nearer the top, or any place beside none, is at least as good
    meant, said = (np.where(places < 0, np.inf, places) for places in (sides.meant, sides.said))
    better = (meant[:, None] <= meant[None, :]) & (said[:, None] <= said[None, :])
    assert (scores[:, None] >= scores[None, :] - ROUNDING)[better].all()


@given(any_sides(), fixed, st.data())
def test_a_better_part_never_lowers_the_rank(sides: Sides, fusion: Fusion, data: st.DataObject) -> None:
    """A document that trades places with the one before it on either side is overtaken by nothing it was above."""
    side = data.draw(st.sampled_from(("meant", "said")))
    places = getattr(sides, side)
    assume((places > 0).any())
    chosen = int(data.draw(st.sampled_from(np.flatnonzero(places > 0).tolist())))
    other = int(np.flatnonzero(places == places[chosen] - 1)[0])
    moved = places.copy()
    moved[[chosen, other]] = moved[[other, chosen]]
    before, after = values(sides, fusion), values(replace(sides, **{side: moved}), fusion)
    below = before <= before[chosen] - ROUNDING
    assert (after[below] <= after[chosen] + ROUNDING).all()


@pytest.mark.parametrize("method", list(DEFAULT_WEIGHT))
@given(any_sides())
def test_all_of_one_side_is_the_order_of_that_side(method: FusionMethod, sides: Sides) -> None:
    for weight, places in ((1.0, sides.meant), (0.0, sides.said)):
        scores = values(sides, Fusion(method, weight))
        listed = np.flatnonzero(places >= 0)
        ordered = scores[listed[np.argsort(places[listed])]]
        assert (np.diff(ordered) <= ROUNDING).all()


def listed(scores: Mapping[int, float]) -> Candidates:
    keys = sorted(scores, key=lambda key: (-np.float32(scores[key]), key))
    documents = np.array(keys, dtype=np.int64)
    return Candidates(documents, documents << 12, np.array([scores[key] for key in keys], dtype=np.float32))


@given(
    st.dictionaries(st.integers(1, 300), similarity, max_size=150),
    st.dictionaries(st.integers(1, 300), bm25, max_size=150),
    fusions,
)
def test_every_document_comes_out_once_best_first_ties_by_key(
    near: dict[int, float], said: dict[int, float], fusion: Fusion
) -> None:
    found = fuse(listed(near), listed(said), Metric.COSINE, "any words at all", fusion)
    ranked = found.ranked
    assert sorted(ranked.documents.tolist()) == sorted({*near, *said})
    assert ((ranked.scores >= 0) & (ranked.scores <= 1)).all()
    assert (np.diff(ranked.scores) <= 0).all()
    np.testing.assert_allclose(found.meaning + found.words, ranked.scores, atol=1e-6)
    if len(near) <= 100 and len(said) <= 50:  # one step
        totals = found.meaning + found.words
        tied = np.flatnonzero(np.diff(totals) == 0)
        assert (ranked.documents[tied] < ranked.documents[tied + 1]).all()
