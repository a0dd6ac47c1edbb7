from __future__ import annotations

import sys
from math import log2

import pytest

from nearfield.domain.errors import InvalidRequest, MissingDependency
from nearfield.domain.judgments import JudgedQuery
from nearfield.quality.measures import MEASURES, Grader, check_measure, grade, ndcg

TWO = (
    JudgedQuery("1", "moon", {"a": 3, "b": 1, "c": 0}),
    JudgedQuery("2", "tea", {"a": 1}),
)


def test_the_measures_are_those_of_the_books() -> None:
    scores = grade(TWO, [["x", "b", "a", "c"], ["y"]])
    best = 3 / log2(2) + 1 / log2(3)
    assert scores.values["ndcg@10"] == pytest.approx([(1 / log2(3) + 3 / log2(4)) / best, 0.0])
    assert scores.values["mrr@10"] == pytest.approx([1 / 2, 0.0])
    assert scores.values["recall@100"] == pytest.approx([1.0, 0.0])
    assert scores.values["p@10"] == pytest.approx([0.2, 0.0])
    assert scores.values["judged@10"] == pytest.approx([3 / 4, 0.0])
    assert scores.mean("p@10") == pytest.approx(0.1)
    assert set(scores.means) == set(MEASURES)


def test_a_cutoff_ends_what_is_looked_at() -> None:
    late = [[*(f"x{n}" for n in range(10)), "a"], ["a"]]
    scores = grade(TWO, late, ("ndcg@10", "recall@100", "recall@5", "mrr@11"))
    assert scores.values["ndcg@10"] == pytest.approx([0.0, 1.0])
    assert scores.values["recall@100"] == pytest.approx([0.5, 1.0])
    assert scores.values["recall@5"] == pytest.approx([0.0, 1.0])
    assert scores.values["mrr@11"] == pytest.approx([1 / 11, 1.0])
    assert ndcg(TWO, late, depth=11)[0] > 0


def test_a_query_that_found_nothing_scores_nothing() -> None:
    scores = grade(TWO, [[], ["a"]])
    assert [values[0] for values in scores.values.values()] == [0.0] * 5
    assert grade(TWO, [[], []]).means == dict.fromkeys(MEASURES, 0.0)
    assert grade([], []).means == dict.fromkeys(MEASURES, 0.0)


def test_ids_may_hold_anything() -> None:
    odd = {"a b": 1, "a\0b": 1, "a\0c": 0, "\udc80": 2, "": 1}
    scores = grade([JudgedQuery("\0", "x", odd)], [["a\0b", "a b", "", "\udc80", "q0"]])
    assert scores.mean("recall@100") == 1.0
    assert scores.mean("p@10") == pytest.approx(0.4)


def test_an_id_told_twice_counts_once() -> None:
    assert grade(TWO[:1], [["b", "b", "a"]]).means == grade(TWO[:1], [["b", "a"]]).means


def test_a_grader_measures_again_and_again() -> None:
    grader = Grader(TWO)
    first = grader.grade([["a"], []])
    grader.grade([[], ["a"]])
    assert grader.grade([["a"], []]).means == first.means
    with pytest.raises(ValueError, match="1 rankings for 2 queries"):
        grader.grade([["a"]])


def test_an_unknown_measure_is_told_with_those_there_are() -> None:
    assert check_measure(" nDCG@10 ") == "ndcg@10"
    for wrong in ("ndcg", "map@10", "p@0", "p@-1", "p@99999", "p@10 "):
        with pytest.raises(InvalidRequest, match="expected one of ndcg@k, mrr@k"):
            Grader(TWO, (wrong,))


def test_what_is_not_installed_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingDependency, match=r"pip install 'nearfield\[evaluate\]'"):
        Grader(TWO)
