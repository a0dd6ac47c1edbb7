"""Bound filters to PostgreSQL: conditions over typed columns, every value a parameter. Pure: no SDK is needed.

Strings compare by code point through the columns' collation "C".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import (
    EARTH_RADIUS_M,
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
from nearfield.domain.schema import FieldType
from nearfield.engines.pgvector_columns import LONGEST_KEYWORD, SQL_TYPES, encode_text, parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearfield.engines.pgvector_columns import Columns

_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "<", Lte: "<=", Gt: ">", Gte: ">="}


@dataclass(slots=True)
class Parameters:
    """The values of one statement, in the order of their numbers `$1`, `$2` ..."""

    values: list[object] = field(default_factory=list)

    def add(self, value: object, sql_type: str) -> str:
        """Take a value in, and give what stands for it in the statement."""
        self.values.append(value)
        return f"${len(self.values)}::{sql_type}"


def compile_filter(where: Filter, fields: Mapping[str, FieldType], columns: Columns, parameters: Parameters) -> str:
    """A condition that is true for the rows that pass and false or null for others; its values go to `parameters`.

    Raises UnsupportedByEngine for a range that begins or ends at a keyword longer than LONGEST_KEYWORD.
    """
    return _Compiler(fields, columns, parameters).say(where, negated=False)


class _Compiler:
    """Writes one condition. Negation is pushed down to the leaves, where it says of null what the null rule says."""

    def __init__(self, fields: Mapping[str, FieldType], columns: Columns, parameters: Parameters) -> None:
        self._fields, self._columns, self._parameters = fields, columns, parameters

    def say(self, where: Filter, *, negated: bool) -> str:  # noqa: PLR0911 - one return per kind of node
        """Compile a node, or its opposite."""
        match where:
            case And(parts):
                return _join("OR" if negated else "AND", [self.say(part, negated=negated) for part in parts])
            case Or(parts):
                return _join("AND" if negated else "OR", [self.say(part, negated=negated) for part in parts])
            case Not(part):
                return self.say(part, negated=not negated)
            case Ne(name, value):
                return self.say(Eq(name, value), negated=not negated)
            case NotIn(name, values):
                return self.say(In(name, values), negated=not negated)
            case Exists(name, present):
                return f"{self._column(name)} IS {'NOT ' if present is not negated else ''}NULL"
        leaf = self._leaf(where)
        name = where.field  # type: ignore[attr-defined]
        return f"({self._column(name)} IS NULL OR NOT ({leaf}))" if negated else f"({leaf})"

    def _leaf(self, where: Filter) -> str:
        """A condition that is null for a row without the field."""
        match where:
            case Eq(name, value):
                return f"{self._column(name)} = {self._one(name, value)}"
            case In(name, values):
                return f"{self._column(name)} = ANY ({self._many(name, values)})"
            case Lt(name, value) | Lte(name, value) | Gt(name, value) | Gte(name, value):
                if isinstance(value, str) and len(encode_text(value, FieldType.TEXT)) > LONGEST_KEYWORD:
                    raise UnsupportedByEngine(
                        f"engine pgvector compares keywords by their first {LONGEST_KEYWORD} characters", field="filter"
                    )
                return f"{self._column(name)} {_RANGES[type(where)]} {self._one(name, value)}"
            case ContainsAny(name, values):
                return f"{self._column(name)} && {self._many(name, values)}"
            case ContainsAll(name, values):
                return f"{self._column(name)} @> {self._many(name, values)}"
            case GeoBox() | GeoRadius():
                return self._near(where)
        raise AssertionError(where)

    def _near(self, where: GeoBox | GeoRadius) -> str:
        lat, lon = self._columns.of(where.field)
        if not self._fields[where.field].is_list:
            return self._place(where, lat, lon)
        return (
            f"EXISTS (SELECT FROM unnest({lat}, {lon}) AS place (lat, lon) WHERE "
            f"{self._place(where, 'place.lat', 'place.lon')})"
        )

    def _place(self, where: GeoBox | GeoRadius, lat: str, lon: str) -> str:
        if isinstance(where, GeoBox):
            return self._box(where, lat, lon)
        # the box around the circle can be had from an index; the order of operations below is the evaluator's
        half_lat = _small(f"radians({_small(lat)}) - {self._float(math.radians(where.center.lat))}") + " / 2"
        half_lon = f"radians({_small(f'{lon} - {self._float(where.center.lon)}')}) / 2"
        cosines = f"{self._float(math.cos(math.radians(where.center.lat)))} * cos(radians({_small(lat)}))"
        reach = f"power(sin({half_lat}), 2) + {cosines} * power(sin({half_lon}), 2)"
        metres = f"{self._float(2 * EARTH_RADIUS_M)} * asin(least(1, sqrt({reach})))"
        return f"{self._box(around(where), lat, lon)} AND {metres} <= {self._float(where.radius_m)}"

    def _box(self, box: GeoBox, lat: str, lon: str) -> str:
        across = "OR" if box.west > box.east else "AND"
        return (
            f"{lat} >= {self._float(box.south)} AND {lat} <= {self._float(box.north)} AND "
            f"({lon} >= {self._float(box.west)} {across} {lon} <= {self._float(box.east)})"
        )

    def _float(self, value: float) -> str:
        return self._parameters.add(value, "double precision")

    def _one(self, name: str, value: Scalar) -> str:
        kind = self._fields[name]
        return self._parameters.add(parameter(value, kind), SQL_TYPES[kind])

    def _many(self, name: str, values: Sequence[Scalar]) -> str:
        kind = self._fields[name].element
        return self._parameters.add([parameter(value, kind) for value in values], f"{SQL_TYPES[kind]}[]")

    def _column(self, name: str) -> str:
        return self._columns.of(name)[0]


def _small(angle: str) -> str:
    """An angle, or 0 where it is so small that PostgreSQL would refuse a product of it: it takes underflow for an
    error, where the evaluator goes on with 0."""
    return f"(CASE WHEN abs({angle}) < 1e-140 THEN 0 ELSE {angle} END)"


def _join(word: str, parts: Iterable[str]) -> str:
    said = f" {word} ".join(parts)
    return f"({said})" if said else ("true" if word == "AND" else "false")
