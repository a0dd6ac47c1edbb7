"""Boosts as callers write them."""

from __future__ import annotations

from typing import Any

import pytest

from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.boosts import FilterBoost, Formula, Popularity, Recency, check_fields
from nearfield.domain.errors import InvalidFilter, InvalidRequest
from nearfield.domain.filters import Gt
from nearfield.domain.schema import FieldType

FIELDS = {"added": FieldType.DATETIME, "sales": FieldType.INT, "brand": FieldType.KEYWORD}


def test_each_kind_is_read() -> None:
    recency, popularity, full, formula, filtered = parse_boosts(
        [
            {"recency": "added", "half_life": "2w", "weight": 0.5, "origin": "1970-01-02"},
            {"popularity": "sales", "half": 100},
            {"popularity": "sales", "full": 1000, "weight": 2},
            {"expression": "1 + sales / 10"},
            {"where": "sales > 3", "factor": 2},
        ]
    )
    assert recency == Recency("added", 14 * 86_400.0, 0.5, 86_400_000_000)
    assert popularity == Popularity("sales", 100.0, "saturation", 1.0)
    assert full == Popularity("sales", 1000.0, "log", 2.0)
    assert isinstance(formula, Formula)
    assert formula.text == "1 + sales / 10"
    assert filtered == FilterBoost(Gt("sales", 3), 2.0)
    assert parse_boosts([{"where": {"sales": {"$gt": 3}}, "factor": 2}]) == (filtered,)


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"recency": "added"}, "boosts", "expected boosts as a list"),
        ([3], "boosts[0]", "expected an object"),
        ([{"factor": 2}], "boosts[0]", "expected one of recency"),
        ([{"recency": "added", "popularity": "sales"}], "boosts[0]", "recency and popularity"),
        ([{"recency": "added", "halflife": "3d"}], "boosts[0]", "did you mean 'half_life'"),
        ([{"recency": "added"}], "boosts[0]", "half_life is missing"),
        ([{"recency": "added", "half_life": "soon"}], "boosts[0].half_life", "30d"),
        ([{"recency": "added", "half_life": "0d"}], "boosts[0].half_life", "above 0"),
        ([{"recency": "added", "half_life": "1d", "weight": 10}], "boosts[0].weight", "0 to 9"),
        ([{"recency": "added", "half_life": "1d", "origin": "now"}], "boosts[0].origin", "ISO 8601"),
        ([{"popularity": "sales"}], "boosts[0]", "half .* or full"),
        ([{"popularity": "sales", "half": True}], "boosts[0].half", "expected float"),
        ([{"expression": 3}], "boosts[0].expression", "expected a string"),
        ([{"where": "sales > 3"}], "boosts[0]", "factor is missing"),
        ([{"where": "sales > 3", "factor": 11}], "boosts[0].factor", "0 to 10"),
        ([{"expression": "1"}] * 17, "boosts", "at most 16"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(given: Any, field: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as told:
        parse_boosts(given)
    assert told.value.field == field


def test_a_wrong_filter_is_a_filters_error() -> None:
    with pytest.raises(InvalidFilter):
        parse_boosts([{"where": "sales >", "factor": 2}])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"recency": "sales", "half_life": "1d"}, "'sales' is int; expected datetime"),
        ({"popularity": "brand", "half": 1}, "'brand' is keyword; expected int or float"),
        ({"expression": "salse + 1"}, "did you mean 'sales'"),
    ],
)
def test_fields_are_the_collections(given: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check_fields(parse_boosts([given]), FIELDS)
