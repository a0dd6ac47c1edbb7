"""Expressions: what they compute, and how a wrong one is told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nearfield.domain.boost_expression import MAX_LENGTH, evaluate, fields_in, parse_expression
from nearfield.domain.errors import InvalidRequest

COLUMNS = {"price": np.array([4.0, 100.0, np.nan]), "sales": np.array([0.0, 9.0, 3.0])}


def value(text: str) -> list[float]:
    return list(evaluate(parse_expression(text, at="boosts[0].expression"), COLUMNS, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("8 / 4 / 2", 1.0),
        ("8 - 4 - 2", 2.0),
        ("-2 * -3", 6.0),
        ("2--1", 3.0),
        ("min(3, 1, 2) + max(3, 1, 2)", 4.0),
        ("sqrt(16) + log(1)", 4.0),
        ("1e2 + .5 + 2.", 102.5),
    ],
)
def test_arithmetic_is_as_usual(text: str, expected: float) -> None:
    assert value(text) == [expected] * 3


def test_fields_are_the_documents_own_numbers() -> None:
    assert value("sqrt(price) + sales")[:2] == [2.0, 19.0]
    assert value("log(1 + sales)") == pytest.approx([0.0, math.log(10), math.log(4)])


def test_a_field_may_be_named_as_a_function() -> None:
    tree = parse_expression("log + log(log)", at="x")
    assert fields_in(tree) == ("log",)
    assert evaluate(tree, {"log": np.array([1.0])}, 1).tolist() == [1.0]


@pytest.mark.parametrize("text", ["price", "1 / (price - price)", "log(0 - 1 + price - price)", "sqrt(-1)", "0 / 0"])
def test_what_is_no_finite_number_is_no_value(text: str) -> None:
    assert math.isnan(value(text)[2])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "blank"),
        ("1 +", "column 4"),
        ("(1 + 2", "column 7"),
        ("1 2", "column 3"),
        ("price $ 2", "column 7"),
        ("a.b", "column 2"),
        ("__import__('os')", "column 12"),
        ("1 + exp(2)", "column 5 unknown function exp"),
        ("log(1, 2)", "log takes 1 arguments, got 2"),
        ("min(1)", "min takes 2 to 16 arguments, got 1"),
        ("1 + " * 260 + "1", "at most 1000"),
        ("-" * 300 + "1", "at most 200"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as told:
        parse_expression(text, at="boosts[0].expression")
    assert told.value.field == "boosts[0].expression"


def test_the_longest_and_deepest_is_read_without_running_out_of_stack() -> None:
    with pytest.raises(InvalidRequest):
        parse_expression("-" * (MAX_LENGTH - 1) + "1", at="x")
    assert evaluate(parse_expression("(" * 499 + "1" + ")" * 499, at="x"), {}, 1).tolist() == [1.0]
