"""Bound filters to OpenSearch's query language.

Its queries are two-valued as ours are: `must_not` also passes documents that lack the field. Keywords compare by UTF-8
bytes, which is by code point. What it cannot say as the domain means it is refused: a circle (its points lie on a grid
of centimetres), a box over a list of points, and more clauses than Lucene takes.
"""

from __future__ import annotations

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
from nearfield.domain.schema import FieldType
from nearfield.engines.opensearch_schema import MAX_TERM_BYTES, column, longitude_column, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Query = dict[str, Any]

MAX_CLAUSES: Final = 1_000
"""Lucene takes 1,024 in one query unless its operator says otherwise."""
MAX_VALUES: Final = 65_536
"""Of one list; `index.max_terms_count`."""

_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "lt", Lte: "lte", Gt: "gt", Gte: "gte"}


def compile_filter(where: Filter, fields: Mapping[str, FieldType]) -> Query:
    """A query that scores nothing and passes what the filter passes. Raises UnsupportedByEngine."""
    compiler = _Compiler(fields)
    query = compiler.say(where)
    if compiler.clauses > MAX_CLAUSES:
        raise UnsupportedByEngine(
            f"engine opensearch takes filters of at most {MAX_CLAUSES} comparisons, not {compiler.clauses}",
            field="filter",
        )
    return query


class _Compiler:
    """Writes one filter and counts its clauses."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self.clauses = 0

    def say(self, where: Filter) -> Query:  # noqa: PLR0911 - one return per kind of node
        match where:
            case And(parts):
                return _every(self.say(part) for part in parts)
            case Or(parts):
                return _any(self.say(part) for part in parts)
            case Not(part):
                return _none(self.say(part))
            case Ne(field, value):
                return _none(self.say(Eq(field, value)))
            case NotIn(field, values):
                return _none(self.say(In(field, values)))
            case Exists(field, present):
                here = self._one({"exists": {"field": column(field)}})
                return here if present else _none(here)
            case Eq(field, value):
                return self._one({"term": {column(field): {"value": stored(value, self._fields[field])}}})
            case In(field, values) | ContainsAny(field, values):
                return self._among(field, values)
            case ContainsAll(field, values):
                return _every([self.say(Eq(field, value)) for value in values] or [self.say(Exists(field))])
            case Lt(field, value) | Lte(field, value) | Gt(field, value) | Gte(field, value):
                return self._range(field, _RANGES[type(where)], value)
            case GeoBox() if self._fields[where.field] is FieldType.GEO:
                return self._box(where)
        raise UnsupportedByEngine(
            f"engine opensearch cannot say {type(where).__name__} on a {self._fields[where.field]} field",  # type: ignore[attr-defined]
            field="filter",
        )

    def _among(self, field: str, values: tuple[Scalar, ...]) -> Query:
        if not values:
            return {"match_none": {}}
        kind = self._fields[field]
        lists = (values[start : start + MAX_VALUES] for start in range(0, len(values), MAX_VALUES))
        return _any(self._one({"terms": {column(field): [stored(value, kind) for value in part]}}) for part in lists)

    def _range(self, field: str, operator: str, value: Scalar) -> Query:
        if isinstance(value, str) and len(value.encode("utf-8", "replace")) > MAX_TERM_BYTES - 10:
            raise UnsupportedByEngine(
                f"engine opensearch compares keywords of at most {MAX_TERM_BYTES - 10} bytes by order", field="filter"
            )
        return self._one({"range": {column(field): {operator: stored(value, self._fields[field])}}})

    def _box(self, box: GeoBox) -> Query:
        lat, lon = column(box.field), longitude_column(box.field)
        lats = self._one({"range": {lat: {"gte": box.south, "lte": box.north}}})
        if box.west <= box.east:
            return _every([lats, self._one({"range": {lon: {"gte": box.west, "lte": box.east}}})])
        sides = [self._one({"range": {lon: {"gte": box.west}}}), self._one({"range": {lon: {"lte": box.east}}})]
        return _every([lats, _any(sides)])

    def _one(self, clause: Query) -> Query:
        self.clauses += 1
        return clause


def _every(parts: Iterable[Query]) -> Query:
    listed = list(parts)
    if len(listed) == 1:
        return listed[0]
    return {"bool": {"filter": listed}} if listed else {"match_all": {}}


def _any(parts: Iterable[Query]) -> Query:
    listed = list(parts)
    if len(listed) == 1:
        return listed[0]
    return {"bool": {"should": listed, "minimum_should_match": 1}} if listed else {"match_none": {}}


def _none(part: Query) -> Query:
    return {"bool": {"must_not": [part]}}
