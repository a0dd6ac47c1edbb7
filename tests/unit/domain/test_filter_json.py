from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_json import parse_json, to_json
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    GeoBox,
    GeoPoint,
    GeoRadius,
    Gt,
    Gte,
    In,
    Lt,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
)


@pytest.mark.parametrize(
    ("obj", "where"),
    [
        ({}, And(())),
        ({"brand": "Acme"}, Eq("brand", "Acme")),
        ({"brand": None}, Exists("brand", present=False)),
        ({"brand": {"$eq": None}}, Exists("brand", present=False)),
        ({"brand": {"$ne": None}}, Exists("brand")),
        ({"brand": {"$exists": False}}, Exists("brand", present=False)),
        ({"n": {"$eq": 1}}, Eq("n", 1)),
        ({"n": {"$ne": 1}}, Ne("n", 1)),
        ({"n": {"$lt": 1}}, Lt("n", 1)),
        ({"n": {"$gt": 1}}, Gt("n", 1)),
        ({"n": {"$gte": 1, "$lte": 2.5}}, And((Gte("n", 1), Lte("n", 2.5)))),
        ({"n": {"$in": []}}, In("n", ())),
        ({"n": {"$nin": [1, "a", True]}}, NotIn("n", (1, "a", True))),
        ({"tags": {"$contains": "new"}}, ContainsAny("tags", ("new",))),
        ({"tags": {"$contains": ["new", "old"]}}, ContainsAny("tags", ("new", "old"))),
        ({"tags": {"$containsAll": ["new"]}}, ContainsAll("tags", ("new",))),
        ({"n": {"$not": {"$lt": 5}}}, Not(Lt("n", 5))),
        ({"n": {"$not": {"$lt": 5, "$ne": 7}}}, Not(And((Lt("n", 5), Ne("n", 7))))),
        ({"n": {"$not": 5}}, Not(Eq("n", 5))),
        ({"n": {"$not": None}}, Not(Exists("n", present=False))),
        ({"$not": {"n": 5, "m": 6}}, Not(And((Eq("n", 5), Eq("m", 6))))),
        ({"$and": []}, And(())),
        ({"$or": [{"n": 1}]}, Or((Eq("n", 1),))),
        (
            {"price": {"$lte": 100}, "$or": [{"brand": "Acme"}, {"tags": {"$in": ["new"]}}]},
            And((Lte("price", 100), Or((Eq("brand", "Acme"), In("tags", ("new",)))))),
        ),
        (
            {"at": {"$geoRadius": {"center": {"lat": 52, "lon": 13.5}, "radius_m": 500}}},
            GeoRadius("at", GeoPoint(52.0, 13.5), 500.0),
        ),
        (
            {"at": {"$geoRadius": {"radius_km": 1.5, "center": {"lon": 13, "lat": 52}}}},
            GeoRadius("at", GeoPoint(52.0, 13.0), 1500.0),
        ),
        (
            {"at": {"$geoBox": {"south": 1, "west": 2, "north": 3, "east": 4}}},
            GeoBox("at", 1.0, 2.0, 3.0, 4.0),
        ),
        ({"added": {"$gte": date(2024, 5, 1)}}, Gte("added", "2024-05-01")),
        ({"added": datetime(2024, 5, 1, tzinfo=UTC)}, Eq("added", "2024-05-01T00:00:00+00:00")),
        ({"n": np.int64(3), "x": {"$lt": np.float32(0.5)}}, And((Eq("n", 3), Lt("x", 0.5)))),
    ],
)
def test_spellings(obj: object, where: Filter) -> None:
    assert parse_json(obj) == where
    assert parse_json(to_json(where)) == where


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        (5, "filter", "expected an object"),
        ("price < 5", "filter", "expected an object"),
        ([], "filter", "expected an object"),
        ({1: 2}, "filter", "expected a field name or operator as key"),
        ({"price": {}}, "filter.price", "expected an operator"),
        ({"price": [1]}, "filter.price", "a list needs an operator"),
        ({"price": {"lte": 1}}, "filter.price.lte", "unknown operator 'lte'; did you mean '$lte'?"),
        ({"price": {"$regex": "x"}}, "filter.price.$regex", "unknown operator '$regex'; known: $eq, $ne"),
        ({"price": {"$lte": None}}, "filter.price.$lte", "got null; use $exists"),
        ({"price": {"$lte": [1]}}, "filter.price.$lte", "expected a string, number or bool, got a list"),
        ({"price": {"$in": 5}}, "filter.price.$in", "$in expects a list, got the number 5"),
        ({"price": {"$in": [1, None]}}, "filter.price.$in[1]", "got null"),
        ({"price": {"$gt": float("nan")}}, "filter.price.$gt", "expected a finite number"),
        ({"price": {"$exists": 1}}, "filter.price.$exists", "$exists expects true or false"),
        ({"$nand": []}, "filter.$nand", "unknown operator '$nand'; did you mean '$and'?"),
        ({"$gt": 5}, "filter.$gt", "belongs inside a field"),
        ({"$and": {}}, "filter.$and", "$and expects a list of filters"),
        ({"$or": [{"a": 1}, 5]}, "filter.$or[1]", "expected an object"),
        ({"$or": [{"a": 1}, {"b": {"$x": 1}}]}, "filter.$or[1].b.$x", "unknown operator"),
        ({"$not": []}, "filter.$not", "expected an object"),
        ({"n": {"$not": {"$not": {"$x": 1}}}}, "filter.n.$not.$not.$x", "unknown operator"),
        ({"at": {"$geoRadius": 5}}, "filter.at.$geoRadius", "expected an object with center, radius_m"),
        ({"at": {"$geoRadius": {"radius_m": 5}}}, "filter.at.$geoRadius", "center missing"),
        (
            {"at": {"$geoRadius": {"centre": {}, "radius_m": 5}}},
            "filter.at.$geoRadius.centre",
            "did you mean 'center'?",
        ),
        (
            {"at": {"$geoRadius": {"center": {"lat": 1, "lon": 2}, "radius_m": 5, "radius_km": 5}}},
            "filter.at.$geoRadius.radius_m",
            "unknown key",
        ),
        (
            {"at": {"$geoBox": {"south": "1", "west": 2, "north": 3, "east": 4}}},
            "filter.at.$geoBox.south",
            "finite number",
        ),
        (
            {"at": {"$geoBox": {"south": 10**400, "west": 2, "north": 3, "east": 4}}},
            "filter.at.$geoBox.south",
            "finite",
        ),
        ({"n": {"$in": list(range(10_001))}}, "filter.n.$in", "holds 10001 values; at most 10000"),
        ({"n": {"$eq": "x" * 8_193}}, "filter.n.$eq", "has 8193 characters; at most 8192"),
        ({"n": object()}, "filter.n", "got a Python object"),
    ],
)
def test_refusals_say_where_and_what(obj: object, field: str, message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_json(obj)
    assert caught.value.field == field
    assert message in str(caught.value)


def test_the_number_of_conditions_is_bounded() -> None:
    parse_json({"$or": [{"a": i} for i in range(499)]})
    for huge in ({"$or": [{"a": i} for i in range(500)]}, {f"f{i}": 1 for i in range(500)}):
        with pytest.raises(InvalidFilter, match="more than 500 conditions"):
            parse_json(huge)
    with pytest.raises(InvalidFilter, match="more than 2 conditions"):
        parse_json({"a": 1, "b": 2}, max_nodes=2)


@pytest.mark.parametrize(
    "wrap", [lambda w: {"$not": w}, lambda w: {"$and": [w]}, lambda w: {"a": {"$not": w.get("a", 1)}}]
)
def test_the_depth_is_bounded(wrap: Any) -> None:
    obj: dict[str, Any] = {"a": 1}
    for _ in range(31):
        obj = wrap(obj)
    parse_json(obj)
    for times in (1, 5_000):
        deeper = obj
        for _ in range(times):
            deeper = wrap(deeper)
        with pytest.raises(InvalidFilter, match="nested more than 32 deep"):
            parse_json(deeper)


def test_a_field_that_reads_like_an_operator_cannot_be_said() -> None:
    with pytest.raises(InvalidFilter, match="cannot name the field"):
        to_json(Eq("$and", 1))
