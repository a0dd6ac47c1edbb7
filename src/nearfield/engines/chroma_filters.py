"""From a bound filter to Chroma's `where`, and from a row to the metadata it is asked of.

Chroma has no "not" and no "exists", so a filter is turned inside out where it is negated, and each row lists the fields
it has under `HAS`. Its `$ne`, `$nin` and `$not_contains` let rows pass that lack the field, as the domain's do.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain import filters
from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.filters import Filter, Row, Scalar

    Where = dict[str, Any] | bool
    """True lets every row pass, False none: Chroma refuses an empty list."""

HAS: Final = "has"
CLAIMED: Final[frozenset[type[Filter]]] = frozenset(
    {
        filters.And,
        filters.ContainsAll,
        filters.ContainsAny,
        filters.Eq,
        filters.Exists,
        filters.Gt,
        filters.Gte,
        filters.In,
        filters.Lt,
        filters.Lte,
        filters.Ne,
        filters.Not,
        filters.NotIn,
        filters.Or,
    }
)
MOST_TERMS: Final = 250
"""Comparisons in one filter: SQLite, which Chroma asks, takes an expression of 1,000 levels."""
MOST_VALUES: Final = 1_000
_RANGES: Final[Mapping[type[Filter], tuple[str, str]]] = {
    filters.Lt: ("$lt", "$gte"),
    filters.Lte: ("$lte", "$gt"),
    filters.Gt: ("$gt", "$lte"),
    filters.Gte: ("$gte", "$lt"),
}
"""What a range is, and what it is when negated, of rows that have the field."""


def metadata_of(row: Row, fields: Mapping[str, FieldType]) -> dict[str, Any]:
    """A row as Chroma keeps it: every field named, for what is not named stays as it was."""
    held: dict[str, Any] = {name_of(name): None for name in fields}
    for name, value in row.items():
        if fields[name].element is not FieldType.GEO:
            held[name_of(name)] = list(value) if isinstance(value, tuple) else value
    held[HAS] = sorted(row) or None
    return held


EXACT_DIGITS: Final = 15
EXACT_POWER: Final = 22


def name_of(field: str) -> str:
    """A field's key in Chroma, where it meets no key of Chroma's or ours."""
    return f"f.{field}"


def compile_filter(where: Filter, fields: Mapping[str, FieldType]) -> Where:
    """The `where` of a bound filter. Raises UnsupportedByEngine for what Chroma does not say, or says differently."""
    if sum(_terms(node) for node in filters.walk(where)) > MOST_TERMS:
        raise UnsupportedByEngine(f"engine chroma takes {MOST_TERMS} comparisons in one filter", field="filter")
    if any(_too_fine(value) for node in filters.walk(where) for value in _compared(node)):
        raise UnsupportedByEngine("engine chroma rounds numbers of more than 15 digits", field="filter")
    return _compile(where, fields, negated=False)


def _compile(where: Filter, fields: Mapping[str, FieldType], *, negated: bool) -> Where:  # noqa: PLR0911 - one arm per node
    match where:
        case filters.Not(part):
            return _compile(part, fields, negated=not negated)
        case filters.And(parts) | filters.Or(parts):
            every = isinstance(where, filters.And) is not negated
            return _join([_compile(part, fields, negated=negated) for part in parts], every=every)
        case filters.Exists(field, present):
            return _exists(field, present is not negated)
        case filters.Eq(field, value) | filters.Ne(field, value):
            equal = isinstance(where, filters.Eq) is not negated
            return {name_of(field): {"$eq" if equal else "$ne": value}}
        case filters.In(field, values) | filters.NotIn(field, values):
            return _among(field, values, isinstance(where, filters.In) is not negated)
        case filters.ContainsAny(field, values):
            return _join([_contains(field, value, not negated) for value in values], every=negated)
        case filters.ContainsAll(field, values):
            parts_of = [_exists(field, not negated), *(_contains(field, value, not negated) for value in values)]
            return _join(parts_of, every=not negated)
    if type(where) not in _RANGES:
        raise UnsupportedByEngine(f"engine chroma has no filter {type(where).__name__}", field="filter")
    name: str = where.field  # type: ignore[attr-defined]
    if fields[name] is FieldType.KEYWORD:
        raise UnsupportedByEngine("engine chroma compares numbers only by < and >", field=f"filter.{name}")
    comparison: Where = {name_of(name): {_RANGES[type(where)][negated]: where.value}}  # type: ignore[attr-defined]
    return _join([comparison, _exists(name, False)], every=False) if negated else comparison


def _exists(field: str, present: bool) -> Where:
    return {HAS: {"$contains" if present else "$not_contains": field}}


def _contains(field: str, value: Scalar, wanted: bool) -> Where:
    return {name_of(field): {"$contains" if wanted else "$not_contains": value}}


def _among(field: str, values: Sequence[Scalar], wanted: bool) -> Where:
    if not values:
        return not wanted
    return {name_of(field): {"$in" if wanted else "$nin": list(values)}}


def _join(parts: Sequence[Where], *, every: bool) -> Where:
    """`$and` of all, or `$or` of any; Chroma takes two or more."""
    if any(part is (not every) for part in parts):
        return not every
    left = [part for part in parts if part is not every]
    if len(left) <= 1:
        return left[0] if left else every
    return {"$and" if every else "$or": left}


def _compared(node: Filter) -> tuple[Any, ...]:
    """The values that a node compares with."""
    found = getattr(node, "values", None)
    return tuple(found) if found is not None else (getattr(node, "value", None),)


def _too_fine(value: object) -> bool:
    """Whether Chroma's reader of JSON may take a number for its neighbour: it is exact where the digits fit a float
    and the power of ten is one. Found by the property test: 1.7976931348623157e308 equal to the float below it."""
    if not isinstance(value, float):
        return False
    told = Decimal(repr(value)).as_tuple()
    return len(told.digits) > EXACT_DIGITS or not -EXACT_POWER <= int(told.exponent) <= EXACT_POWER


def _terms(node: Filter) -> int:
    match node:
        case filters.ContainsAny(_, values) | filters.ContainsAll(_, values):
            return len(values)
        case filters.In(_, values) | filters.NotIn(_, values):
            return 1 if len(values) <= MOST_VALUES else MOST_TERMS + 1
    return 1
