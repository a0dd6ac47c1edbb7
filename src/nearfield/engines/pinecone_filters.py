"""Rows as Pinecone's metadata, and bound filters as Pinecone's filter expressions. Pure: nothing is asked.

What metadata is (a flat object of strings, doubles, booleans and lists of strings, 40 KB a record) and what is done:

- What `$ne`, `$nin` and a branch of `$or` make of a record without the field was changed over the years and is not
  written down. Here every record holds every field: a missing one as a value of its type, beside `FIELD-set: false`.
- Numbers are doubles. A comparison with an integer below 2**53 is right whatever is stored; beyond, it is not said.
- Strings compare for equality alone. One that is long, empty or holds a control character is stored as its digest.
- Elements of every list are strings: an integer in digits, so that 2**53 + 1 is found, a double as Python repeats it.
- A point is two numbers. A list of points and a radius are not said, and `$in` takes 10,000 values.
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
    GeoPoint,
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
from nearfield.engines.stored_text import DIGEST, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearfield.domain.filters import FieldValue, Row

    Metadata = dict[str, str | float | bool | list[str]]
    Said = dict[str, Any] | bool

EVERY_ROW: Final = "all-rows"
"""A key under which every record holds True. No field's name has a hyphen, so none is in its way."""
MAX_VALUES: Final = 10_000
"""The most values `$in` takes; here of one whole filter, which also keeps a request far below its limit in bytes."""

_WIDE: Final = 2**53
_OPPOSITE: Final = {"$lt": "$gte", "$lte": "$gt", "$gt": "$lte", "$gte": "$lt"}
_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "$lt", Lte: "$lte", Gt: "$gt", Gte: "$gte"}
_NUMBERS: Final = frozenset({FieldType.INT, FieldType.FLOAT, FieldType.DATETIME})


def metadata_of(row: Row, fields: Mapping[str, FieldType]) -> Metadata:
    """What is stored of a row."""
    held: Metadata = {EVERY_ROW: True}
    for field, kind in fields.items():
        value = row.get(field)
        held[_flag(field)] = value is not None
        if kind is FieldType.GEOS:
            continue
        if kind is FieldType.GEO:
            point = value if isinstance(value, GeoPoint) else GeoPoint(0.0, 0.0)
            held[f"{field}-lat"], held[f"{field}-lon"] = point.lat, point.lon
        elif kind.is_list:
            items = value if isinstance(value, tuple) else ()
            held[field] = list(dict.fromkeys(as_text(item, kind) for item in items)) or [DIGEST]  # type: ignore[arg-type]
        else:
            held[field] = _as_value(_blank(kind) if value is None else value, kind)
    return held


def compile_filter(where: Filter, fields: Mapping[str, FieldType]) -> Said:
    """A filter expression, or True where every row passes, or False where none can.

    Raises UnsupportedByEngine for what Pinecone cannot say exactly.
    """
    compiler = _Compiler(fields)
    said = compiler.say(where, negated=False)
    if compiler.values > MAX_VALUES:
        raise UnsupportedByEngine(
            f"engine pinecone takes filters of at most {MAX_VALUES} values, not {compiler.values}", field="filter"
        )
    return said


