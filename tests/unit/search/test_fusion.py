"""Each method by its formula, on lists small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.search.fusion import Sides, agreement, combine, flatness, full_match


def sides(nearest: list[float], best: list[float], meant: list[int], said: list[int], full: float = 0.0) -> Sides:
    floats = [np.array(one, dtype=np.float64) for one in (nearest, best)]
    places = [np.array(one, dtype=np.intp) for one in (meant, said)]
    return Sides(floats[0], floats[1], places[0], places[1], full)


THREE = sides([0.8, 0.6, 0.4], [10.0, 5.0], meant=[0, 1, 2, -1], said=[1, -1, -1, 0])
"""Four documents: three by meaning, of which the first holds words too, and one by words alone, the best of them."""


@pytest.mark.parametrize(
    ("method", "by_meaning", "by_words"),
    [
        (FusionMethod.SUM, [0.8, 0.6, 0.4, 0.32], [0.5, 0, 0, 1]),
        (FusionMethod.RRF, [1, 61 / 62, 61 / 63, 0], [61 / 62, 0, 0, 1]),
        (FusionMethod.MINMAX, [1, 0.5, 0, 0], [0, 0, 0, 1]),
        (
            FusionMethod.ZSCORE,
            [(1 + 1.2247449 / 2**0.5) / 2, 0.5, (1 - 1.2247449 / 2**0.5) / 2, (1 - 1.2247449 / 2**0.5) / 2],
            [(1 - 1 / 2**0.5) / 2, (1 - 1 / 2**0.5) / 2, (1 - 1 / 2**0.5) / 2, (1 + 1 / 2**0.5) / 2],
        ),
        (FusionMethod.DBSF, [0.5 + 1.2247449 / 6, 0.5, 0.5 - 1.2247449 / 6, 0], [0.5 - 1 / 6, 0, 0, 0.5 + 1 / 6]),
    ],
)
def test_a_method_is_its_formula(method: FusionMethod, by_meaning: list[float], by_words: list[float]) -> None:
    alone = combine(THREE, Fusion(method, 1.0))
    assert alone.meaning.tolist() == pytest.approx(by_meaning, abs=1e-6)
    assert alone.words.tolist() == [0] * 4
    assert combine(THREE, Fusion(method, 0.0)).words.tolist() == pytest.approx(by_words, abs=1e-6)
    mixed = combine(THREE, Fusion(method, 0.25))
    assert mixed.share == 0.25
    assert mixed.meaning.tolist() == pytest.approx([0.25 * value for value in by_meaning], abs=1e-6)
    assert mixed.words.tolist() == pytest.approx([0.75 * value for value in by_words], abs=1e-6)


@pytest.mark.parametrize("method", [FusionMethod.MINMAX, FusionMethod.ZSCORE, FusionMethod.DBSF])
def test_a_list_without_spread_is_all_alike(method: FusionMethod) -> None:
    level = sides([0.5, 0.5], [3.0], meant=[0, 1], said=[0, -1])
    parts = combine(level, Fusion(method, 0.5))
    assert parts.meaning[0] == parts.meaning[1] >= 0.25
    assert np.isfinite(parts.words).all()
    assert parts.words[0] >= parts.words[1]


def test_the_default_is_its_formula() -> None:
    agreed = (0.8 + 0.32) / 2 / 0.6
    share = 1 / (1 + 1.25 * agreed**1.5)
    parts = combine(THREE, Fusion())
    assert parts.share == pytest.approx(share)
    assert parts.meaning.tolist() == pytest.approx([share * value for value in (0.8, 0.6, 0.4, 0.32)])
    assert parts.words.tolist() == pytest.approx([(1 - share) * value for value in (0.5, 0, 0, 1)])


def test_agreement_is_at_most_1_and_1_where_nothing_is_known() -> None:
    assert agreement(sides([0.5, 0.5], [1.0], meant=[0, 1], said=[0, -1])) == 1.0
    assert agreement(sides([], [1.0], meant=[-1], said=[0])) == 1.0
    assert agreement(sides([0.0], [1.0], meant=[0], said=[0])) == 1.0
    assert agreement(sides([0.5], [], meant=[0], said=[-1])) == 1.0
    assert agreement(sides([0.8, 0.2], [1.0], meant=[0, 1], said=[-1, 0])) == pytest.approx(0.4)


def test_flatness_looks_at_the_tenth() -> None:
    ten = sides([], [8.0, 4, 4, 4, 4, 4, 4, 4, 4, 2], meant=[-1] * 10, said=list(range(10)))
    assert flatness(ten) == 0.25
    assert flatness(THREE) == 0.0


def test_a_full_match_counts_each_word_once() -> None:
    assert full_match("Lamp, lamp and 40W") == 9.0
    assert full_match("") == 0.0
    poor = sides([], [2.0], meant=[-1], said=[0], full=full_match("one two three four"))
    assert combine(poor, Fusion(FusionMethod.SUM, 0.0)).words.tolist() == pytest.approx([2 / 12])
