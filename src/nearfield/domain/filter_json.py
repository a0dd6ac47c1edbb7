"""The JSON spelling of filters: `{"price": {"$lte": 100}, "$or": [{"brand": "Acme"}, {"tags": {"$in": ["new"]}}]}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_limits import (
    MAX_FILTER_DEPTH,
    MAX_FILTER_NODES,
    check_list_length,
    check_size,
    check_string_length,
    too_deep,
    too_many_nodes,
)
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
    Scalar,
)
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import describe

_RANGES: Final[Mapping[str, type[Lt | Lte | Gt | Gte]]] = {"$lt": Lt, "$lte": Lte, "$gt": Gt, "$gte": Gte}
_LISTS: Final[Mapping[str, type[In | NotIn | ContainsAny | ContainsAll]]] = {
    "$in": In,
    "$nin": NotIn,
    "$contains": ContainsAny,
    "$containsAll": ContainsAll,
}
_JOINS: Final = ("$and", "$or", "$not")
_OPERATORS: Final = ("$eq", "$ne", *_RANGES, *_LISTS, "$exists", "$geoRadius", "$geoBox", "$not")
_EDGES: Final = ("south", "west", "north", "east")


def parse_json(obj: object, *, max_nodes: int = MAX_FILTER_NODES) -> Filter:
    """Read a filter from a decoded JSON object. The tree is unbound: names and types are checked by `binding.bind`.

    Several fields, and several operators on one field, are joined by and; `{}` matches everything. A bare null and
    `$eq` null mean that the field is missing, `$ne` null that it is there. Dates stay ISO 8601 strings; Python dates
    and NumPy scalars are taken as what JSON would make of them.
    Raises InvalidFilter whose `field` is the path of the part at fault, `filter.price.$lte`; for an unknown operator,
    a value of the wrong kind, or more than the limits of `filter_limits` (`max_nodes` conditions, joins included).
    """
    where = _Reader(max_nodes).expression(obj, "filter", 1)
    check_size(where, max_nodes)
    return where


class _Reader:
    """Walks the JSON once, counting nodes so that a huge filter is refused early."""

    __slots__ = ("_max_nodes", "_nodes")

    def __init__(self, max_nodes: int) -> None:
        self._max_nodes = max_nodes
        self._nodes = 0

    def expression(self, obj: object, path: str, depth: int) -> Filter:
        """An object of fields and joins."""
        if depth > MAX_FILTER_DEPTH:
            raise too_deep(path)
        self._count()
        if not isinstance(obj, Mapping):
            raise InvalidFilter(
                f'expected an object such as {{"price": {{"$lte": 100}}}}, got {describe(obj)}', field=path
            )
        return _joined([self._entry(key, value, path, depth) for key, value in obj.items()])

    def _entry(self, key: object, value: object, path: str, depth: int) -> Filter:
        if not isinstance(key, str):
            raise InvalidFilter(f"expected a field name or operator as key, got {describe(key)}", field=path)
        path = f"{path}.{key}"
        if key in ("$and", "$or"):
            if not isinstance(value, list | tuple):
                raise InvalidFilter(f"{key} expects a list of filters, got {describe(value)}", field=path)
            parts = tuple(self.expression(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(value))
            return And(parts) if key == "$and" else Or(parts)
        if key == "$not":
            return Not(self.expression(value, path, depth + 1))
        if key in _OPERATORS:
            raise InvalidFilter(f'{key} belongs inside a field: {{"<field>": {{"{key}": ...}}}}', field=path)
        if key.startswith("$"):
            raise InvalidFilter(unknown_name("operator", key, _JOINS), field=path)
        return self._condition(key, value, path, depth)

    def _condition(self, field: str, value: object, path: str, depth: int) -> Filter:
        """One field with a bare value or an object of operators."""
        if depth > MAX_FILTER_DEPTH:
            raise too_deep(path)
        if isinstance(value, Mapping):
            if not value:
                raise InvalidFilter(
                    f"expected an operator such as $eq in {{}}; known: {', '.join(_OPERATORS)}", field=path
                )
            return _joined([self._operator(field, key, operand, path, depth) for key, operand in value.items()])
        self._count()
        if isinstance(value, list | tuple):
            raise InvalidFilter(
                'a list needs an operator: {"$in": [...]}, or {"$contains": [...]} on a list field', field=path
            )
        return Exists(field, present=False) if value is None else Eq(field, _scalar(value, path))

    def _operator(self, field: str, key: object, value: object, path: str, depth: int) -> Filter:  # noqa: PLR0911
        if not isinstance(key, str):
            raise InvalidFilter(f"expected an operator as key, got {describe(key)}", field=path)
        path = f"{path}.{key}"
        self._count()
        if key in _RANGES:
            return _RANGES[key](field, _scalar(value, path))
        if key in _LISTS:
            return _LISTS[key](field, _scalars(key, value, path))
        match key:
            case "$eq" | "$ne" if value is None:
                return Exists(field, present=key == "$ne")
            case "$eq":
                return Eq(field, _scalar(value, path))
            case "$ne":
                return Ne(field, _scalar(value, path))
            case "$exists" if isinstance(value, bool):
                return Exists(field, value)
            case "$exists":
                raise InvalidFilter(f"$exists expects true or false, got {describe(value)}", field=path)
            case "$geoRadius":
                return _geo_radius(field, value, path)
            case "$geoBox":
                south, west, north, east = _numbers(value, _EDGES, path)
                return GeoBox(field, south, west, north, east)
            case "$not":
                return Not(self._condition(field, value, path, depth + 1))
        raise InvalidFilter(unknown_name("operator", key, _OPERATORS), field=path)

    def _count(self) -> None:
        self._nodes += 1
        # an object of one field is counted twice, once as itself: the exact count is check_size's
        if self._nodes > 2 * self._max_nodes:
            raise too_many_nodes(self._max_nodes)


def _joined(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _scalar(value: object, path: str) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        check_string_length(value, path)
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilter(f"expected a finite number, got {describe(value)}", field=path)
    if isinstance(value, bool | int | float):
        return value
    hint = "; use $exists to ask whether a field is missing" if value is None else ""
    raise InvalidFilter(f"expected a string, number or bool, got {describe(value)}{hint}", field=path)


def _scalars(key: str, value: object, path: str) -> tuple[Scalar, ...]:
    if isinstance(value, list | tuple):
        check_list_length(len(value), path)
        return tuple(_scalar(one, f"{path}[{i}]") for i, one in enumerate(value))
    if key.startswith("$contains"):
        return (_scalar(value, path),)
    raise InvalidFilter(f"{key} expects a list, got {describe(value)}", field=path)


def _geo_radius(field: str, value: object, path: str) -> GeoRadius:
    if isinstance(value, Mapping) and "radius_km" in value:
        unit, metres = "radius_km", 1000.0
    else:
        unit, metres = "radius_m", 1.0
    given = _object(value, ("center", unit), path)
    lat, lon = _numbers(given["center"], ("lat", "lon"), f"{path}.center")
    return GeoRadius(field, GeoPoint(lat, lon), _number(given[unit], f"{path}.{unit}") * metres)


def _numbers(value: object, names: tuple[str, ...], path: str) -> tuple[float, ...]:
    given = _object(value, names, path)
    return tuple(_number(given[name], f"{path}.{name}") for name in names)


def _object(value: object, names: tuple[str, ...], path: str) -> Mapping[str, object]:
    """The value as an object with exactly these keys."""
    wanted = ", ".join(names)
    if not isinstance(value, Mapping):
        raise InvalidFilter(f"expected an object with {wanted}, got {describe(value)}", field=path)
    for key in value:
        if key not in names:
            raise InvalidFilter(unknown_name("key", str(key), names), field=f"{path}.{key}")
    missing = [name for name in names if name not in value]
    if missing:
        raise InvalidFilter(f"expected an object with {wanted}; {', '.join(missing)} missing", field=path)
    return value


def _number(value: object, path: str) -> float:
    number = _scalar(value, path)
    try:
        if not isinstance(number, bool | str) and math.isfinite(float(number)):
            return float(number)
    except OverflowError:
        pass
    raise InvalidFilter(f"expected a finite number, got {describe(value)}", field=path)


def to_json(where: Filter) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one arm per node
    """Write a tree so that `parse_json` gives the same tree back; joins are spelt out as `$and`, `$or`, `$not`.

    Raises InvalidFilter for a field name that starts with `$`, which this spelling cannot say.
    """
    match where:
        case And(parts):
            return {"$and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"$or": [to_json(part) for part in parts]}
        case Not(part):
            return {"$not": to_json(part)}
    field: str = where.field  # type: ignore[attr-defined]
    if field.startswith("$"):
        raise InvalidFilter(f"a filter in JSON cannot name the field {field!r}: '$' starts an operator", field="filter")
    match where:
        case Eq(_, value):
            return {field: value}
        case Ne(_, value):
            return {field: {"$ne": value}}
        case Exists(_, present):
            return {field: {"$exists": present}}
        case GeoRadius(_, center, radius_m):
            return {field: {"$geoRadius": {"center": center._asdict(), "radius_m": radius_m}}}
        case GeoBox():
            return {field: {"$geoBox": {edge: getattr(where, edge) for edge in _EDGES}}}
    for name, ranged in _RANGES.items():
        if type(where) is ranged:
            return {field: {name: where.value}}
    for name, listed in _LISTS.items():
        if type(where) is listed:
            return {field: {name: list(where.values)}}
    raise AssertionError(where)
