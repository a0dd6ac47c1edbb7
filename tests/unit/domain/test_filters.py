from __future__ import annotations

import math

import pytest

from nearfield.domain.filters import (
    EARTH_RADIUS_M,
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
    Row,
    distance_m,
    fields_of,
    matches,
    walk,
)

BERLIN, PARIS = GeoPoint(52.52, 13.405), GeoPoint(48.8566, 2.3522)
ROW: Row = {"n": 5, "price": 9.5, "brand": "Acme", "ok": True, "tags": ("new", "sale"), "at": BERLIN}


@pytest.mark.parametrize(
    "where",
    [
        And(()),
        Eq("n", 5),
        Eq("price", 9.5),
        Ne("brand", "acme"),
        Lt("n", 6),
        Lte("n", 5),
        Gt("price", 9),
        Gte("price", 9.5),
        Lt("brand", "B"),
        In("brand", ("Zenith", "Acme")),
        NotIn("n", ()),
        Exists("tags"),
        Exists("gone", present=False),
        ContainsAny("tags", ("old", "new")),
        ContainsAll("tags", ("sale", "new")),
        ContainsAll("tags", ()),
        And((Eq("ok", True), Or((Eq("n", 0), Eq("n", 5))))),
        Not(Eq("gone", 1)),
        Ne("gone", 1),
        NotIn("gone", (1,)),
        GeoRadius("at", PARIS, 880_000),
        GeoBox("at", 52.52, 13.405, 52.52, 13.405),
    ],
    ids=repr,
)
def test_a_row_that_matches_and_does_not_match_the_opposite(where: Filter) -> None:
    assert matches(where, ROW)
    assert not matches(Not(where), ROW)


@pytest.mark.parametrize(
    "where",
    [
        Or(()),
        Eq("n", 4),
        Eq("gone", 5),
        Lt("gone", 5),
        In("gone", (5,)),
        In("n", ()),
        ContainsAny("tags", ()),
        ContainsAny("gone", ("a",)),
        ContainsAll("tags", ("new", "old")),
        ContainsAll("gone", ()),
        Exists("gone"),
        GeoRadius("at", PARIS, 870_000),
        GeoRadius("gone", PARIS, 1e9),
        GeoBox("at", -90, -180, 52, 180),
    ],
    ids=repr,
)
def test_a_row_that_does_not_match(where: Filter) -> None:
    assert not matches(where, ROW)


def test_distances_on_the_sphere() -> None:
    assert distance_m(BERLIN, PARIS) == pytest.approx(877_464, abs=2)
    assert distance_m(BERLIN, BERLIN) == 0
    assert distance_m(GeoPoint(0, 0), GeoPoint(0, 180)) == pytest.approx(math.pi * EARTH_RADIUS_M)
    assert distance_m(GeoPoint(90, 0), GeoPoint(-90, 77)) == pytest.approx(math.pi * EARTH_RADIUS_M)
    assert distance_m(GeoPoint(0, 179.5), GeoPoint(0, -179.5)) == pytest.approx(math.radians(1) * EARTH_RADIUS_M)


@pytest.mark.parametrize(("lon", "inside"), [(179, True), (-179, True), (170, True), (-170, True), (0, False)])
def test_a_box_across_the_antimeridian(lon: float, inside: bool) -> None:
    fiji = GeoBox("at", -20, 170, -10, -170)
    assert matches(fiji, {"at": GeoPoint(-15, lon)}) is inside
    assert matches(fiji, {"at": (GeoPoint(50, 0), GeoPoint(-15, lon))}) is inside


def test_walking_names_every_node_and_field() -> None:
    where = And((Eq("a", 1), Not(Or((Lt("b", 2), Exists("a"))))))
    assert [type(node).__name__ for node in walk(where)] == ["And", "Eq", "Not", "Or", "Lt", "Exists"]
    assert fields_of(where) == {"a", "b"}
