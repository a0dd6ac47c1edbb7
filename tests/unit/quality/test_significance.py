from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest

from nearfield.domain.errors import MissingDependency
from nearfield.domain.judgments import Scores
from nearfield.quality.significance import compare, compare_all


def test_few_queries_are_tested_by_every_flip_of_signs() -> None:
    ours = np.array([0.9, 0.8, 0.4, 0.7, 0.6])
    others = np.array([0.5, 0.6, 0.5, 0.1, 0.3])
    differences = ours - others
    flips = np.array(list(itertools.product([1, -1], repeat=5))) @ differences
    expected = (np.abs(flips) >= abs(differences.sum()) - 1e-12).mean()
    found = compare("ndcg@10", ours, others)
    assert found.p_randomization == pytest.approx(expected)
    assert (found.better, found.worse, found.same) == (4, 1, 0)
    assert found.difference == pytest.approx(differences.mean())


def test_the_t_test_is_students() -> None:
    differences = np.array([0.1, 0.3, -0.1, 0.2, 0.4, 0.0])
    found = compare("p@10", 0.5 + differences, np.full(6, 0.5))
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(6))
    assert t == pytest.approx(1.9640, abs=1e-3)
    assert found.p_t == pytest.approx(0.1067, abs=1e-3)  # from a table of t with 5 degrees of freedom
    half = 2.5706 * differences.std(ddof=1) / math.sqrt(6)
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=1e-4)


def test_the_same_scores_give_the_same_answer() -> None:
    random = np.random.default_rng(1)
    ours, others = random.random(300), random.random(300)
    assert compare("p@10", ours, others) == compare("p@10", ours, others)
    there, back = compare("p@10", ours, others), compare("p@10", others, ours)
    assert there.difference == -back.difference
    assert there.p_randomization == pytest.approx(back.p_randomization, abs=0.02)


def test_a_real_difference_is_found_and_chance_is_not() -> None:
    random = np.random.default_rng(2)
    base = random.random(200)
    assert compare("p@10", base + random.normal(0.05, 0.1, 200), base).significant()
    called = [compare("p@10", base, base + random.normal(0, 0.1, 200), resamples=300).significant() for _ in range(100)]
    assert sum(called) <= 13  # of 100 at 5%: more come once in two thousand runs


def test_nothing_to_compare_is_no_difference() -> None:
    for scores in (np.array([]), np.array([0.5]), np.array([0.5, 0.7])):
        found = compare("p@10", scores, scores)
        assert (found.difference, found.p_randomization, found.p_t, found.better) == (0.0, 1.0, 1.0, 0)
    assert not compare("p@10", np.array([1.0]), np.array([0.0])).significant()


def test_the_same_difference_everywhere_is_no_chance() -> None:
    found = compare("p@10", np.full(20, 0.75), np.full(20, 0.25))
    assert found.significant(0.001)
    assert (found.p_t, found.low, found.high) == (0.0, 0.5, 0.5)


def test_every_measure_is_compared() -> None:
    ours, others = Scores({"a@1": np.array([1.0, 0.0])}), Scores({"a@1": np.array([0.0, 0.0])})
    (found,) = compare_all(ours, others)
    assert (found.measure, found.mean, found.other_mean) == ("a@1", 0.5, 0.0)


def test_what_is_not_installed_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingDependency, match=r"pip install 'nearfield\[evaluate\]'"):
        compare("p@10", np.array([1.0, 2.0]), np.array([0.0, 0.0]))
