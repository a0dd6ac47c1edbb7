from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from nearfield.domain.errors import InvalidDocument
from nearfield.domain.filters import GeoPoint
from nearfield.domain.rows import MAX_BODY_DEPTH, check_body, json_ready, read_textual, row_of
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
    "places": FieldType.GEOS,
}


def test_a_row_holds_the_declared_values() -> None:
    body = {
        "other": object(),
        "tags": ["a", None, "a"],
        "at": [52.5, 13],
        "added": "1970-01-01T00:00:01Z",
        "ok": False,
        "price": 5,
        "n": 5.0,
        "brand": "",
        "name": "x" * 100_000,
        "nums": (1, 2.0),
        "places": [{"lat": 1, "lng": 2}, [3, 4]],
    }
    row = row_of(body, FIELDS)
    assert list(row) == list(FIELDS)
    assert row == {
        "name": "x" * 100_000,
        "brand": "",
        "n": 5,
        "price": 5.0,
        "ok": False,
        "added": 1_000_000,
        "at": GeoPoint(52.5, 13.0),
        "tags": ("a", "a"),
        "nums": (1, 2),
        "places": (GeoPoint(1.0, 2.0), GeoPoint(3.0, 4.0)),
    }


@pytest.mark.parametrize("name", list(FIELDS))
def test_missing_and_null_are_absent(name: str) -> None:
    assert row_of({}, FIELDS) == row_of({name: None}, FIELDS) == {}


@pytest.mark.parametrize("name", ["tags", "nums", "places"])
def test_lists_without_a_value_are_absent(name: str) -> None:
    assert row_of({name: []}, FIELDS) == row_of({name: [None]}, FIELDS) == {}


@pytest.mark.parametrize("name", ["n", "price", "ok", "added", "at", "nums"])
def test_a_blank_string_is_absent_where_it_cannot_be_a_value(name: str) -> None:
    assert row_of({name: ""}, FIELDS) == row_of({name: " "}, FIELDS) == {}
    assert row_of({"name": "", "brand": " "}, FIELDS) == {"name": "", "brand": " "}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("price", "abc", "field 'price': expected float, got the string \"abc\""),
        ("price", math.nan, "expected a finite float"),
        ("n", 5.5, "field 'n': expected int, got the number 5.5"),
        ("n", 2**63, "expected int of 64 bits"),
        ("n", True, "expected int, got true"),
        ("ok", "yes", "expected bool"),
        ("brand", 5, "expected a string, got the number 5"),
        ("brand", "x" * 8193, "at most 8192 characters, got 8193; declare the field as text"),
        ("name", "\ud800", "lone surrogate"),
        ("added", 5, "expected datetime"),
        ("at", {"lat": 91, "lon": 0}, "expected a latitude"),
        ("tags", "a", "field 'tags': expected a list of keyword, got the string \"a\""),
        ("tags", ["a", 1], "field 'tags': [1]: expected a string, got the number 1"),
        ("nums", [[1]], "[0]: expected int, got a list"),
        ("places", [1, 2], "[0]: expected geo"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(name: str, value: object, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        row_of({"other": 1, name: value}, FIELDS)
    assert message in str(caught.value)
    assert caught.value.field == name


def nested(depth: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(depth - 1):
        body = {"a": body}
    return body


def test_what_json_can_hold_is_taken() -> None:
    check_body({"a": [1, -(2**63), 2**64 - 1, 1e300, None, True, "é\x00👩", {"": []}]})
    check_body(nested(MAX_BODY_DEPTH))


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ([], None, "expected a document as a JSON object, got a list"),
        (None, None, "got null"),
        ({1: 2}, None, "expected strings as keys, got the number 1"),
        ({"a": {None: 2}}, "a", "expected strings as keys, got null"),
        ({"\ud800": 1}, None, "a key holds a lone surrogate"),
        ({"a": math.nan}, "a", "expected a finite number or null, got the number nan"),
        ({"a": [{"b": [0, math.inf]}]}, "a[0].b[1]", "expected a finite number"),
        ({"a": 2**64}, "a", "expected int of 64 bits"),
        ({"a": -(2**63) - 1}, "a", "expected int of 64 bits"),
        ({"a": "\udc00"}, "a", "lone surrogate"),
        ({"a": {1}}, "a", "expected a JSON value, got a Python set"),
        ({"a": b"x"}, "a", "expected a JSON value, got a Python bytes"),
        (nested(MAX_BODY_DEPTH + 1), ".".join("a" * MAX_BODY_DEPTH), "nested more than 32 deep"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_path(body: object, field: str | None, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        check_body(body)
    assert message in str(caught.value)
    assert caught.value.field == field


def test_a_body_nested_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidDocument, match="nested more than 32 deep"):
        check_body(json_ready({"a": endless}))
    with pytest.raises(InvalidDocument, match="nested more than 32 deep"):
        check_body(nested(100_000))


class Size(Enum):
    SMALL = "s"


@pytest.mark.parametrize(
    ("value", "ready"),
    [
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 9, 30, tzinfo=UTC), "2024-05-01T09:30:00+00:00"),
        (time(9, 30), "09:30:00"),
        (Decimal("12.50"), 12.5),
        (Decimal("12.00"), 12),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.datetime64("2024-05-01T00:00:00.5", "ns"), "2024-05-01T00:00:00.500000"),
        (np.datetime64("2024-05-01"), "2024-05-01T00:00:00"),
        (np.datetime64("NaT"), None),
        (np.array(["2024-05-01"], "datetime64[ns]"), ["2024-05-01T00:00:00"]),
        ((1, (2,)), [1, [2]]),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Size.SMALL, "s"),
        ({"a": (date(2024, 5, 1),)}, {"a": ["2024-05-01"]}),
        ("a", "a"),
        (None, None),
    ],
    ids=repr,
)
def test_python_values_become_json_values(value: object, ready: object) -> None:
    body = {"x": value}
    found = json_ready(body)
    assert found == {"x": ready}
    assert type(found["x"]) is type(ready)
    assert body["x"] is value
    check_body(found)


