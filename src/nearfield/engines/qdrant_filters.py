"""Bound filters to Qdrant's filter models, as the JSON of its REST API. Pure: no SDK is needed to compile.

What the compiler has to get right, all found by trying qdrant-edge 0.9 (the engine's own code) against the oracle:

- A match knows texts, ints and bools; a float equals where a range of one value holds.
- Ranges compare as float64, ints included, so a bound at or beyond 2**53 may count a neighbour; texts have no range.
- A geo radius leaves its edge out. Through a geo index it also misses points at a pole and within micrometres, so there
  is none: coordinates have float indexes, which narrow a radius to the box around it, and answer a box alone, edges in.
- The points of a list are asked one by one with a nested filter: its latitude and its longitude must be of one point.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    GeoBox,
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
    Scalar,
    around,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearfield.domain.schema import FieldType

    Condition = dict[str, Any]

EXACT_BELOW: Final = 2**53
"""Ints nearer to 0 than this are compared exactly with any other int, though both are compared as float64."""

_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "lt", Lte: "lte", Gt: "gt", Gte: "gte"}


def compile_filter(where: Filter, fields: Mapping[str, FieldType]) -> Condition | bool:
    """A Qdrant filter, or True where every row passes, or False where none can.

    Raises UnsupportedByEngine for a range of texts, and for one bound by an int that float64 cannot tell from others.
    """
    said = _say(where, fields)
    return said if isinstance(said, bool) or not said.keys().isdisjoint(_JOINS) else {"must": [said]}


_JOINS: Final = frozenset({"must", "should", "must_not"})


def _say(where: Filter, fields: Mapping[str, FieldType]) -> Condition | bool:  # noqa: C901, PLR0911 - one arm per node
    match where:
        case And(parts):
            return _all(_say(part, fields) for part in parts)
        case Or(parts):
            return _any(_say(part, fields) for part in parts)
        case Not(part):
            return _none(_say(part, fields))
        case Ne(field, value):
            return _none(_equal(field, value))
        case NotIn(field, values):
            return _none(_among(field, values))
        case Exists(field, present):
            return _has(field) if present else _empty(field)
        case Eq(field, value):
            return _equal(field, value)
        case In(field, values) | ContainsAny(field, values):
            return _among(field, values)
        case ContainsAll(field, values):
            return _all(_equal(field, value) for value in values) if values else _has(field)
        case GeoBox(field):
            return _in_box(where, listed=fields[field].is_list)
        case GeoRadius(field):
            return _in_circle(where, listed=fields[field].is_list)
        case Lt(field, value) | Lte(field, value) | Gt(field, value) | Gte(field, value):
            return _beyond(field, _RANGES[type(where)], value)
    raise AssertionError(where)


def _all(parts: Iterable[Condition | bool]) -> Condition | bool:
    said = list(parts)
    if False in said:
        return False
    conditions = [part for part in said if part is not True]
    return {"must": conditions} if conditions else True


def _any(parts: Iterable[Condition | bool]) -> Condition | bool:
    said = list(parts)
    if True in said:
        return True
    conditions = [part for part in said if part is not False]
    return {"should": conditions} if conditions else False


def _none(part: Condition | bool) -> Condition | bool:
    return not part if isinstance(part, bool) else {"must_not": [part]}


def _empty(field: str) -> Condition:
    return {"is_empty": {"key": field}}


def _has(field: str) -> Condition:
    return {"must_not": [_empty(field)]}


def _equal(field: str, value: Scalar) -> Condition:
    if isinstance(value, float):
        return _range(field, gte=value, lte=value)
    return {"key": field, "match": {"value": value}}


def _among(field: str, values: tuple[Scalar, ...]) -> Condition | bool:
    if values and all(type(value) is type(values[0]) for value in values) and isinstance(values[0], str | int):
        if isinstance(values[0], bool):
            return _any(_equal(field, value) for value in values)
        return {"key": field, "match": {"any": list(values)}}
    return _any(_equal(field, value) for value in values)


def _beyond(field: str, operator: str, value: Scalar) -> Condition:
    if isinstance(value, str):
        raise UnsupportedByEngine("engine qdrant has no order of texts", field="filter")
    if isinstance(value, int) and abs(value) >= EXACT_BELOW:
        raise UnsupportedByEngine(
            f"engine qdrant compares numbers as float64, which cannot tell {value} from its neighbours", field="filter"
        )
    return _range(field, **{operator: float(value)})


def _range(field: str, **bounds: float) -> Condition:
    return {"key": field, "range": bounds}


def _in_box(box: GeoBox, *, listed: bool) -> Condition:
    """A point whose coordinates are both within."""
    prefix = "" if listed else f"{box.field}."
    lat, lon = f"{prefix}lat", f"{prefix}lon"
    inside: list[Condition] = [_range(lat, gte=box.south, lte=box.north)]
    if box.west <= box.east:
        inside.append(_range(lon, gte=box.west, lte=box.east))
    else:
        inside.append({"should": [_range(lon, gte=box.west), _range(lon, lte=box.east)]})
    if listed:
        return {"nested": {"key": box.field, "filter": {"must": inside}}}
    return {"must": inside}


def _in_circle(circle: GeoRadius, *, listed: bool) -> Condition:
    center = {"lat": circle.center.lat, "lon": circle.center.lon}
    radius = math.nextafter(circle.radius_m, math.inf)  # the edge counts
    exactly = {"key": circle.field, "geo_radius": {"center": center, "radius": radius}}
    return {"must": [_in_box(around(circle), listed=listed), exactly]}
