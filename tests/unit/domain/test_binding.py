from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from nearfield.domain.binding import bind
from nearfield.domain.errors import InvalidFilter
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
from nearfield.domain.schema import FieldType

FIELDS = {
    "name": FieldType.TEXT,
    "brand": FieldType.KEYWORD,
    "n": FieldType.INT,
    "price": FieldType.FLOAT,
    "ok": FieldType.BOOL,
    "added": FieldType.DATETIME,
    "at": FieldType.GEO,
    "tags": FieldType.KEYWORDS,
    "nums": FieldType.INTS,
    "days": FieldType.DATETIMES,
    "places": FieldType.GEOS,
}
MAY_2024 = 1_714_521_600_000_000


@pytest.mark.parametrize(
    ("where", "bound"),
    [
        (Eq("n", 5.0), Eq("n", 5)),
        (Eq("n", 5.5), In("n", ())),
        (Ne("n", 5.5), NotIn("n", ())),
        (Lt("n", 5.5), Lte("n", 5)),
        (Lte("n", 5.5), Lte("n", 5)),
        (Gt("n", -5.5), Gte("n", -5)),
        (Gte("n", 5.5), Gte("n", 6)),
        (Lt("n", 5.0), Lt("n", 5)),
        (Lt("n", 2**63), Exists("n")),
        (Gte("n", -(10**30)), Exists("n")),
        (Gt("n", 2**63), In("n", ())),
        (Lte("n", -1e300), In("n", ())),
        (Lt("n", 2**63 - 1), Lt("n", 2**63 - 1)),
        (In("n", (3, 1, 2.5, 3.0, 2**64, 1)), In("n", (3, 1))),
        (NotIn("n", (2.5,)), NotIn("n", ())),
        (Eq("price", 5), Eq("price", 5.0)),
        (Gte("price", 2**53 + 1), Gte("price", 2.0**53)),
        (In("price", (1, 1.0, 2)), In("price", (1.0, 2.0))),
        (Eq("added", "2024-05-01"), Eq("added", MAY_2024)),
        (Gt("added", "2024-05-01T02:00:00+02:00"), Gt("added", MAY_2024)),
        (In("added", ("2024-05-01", "2024-05-01T00:00Z")), In("added", (MAY_2024,))),
        (Lt("brand", "B"), Lt("brand", "B")),
        (Ne("name", "x" * 9000), Ne("name", "x" * 9000)),
        (Eq("tags", "a"), ContainsAny("tags", ("a",))),
        (Ne("tags", "a"), Not(ContainsAny("tags", ("a",)))),
        (In("tags", ("a", "b", "a")), ContainsAny("tags", ("a", "b"))),
        (NotIn("tags", ()), Not(ContainsAny("tags", ()))),
        (ContainsAll("tags", ("b", "a", "b")), ContainsAll("tags", ("b", "a"))),
        (ContainsAll("nums", (1, 2.0, 1.0)), ContainsAll("nums", (1, 2))),
        (ContainsAll("nums", (1, 2.5)), ContainsAny("nums", ())),
        (ContainsAll("nums", ()), ContainsAll("nums", ())),
        (Eq("nums", 2.5), ContainsAny("nums", ())),
        (ContainsAny("days", ("2024-05-01",)), ContainsAny("days", (MAY_2024,))),
        (Exists("at"), Exists("at")),
        (GeoRadius("at", GeoPoint(1, 2), 0), GeoRadius("at", GeoPoint(1.0, 2.0), 0.0)),
        (GeoBox("places", -1, 170, 1, -170), GeoBox("places", -1.0, 170.0, 1.0, -170.0)),
        (And((Eq("n", 1),)), Eq("n", 1)),
        (Or((And(()), Not(Or(())))), Or((And(()), Not(Or(()))))),
    ],
    ids=repr,
)
def test_bound(where: Filter, bound: Filter) -> None:
    found = bind(where, FIELDS)
    assert found == bound
    assert repr(found) == repr(bound)


def test_a_python_datetime_is_taken_too() -> None:
    moment: Any = datetime(2024, 5, 1, tzinfo=UTC)
    assert bind(Eq("added", moment), FIELDS) == Eq("added", MAY_2024)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (Eq("brnad", "x"), "unknown field 'brnad'; did you mean 'brand'? known: name, brand, n, price"),
        (Eq("zzz", "x"), "unknown field 'zzz'; known: name, brand"),
        (Eq("price", "5"), "field 'price': expected float, got the string \"5\""),
        (Eq("price", True), "field 'price': expected float, got true"),
        (Lt("price", math.nan), "expected a finite float, got the number nan"),
        (Lt("price", 10**400), "expected a finite float"),
        (Eq("n", True), "field 'n': expected int, got true"),
        (Eq("n", "5"), "field 'n': expected int, got the string \"5\""),
        (Lt("n", math.inf), "field 'n': expected int, got the number inf"),
        (In("nums", (1, "2")), "field 'nums': expected int, got the string \"2\""),
        (Eq("ok", 1), "field 'ok': expected bool (true or false), got the number 1"),
        (Lt("ok", True), "'<' has no meaning on a bool field; it needs int, float, datetime or keyword"),
        (Gte("name", "a"), "'>=' has no meaning on a text field"),
        (Lt("tags", "a"), "'<' has no meaning on a keyword[] field; it needs a single value"),
        (ContainsAny("brand", ("a",)), "'contains' has no meaning on a keyword field; it needs a list field"),
        (ContainsAll("name", ("a",)), "'contains all' has no meaning on a text field"),
        (Eq("added", 1714521600), "expected datetime in ISO 8601"),
        (Eq("added", "soon"), "expected datetime in ISO 8601"),
        (Eq("brand", 5), "field 'brand': expected a string, got the number 5"),
        (Eq("brand", "\ud800"), "lone surrogate"),
        (Eq("brand", "x" * 9000), "at most 8192 characters"),
        (Eq("at", "x"), "'equals' has no meaning on a geo field; use geo radius, geo box or exists"),
        (GeoRadius("brand", GeoPoint(1, 2), 3), "'geo radius' has no meaning on a keyword field; it needs a geo field"),
        (GeoRadius("at", GeoPoint(91, 2), 3), "expected a latitude of -90 to 90"),
        (GeoRadius("at", GeoPoint(1, 2), -1), "expected a radius of 0 metres or more"),
        (GeoRadius("at", GeoPoint(1, 2), math.inf), "expected a finite float"),
        (GeoBox("at", 2, 0, 1, 0), "expected south <= north"),
        (GeoBox("places", 1, 0, 2, 181), "expected a longitude of -180 to 180"),
    ],
    ids=repr,
)
def test_refused(where: Filter, message: str) -> None:
    for wrapped in (where, Not(And((Exists("n"), where)))):
        with pytest.raises(InvalidFilter) as caught:
            bind(wrapped, FIELDS)
        assert message in str(caught.value)
        assert caught.value.field == f"filter.{where.field}"  # type: ignore[attr-defined]


def test_a_tree_of_any_depth_is_refused_and_not_followed() -> None:
    where: Filter = Eq("n", 1)
    for _ in range(50_000):
        where = Not(where)
    with pytest.raises(InvalidFilter, match="nested more than 32 deep"):
        bind(where, FIELDS)


def test_what_is_no_filter_is_refused() -> None:
    with pytest.raises(InvalidFilter, match="expected a filter, got an object"):
        bind({"n": 1}, FIELDS)  # type: ignore[arg-type]
