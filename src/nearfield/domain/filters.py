"""Filters: one tree, one meaning everywhere. This file is that meaning.

A tree is built from JSON (`filter_json`), from text (`filter_text`) or by hand, then bound to a collection's fields
(`binding`), which checks names and types and turns values into the plain ones of a row. Engines compile bound trees;
`matches` is what each of them is tested against.

Null rule: a field that is missing, null or an empty list matches only `Exists(field, False)`, `Ne`, `NotIn`, and a
`Not` of something it does not match. There is no third truth value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scalar = str | int | float | bool
"""A bound value. A datetime is an int: microseconds since 1970-01-01 UTC."""

EARTH_RADIUS_M: Final = 6_371_008.8  # mean radius, IUGG


class GeoPoint(NamedTuple):
    """Degrees: latitude -90 to 90, longitude -180 to 180."""

    lat: float
    lon: float


FieldValue = Scalar | GeoPoint | tuple[Scalar, ...] | tuple[GeoPoint, ...]
Row = dict[str, FieldValue]
"""The filterable values of one document, by field; a missing value is an absent key, lists are tuples, never empty."""


class Filter:
    """A node of the tree. Frozen, hashable, compared by value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Eq(Filter):
    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Ne(Filter):
    """Missing values match."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Lt(Filter):
    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Lte(Filter):
    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Gt(Filter):
    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Gte(Filter):
    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In(Filter):
    """No values: nothing matches."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class NotIn(Filter):
    """Missing values match. No values: everything matches."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    field: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class ContainsAny(Filter):
    """A list field that holds at least one of the values. No values: nothing matches."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class ContainsAll(Filter):
    """A list field that holds every one of the values. No values: every row that has the field matches."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class GeoRadius(Filter):
    """Within `radius_m` metres of a point along the great circle, the edge included. A geo list: any point within."""

    field: str
    center: GeoPoint
    radius_m: float


@dataclass(frozen=True, slots=True)
class GeoBox(Filter):
    """Within a box, edges included. `west` > `east` crosses the antimeridian. A geo list: any point within."""

    field: str
    south: float
    west: float
    north: float
    east: float


@dataclass(frozen=True, slots=True)
class And(Filter):
    """No parts: everything matches."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """No parts: nothing matches."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    part: Filter


def matches(where: Filter, row: Mapping[str, FieldValue]) -> bool:  # noqa: C901, PLR0911, PLR0912 - one arm per node
    """Whether a row passes a bound filter: the oracle all engines agree with.

    Strings compare by code point, without case folding; int and float compare as numbers.
    """
    match where:
        case And(parts):
            return all(matches(part, row) for part in parts)
        case Or(parts):
            return any(matches(part, row) for part in parts)
        case Not(part):
            return not matches(part, row)
        case Exists(field, present):
            return (field in row) is present
        case Ne(field, value):
            return field not in row or row[field] != value
        case NotIn(field, values):
            return field not in row or row[field] not in values
    have = row.get(where.field)  # type: ignore[attr-defined]
    if have is None:
        return False
    match where:
        case Eq(_, value):
            return have == value
        case Lt(_, value):
            return have < value  # type: ignore[operator]
        case Lte(_, value):
            return have <= value  # type: ignore[operator]
        case Gt(_, value):
            return have > value  # type: ignore[operator]
        case Gte(_, value):
            return have >= value  # type: ignore[operator]
        case In(_, values):
            return have in values
        case ContainsAny(_, values):
            return any(value in have for value in values)  # type: ignore[operator]
        case ContainsAll(_, values):
            return all(value in have for value in values)  # type: ignore[operator]
        case GeoRadius(_, center, radius_m):
            return any(distance_m(center, point) <= radius_m for point in _points(have))
        case GeoBox():
            return any(_in_box(where, point) for point in _points(have))
    raise AssertionError(where)


def distance_m(a: GeoPoint, b: GeoPoint) -> float:
    """Great-circle distance in metres by the haversine formula on a sphere of EARTH_RADIUS_M."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat, half_lon = (lat_b - lat_a) / 2, math.radians(b.lon - a.lon) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


def around(radius: GeoRadius) -> GeoBox:
    """The smallest box of latitudes and longitudes that holds a circle, widened by a millionth for rounding.

    Source: J. P. Snyder, "Map Projections: A Working Manual", 1987, on the extreme meridians of a small circle. A
    circle that holds a pole takes every longitude.
    """
    angle = min(radius.radius_m / EARTH_RADIUS_M, math.pi) * (1 + 1e-6) + 1e-9
    lat, lon = math.radians(radius.center.lat), radius.center.lon
    south, north = math.degrees(lat - angle), math.degrees(lat + angle)
    if south <= -90 or north >= 90:
        return GeoBox(radius.field, max(south, -90.0), -180.0, min(north, 90.0), 180.0)
    reach = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(lat)))) + 1e-6
    west, east = lon - reach, lon + reach
    west, east = west + 360 * (west < -180), east - 360 * (east > 180)
    return GeoBox(radius.field, south, west, north, east)


def walk(where: Filter) -> Iterator[Filter]:
    """Every node of the tree, parents before children."""
    yield where
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                yield from walk(part)
        case Not(part):
            yield from walk(part)


def values_in(where: Filter | None) -> int:
    """How large a filter is: its conditions, and the values of their lists."""
    return 0 if where is None else sum(1 + len(getattr(node, "values", ())) for node in walk(where))


def fields_of(where: Filter) -> frozenset[str]:
    """The fields a filter names."""
    return frozenset(node.field for node in walk(where) if hasattr(node, "field"))


def _points(have: object) -> tuple[GeoPoint, ...]:
    return (have,) if isinstance(have, GeoPoint) else have  # type: ignore[return-value]


def _in_box(box: GeoBox, point: GeoPoint) -> bool:
    if not box.south <= point.lat <= box.north:
        return False
    if box.west <= box.east:
        return box.west <= point.lon <= box.east
    return point.lon >= box.west or point.lon <= box.east