@pytest.mark.parametrize(
    "value", [math.nan, Decimal("NaN"), Decimal("Infinity"), np.float32("nan"), b"x", {1, 2}, object()]
)
def test_what_has_no_json_value_is_left_to_be_refused(value: object) -> None:
    with pytest.raises(InvalidDocument):
        check_body(json_ready({"x": value}))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", " 7 ", 7),
        ("n", "-0", 0),
        ("n", "5.0", 5),
        ("n", "1e3", 1000),
        ("price", "5", 5.0),
        ("price", "-.5e-3", -0.0005),
        ("ok", "YES", True),
        ("ok", "0", False),
        ("ok", " False", False),
        ("added", " 2024-05-01 ", "2024-05-01"),
        ("at", "52.5, 13", {"lat": 52.5, "lon": 13.0}),
        ("at", '{"lat": 1, "lng": 2}', {"lat": 1.0, "lon": 2.0}),
        ("brand", " Acme ", " Acme "),
        ("brand", "00123", "00123"),
        ("tags", "a|b; c||", ["a", "b; c"]),
        ("tags", "a; b", ["a", "b"]),
        ("tags", "one", ["one"]),
        ("tags", '["a|b", "c"]', ["a|b", "c"]),
        ("nums", "1|2", [1, 2]),
        ("nums", '[1, "2"]', [1, 2]),
        ("places", "1,2|3,4", [{"lat": 1.0, "lon": 2.0}, {"lat": 3.0, "lon": 4.0}]),
        ("other", " 7 ", " 7 "),
        ("other", "", ""),
    ],
)
def test_csv_values(name: str, text: str, value: object) -> None:
    read = read_textual({name: text}, FIELDS)
    assert read == {name: value}
    assert type(read[name]) is type(value)
    row_of(read, FIELDS)


def test_an_empty_cell_is_a_missing_value_and_other_types_pass() -> None:
    assert read_textual(dict.fromkeys(FIELDS, " "), FIELDS) == {}
    assert read_textual({"n": 5, "ok": None}, FIELDS) == {"n": 5, "ok": None}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("price", "1,234.50", "such as 1234.50 without thousands separators"),
        ("price", "$5", "without thousands separators, signs of currency or units"),
        ("price", "n/a", 'expected float as plain digits such as 1234.50, got the string "n/a"'),
        ("price", "nan", "expected float as plain digits"),
        ("price", "1e999", "expected a finite float"),
        ("n", "1_000", "expected int as plain digits such as 1234"),
        ("n", "5.5", "expected int, got the number 5.5"),
        ("n", "٣", "expected int as plain digits"),
        ("n", "9" * 30, "expected int of 64 bits"),
        ("ok", "maybe", "expected bool as true, false, yes, no, 1 or 0"),
        ("added", "01.05.2024", "expected datetime in ISO 8601"),
        ("at", "52.5", "expected geo"),
        ("at", "95,10", "expected a latitude"),
        ("tags", "['a', 'b']", 'expected a list as ["a", "b"] or a|b'),
        ("nums", "1|x", "expected int as plain digits"),
    ],
)
def test_a_csv_value_of_another_type_is_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_textual({name: text}, FIELDS)
    assert message in str(caught.value)
    assert caught.value.field == name
