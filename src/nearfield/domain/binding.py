"""From a filter as written to a filter that means something: names checked, values made those of a row.

A bound tree is what engines compile and `filters.matches` evaluates. Over list fields it holds only ContainsAny,
ContainsAll, Exists and geo nodes; over others only the nodes their type allows.
Numbers in it have the field's own type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_limits import check_depth
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
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import INT64_MAX, INT64_MIN, READERS, Misfit, describe, read_float, read_geo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearfield.domain.filters import Scalar

_SPELT: Final[Mapping[type[Filter], str]] = {
    Eq: "equals",
    Ne: "not equals",
    Lt: "<",
    Lte: "<=",
    Gt: ">",
    Gte: ">=",
    In: "in",
    NotIn: "not in",
    ContainsAny: "contains",
    ContainsAll: "contains all",
    GeoRadius: "geo radius",
    GeoBox: "geo box",
}


def bind(where: Filter, fields: Mapping[str, FieldType]) -> Filter:
    """Check an unbound filter against a collection's fields and return the bound tree of the same meaning.

    Datetimes become microseconds (a date is its midnight, no offset is UTC). On int fields a number that no row can
    hold is rewritten exactly: `x >= 3.5` to `x >= 4`, `x = 3.5` to `x in ()`, which nothing matches. On float fields
    an int is taken as the nearest float64, as a document's own value is (they differ beyond 2**53). On list fields
    equals and in become ContainsAny. Repeated values are dropped, the first kept; a join of one part becomes the part.
    Text takes equals and in, of the whole value, but no `<`; ranges need int, float, datetime or keyword.
    Raises InvalidFilter: an unknown field, an operator the type does not know, a value of the wrong type, a tree
    deeper than MAX_FILTER_DEPTH.
    """
    if not isinstance(where, Filter):
        raise InvalidFilter(f"expected a filter, got {describe(where)}", field="filter")
    check_depth(where)
    return _bind(where, fields)


def _bind(where: Filter, fields: Mapping[str, FieldType]) -> Filter:
    match where:
        case And(parts) | Or(parts):
            bound = tuple(_bind(part, fields) for part in parts)
            return bound[0] if len(bound) == 1 else type(where)(bound)
        case Not(part):
            return Not(_bind(part, fields))
    name: str = where.field  # type: ignore[attr-defined]
    if name not in fields:
        raise InvalidFilter(unknown_name("field", name, fields), field=f"filter.{name}")
    try:
        return _bind_leaf(where, name, fields[name])
    except Misfit as exc:
        raise InvalidFilter(f"field {name!r}: {exc}", field=f"filter.{name}") from exc


def _bind_leaf(where: Filter, name: str, kind: FieldType) -> Filter:  # noqa: PLR0911 - one return per kind of node
    if isinstance(where, Exists):
        return where
    if kind.element is FieldType.GEO:
        return _bind_geo(where, kind)
    if isinstance(where, GeoRadius | GeoBox):
        raise _refusal(where, kind, "it needs a geo field")
    if kind.is_list:
        return _bind_on_list(where, name, kind)
    match where:
        case Eq(_, value) | Ne(_, value):
            values = _values((value,), kind)
            if not values:
                return In(name, ()) if isinstance(where, Eq) else NotIn(name, ())
            return type(where)(name, values[0])
        case In(_, many) | NotIn(_, many):
            return type(where)(name, _values(many, kind))
        case Lt(_, value) | Lte(_, value) | Gt(_, value) | Gte(_, value) if kind.is_ordered:
            return _bind_range(where, name, value, kind)
        case Lt() | Lte() | Gt() | Gte():
            raise _refusal(where, kind, "it needs int, float, datetime or keyword")
    raise _refusal(where, kind, "it needs a list field; use in or equals")


def _bind_on_list(where: Filter, name: str, kind: FieldType) -> Filter:
    match where:
        case Eq(_, value):
            return ContainsAny(name, _values((value,), kind))
        case Ne(_, value):
            return Not(ContainsAny(name, _values((value,), kind)))
        case In(_, many) | ContainsAny(_, many):
            return ContainsAny(name, _values(many, kind))
        case NotIn(_, many):
            return Not(ContainsAny(name, _values(many, kind)))
        case ContainsAll(_, many):
            values = [_values((value,), kind) for value in many]
            if not all(values):  # one that no row can hold
                return ContainsAny(name, ())
            return ContainsAll(name, tuple(dict.fromkeys(value for (value,) in values)))
    raise _refusal(where, kind, "it needs a single value")


def _bind_geo(where: Filter, kind: FieldType) -> Filter:
    match where:
        case GeoRadius(field, center, radius):
            radius_m = read_float(radius)
            if radius_m < 0:
                raise Misfit(f"expected a radius of 0 metres or more, got {radius_m}")
            return GeoRadius(field, read_geo(tuple(center)), radius_m)
        case GeoBox(field, south, west, north, east):
            low, high = read_geo((south, west)), read_geo((north, east))
            if low.lat > high.lat:
                raise Misfit(f"expected south <= north, got south {low.lat} and north {high.lat}")
            return GeoBox(field, low.lat, low.lon, high.lat, high.lon)
    raise _refusal(where, kind, "use geo radius, geo box or exists")


def _bind_range(where: Lt | Lte | Gt | Gte, name: str, value: Scalar, kind: FieldType) -> Filter:
    if kind is not FieldType.INT:
        (bound,) = _values((value,), kind)
        return type(where)(name, bound)
    number = _number(value)
    upward = isinstance(where, Gt | Gte)
    if number > INT64_MAX or number < INT64_MIN:
        return Exists(name) if upward == (number < 0) else In(name, ())
    if number == math.floor(number):
        return type(where)(name, int(number))
    return Gte(name, math.ceil(number)) if upward else Lte(name, math.floor(number))


def _values(values: Iterable[Scalar], kind: FieldType) -> tuple[Scalar, ...]:
    """The values as a row holds them, each once, first places kept; those that no int row can hold are left out."""
    if kind.element is FieldType.INT:
        numbers = map(_number, values)
        fitting = (int(n) for n in numbers if n == math.floor(n) and INT64_MIN <= n <= INT64_MAX)
        return tuple(dict.fromkeys(fitting))
    read = READERS[kind.element]
    bound = dict.fromkeys(map(read, values))
    return tuple(value for value in bound if not isinstance(value, GeoPoint))


def _number(value: Scalar) -> int | float:
    """A finite number for an int field."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise Misfit(f"expected int, got {describe(value)}")
    return value


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _refusal(where: Filter, kind: FieldType, fix: str) -> Misfit:
    return Misfit(f"{_SPELT.get(type(where), type(where).__name__)!r} has no meaning on a {kind} field; {fix}")