class _Compiler:
    """Writes one filter and counts its values. Negation is pushed down to the comparisons."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self.values = 0

    def say(self, where: Filter, *, negated: bool) -> Said:  # noqa: PLR0911 - one return per kind of node
        """Compile a node, or its opposite."""
        match where:
            case And(parts):
                return _join("$or" if negated else "$and", (self.say(part, negated=negated) for part in parts))
            case Or(parts):
                return _join("$and" if negated else "$or", (self.say(part, negated=negated) for part in parts))
            case Not(part):
                return self.say(part, negated=not negated)
            case Ne(field, value):
                return self.say(Eq(field, value), negated=not negated)
            case NotIn(field, values):
                return self.say(In(field, values), negated=not negated)
            case Exists(field, present):
                return self._is_set(field, present=present is not negated)
        field = where.field  # type: ignore[attr-defined]
        said = self._leaf(where, self._fields[field], negated=negated)
        return _join("$or" if negated else "$and", [self._is_set(field, present=not negated), said])

    def _leaf(self, where: Filter, kind: FieldType, *, negated: bool) -> Said:
        """What rows that have the field pass."""
        match where:
            case Eq(field, value):
                return self._test(field, "$ne" if negated else "$eq", _as_value(self._exact(value, kind), kind))
            case In(field, values):
                return self._among(field, values, kind, negated=negated)
            case Lt() | Lte() | Gt() | Gte() if kind in _NUMBERS:
                operator = _RANGES[type(where)]
                value = _as_value(self._exact(where.value, kind), kind)
                return self._test(where.field, _OPPOSITE[operator] if negated else operator, value)
            case ContainsAny(field, values):
                return self._holding(field, values, kind, negated=negated)
            case ContainsAll(field, values):
                each = (self._holding(field, (value,), kind, negated=negated) for value in values)
                return _join("$or" if negated else "$and", each)
            case GeoBox() if kind is FieldType.GEO:
                return self._box(where, negated=negated)
        raise UnsupportedByEngine(
            f"engine pinecone cannot say {type(where).__name__} on a {kind.value} field", field="filter"
        )

    def _among(self, field: str, values: tuple[Scalar, ...], kind: FieldType, *, negated: bool) -> Said:
        if not values:
            return negated
        if kind is FieldType.BOOL:  # `$in` is written down for strings and numbers alone
            each = (self._leaf(Eq(field, value), kind, negated=negated) for value in values)
            return _join("$and" if negated else "$or", each)
        told = [_as_value(self._exact(value, kind), kind) for value in values]
        return self._test(field, "$nin" if negated else "$in", told)

    def _holding(self, field: str, values: tuple[Scalar, ...], kind: FieldType, *, negated: bool) -> Said:
        if not values:
            return negated
        return self._test(field, "$nin" if negated else "$in", [as_text(value, kind) for value in values])

    def _box(self, box: GeoBox, *, negated: bool) -> Said:
        def side(axis: str, operator: str, degrees: float) -> Said:
            return self._test(f"{box.field}-{axis}", _OPPOSITE[operator] if negated else operator, degrees)

        both, either = ("$or", "$and") if negated else ("$and", "$or")
        across = either if box.west > box.east else both
        lons = _join(across, [side("lon", "$gte", box.west), side("lon", "$lte", box.east)])
        return _join(both, [side("lat", "$gte", box.south), side("lat", "$lte", box.north), lons])

    def _is_set(self, field: str, *, present: bool) -> Said:
        return self._test(_flag(field), "$eq", present)

    def _test(self, key: str, operator: str, value: Any) -> Said:
        self.values += len(value) if isinstance(value, list) else 1
        return {key: {operator: value}}

    def _exact(self, value: Scalar, kind: FieldType) -> Scalar:
        if kind.element in (FieldType.INT, FieldType.DATETIME) and abs(value) >= _WIDE:  # type: ignore[arg-type]
            raise UnsupportedByEngine(
                f"engine pinecone compares numbers as doubles, which cannot tell {value} from its neighbours",
                field="filter",
            )
        return value


def _flag(field: str) -> str:
    return f"{field}-set"


def _blank(kind: FieldType) -> Scalar:
    """What stands in a field that a row has not."""
    return False if kind is FieldType.BOOL else 0 if kind in _NUMBERS else ""


def _as_value(value: FieldValue, kind: FieldType) -> str | float | bool:
    if kind is FieldType.BOOL:
        return bool(value)
    if isinstance(value, str):
        return as_text(value, kind)
    if kind is FieldType.FLOAT or abs(value) >= _WIDE:  # type: ignore[arg-type]
        return float(value) + 0.0  # type: ignore[arg-type]
    return int(value)  # type: ignore[arg-type]


def _join(word: str, parts: Iterable[Said]) -> Said:
    """Parts joined by `$and` or `$or`, constants folded away."""
    settles = word == "$or"  # the constant that decides the whole
    said: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, dict):
            said.append(part)
        elif part is settles:
            return settles
    if not said:
        return not settles
    return said[0] if len(said) == 1 else {word: said}
