from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone

import pytest

from nearfield.domain.filters import GeoPoint
from nearfield.domain.schema import FieldType
from nearfield.domain.values import (
    MAX_KEYWORD_LENGTH,
    READERS,
    Misfit,
    describe,
    read_bool,
    read_float,
    read_geo,
    read_instant,
    read_int,
    read_keyword,
    read_text,
)

HOUR = 3_600_000_000


def test_every_element_type_has_a_reader() -> None:
    assert set(READERS) == {kind.element for kind in FieldType}


@pytest.mark.parametrize(("value", "read"), [(5, 5), (5.0, 5), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), (-0.0, 0)])
def test_ints(value: object, read: int) -> None:
    assert read_int(value) == read
    assert type(read_int(value)) is int


@pytest.mark.parametrize("value", [5.5, True, "5", None, [5], 2**63, -(2**63) - 1, 1e300, math.nan, math.inf])
def test_no_ints(value: object) -> None:
    with pytest.raises(Misfit, match="expected int"):
        read_int(value)


def test_floats() -> None:
    assert read_float(2**53 + 1) == 2.0**53
    assert math.copysign(1, read_float(-0.0)) == 1
    assert type(read_float(5)) is float


@pytest.mark.parametrize("value", [math.nan, -math.inf, 10**400, True, "1.5", None])
def test_no_floats(value: object) -> None:
    with pytest.raises(Misfit, match="expected"):
        read_float(value)


def test_bools_are_not_ones_and_zeros() -> None:
    assert read_bool(False) is False
    for value in (0, 1, "true", None):
        with pytest.raises(Misfit, match="expected bool"):
            read_bool(value)


def test_text_may_be_long_and_a_keyword_may_not() -> None:
    longest = "x" * MAX_KEYWORD_LENGTH
    assert read_keyword(longest) == longest
    assert read_text(longest + "x") == longest + "x"
    assert read_text("a\x00b 👩‍👩‍👧") == "a\x00b 👩‍👩‍👧"
    with pytest.raises(Misfit, match="at most 8192 characters, got 8193; declare the field as text"):
        read_keyword(longest + "x")
    for value in ("a\ud800", "\udfff"):
        with pytest.raises(Misfit, match="lone surrogate"):
            read_text(value)


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("1970-01-01", 0),
        ("1970-01-02", 24 * HOUR),
        ("1969-12-31T23:00", -HOUR),
        ("1970-01-01 01:00", HOUR),
        ("1970-01-01T01:00:00Z", HOUR),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T01:00:00-01", 2 * HOUR),
        ("1970-01-01T00:00:00.5", 500_000),
        ("1970-01-01T00:00:00.000001999", 1),
        (date(1970, 1, 2), 24 * HOUR),
        (datetime(1970, 1, 1, 1), HOUR),  # noqa: DTZ001 - what a caller may send
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), -HOUR),
        ("0001-01-01", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999", 253_402_300_799_999_999),
    ],
)
def test_instants(value: object, micros: int) -> None:
    assert read_instant(value) == micros


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "20240501",
        "2024-5-1",
        "2024-13-01",
        "2024-02-30",
        "2024-W01-1",
        "2024-05-01T25:00",
        "2024-05",
        0,
        1714521600,
        None,
        True,
        "2024-05-01 ",
        "\uff12024-05-01",
    ],
)
def test_no_instants(value: object) -> None:
    with pytest.raises(Misfit, match="expected datetime in ISO 8601"):
        read_instant(value)


@pytest.mark.parametrize(
    "value", [{"lat": 52.5, "lon": 13}, {"lng": 13, "lat": 52.5}, [52.5, 13], (52.5, 13.0), GeoPoint(52.5, 13)]
)
def test_points(value: object) -> None:
    assert read_geo(value) == GeoPoint(52.5, 13.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"lat": 91, "lon": 0}, "expected a latitude of -90 to 90 degrees, got 91.0"),
        ([0, 180.5], "expected a longitude of -180 to 180 degrees"),
        ({"lat": "52", "lon": 13}, 'latitude: expected float, got the string "52"'),
        ({"lat": 52}, "expected geo as"),
        ({"lat": 52, "lon": 1, "alt": 3}, "expected geo as"),
        ([1, 2, 3], "expected geo as"),
        ("52,13", "expected geo as"),
        ({"lat": None, "lon": 1}, "latitude: expected float, got null"),
    ],
)
def test_no_points(value: object, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        read_geo(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (5, "the number 5"),
        (10**200, "a number of more than 38 digits"),
        ("a" * 100, f'the string "{"a" * 39}…"'),
        ({}, "an object"),
        ((), "a list"),
        (b"", "a Python bytes"),
    ],
)
def test_values_in_words(value: object, words: str) -> None:
    assert describe(value) == words
