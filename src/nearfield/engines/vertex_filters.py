"""Rows as the data of Vertex's data objects, and bound filters as its filter expressions. Pure: nothing is asked.

What the vendor documents of filters, and what is done:

- What `$ne` and `$nin` make of an object without the field is not written down. Here every object holds every field: a
  missing text as "", which no value is stored as, a missing number as 0 beside the text that tells that it is missing.
- `$in` and `$nin` take strings alone. So a number is stored twice: as a number for ranges, and as a text for equality,
  which is exact for every integer. Numbers are doubles: a range with an integer below 2**53 is right whatever is
  stored; beyond, it is not said.
- The one operator written down for lists is `$all`. Its opposite is none, so "holds none of" is not said; and the index
  filters on strings, numbers and booleans, so that with one nothing is said of lists but whether they are there.
- Expressions are nested at most two levels deep: deeper ones are multiplied out, or not said where that is too long.
- A point is two numbers. A list of points, a radius and an order of texts are not said.
"""

from __future__ import annotations

from itertools import product
from math import prod
from operator import ge, gt, le, lt
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
from nearfield.engines.stored_text import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nearfield.domain.filters import Row

    Data = dict[str, str | float | list[str]]
    Said = dict[str, Any] | bool

MAX_VALUES: Final = 1_000
"""The most values of one whole filter. The vendor names no limit for these, and 1,024 parts for searches by words."""
DEPTH: Final = 2

_SET: Final = "set"
_WIDE: Final = 2**53
_OPPOSITE: Final = {"$lt": "$gte", "$lte": "$gt", "$gt": "$lte", "$gte": "$lt"}
_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "$lt", Lte: "$lte", Gt: "$gt", Gte: "$gte"}
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {"$lt": lt, "$lte": le, "$gt": gt, "$gte": ge}
_NUMBERS: Final = frozenset({FieldType.INT, FieldType.FLOAT, FieldType.DATETIME})


def data_of(row: Row, fields: Mapping[str, FieldType]) -> Data:
    """What is stored of a row: every column of `columns`."""
    held: Data = {}
    for field, kind in fields.items():
        value = row.get(field)
        if kind is FieldType.GEO:
            point = value if isinstance(value, GeoPoint) else GeoPoint(0.0, 0.0)
            held[f"{field}-lat"], held[f"{field}-lon"] = point.lat, point.lon
            held[_is(field)] = "" if value is None else _SET
        elif kind.is_list:
            if kind is not FieldType.GEOS:
                items = value if isinstance(value, tuple) else ()
                held[field] = list(dict.fromkeys(as_text(item, kind) for item in items))  # type: ignore[arg-type]
            held[_is(field)] = "" if value is None else _SET
        else:
            text = "" if value is None else as_text(value, kind)  # type: ignore[arg-type]
            if kind in _NUMBERS:
                held[field] = 0.0 if value is None else _as_number(value, kind)  # type: ignore[arg-type]
                held[_is(field)] = text
            else:
                held[field] = text
    return held


def columns(fields: Mapping[str, FieldType]) -> dict[str, dict[str, Any]]:
    """What is stored of a field, each with its JSON Schema."""
    text, number, texts = {"type": "string"}, {"type": "number"}, {"type": "array", "items": {"type": "string"}}
    schema: dict[str, dict[str, Any]] = {}
    for field, kind in fields.items():
        if kind is FieldType.GEO:
            schema |= {f"{field}-lat": number, f"{field}-lon": number, _is(field): text}
        elif kind is FieldType.GEOS:
            schema |= {_is(field): text}
        elif kind.is_list:
            schema |= {field: texts, _is(field): text}
        elif kind in _NUMBERS:
            schema |= {field: number, _is(field): text}
        else:
            schema |= {field: text}
    return schema


def compile_filter(where: Filter, fields: Mapping[str, FieldType], *, lists: bool = True) -> Said:
    """A filter expression, or True where every row passes, or False where none can.

    lists: whether what lists hold can be asked. Raises UnsupportedByEngine for what cannot be said exactly.
    """
    said = _Compiler(fields, lists=lists).say(where, negated=False)
    if isinstance(said, bool):
        return said
    if _depth(said) > DEPTH:
        said = _multiplied_out(said)
    values = sum(_values(test) for test in _tests(said))
    if values > MAX_VALUES:
        raise UnsupportedByEngine(
            f"engine vertex takes filters of at most {MAX_VALUES} values, not {values}", field="filter"
        )
    return said


class _Compiler:
    """Writes one filter. Negation is pushed down to the comparisons."""

    def __init__(self, fields: Mapping[str, FieldType], *, lists: bool) -> None:
        self._fields, self._lists = fields, lists

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
                return self._exists(field, present=present is not negated)
        return self._leaf(where, self._fields[where.field], negated=negated)  # type: ignore[attr-defined]

    def _leaf(self, where: Filter, kind: FieldType, *, negated: bool) -> Said:  # noqa: PLR0911 - one return per kind
        """A comparison, which rows without the field never pass, or its opposite, which they pass."""
        match where:
            case Eq(field, value):
                return _test(self._text(field), "$ne" if negated else "$eq", as_text(value, kind))
            case In(field, values):
                told = [as_text(value, kind) for value in values]
                return _test(self._text(field), "$nin" if negated else "$in", told) if told else negated
            case Lt() | Lte() | Gt() | Gte() if kind in _NUMBERS:
                return self._range(where.field, _RANGES[type(where)], where.value, kind, negated=negated)
            case ContainsAny(_, values) if not values:
                return negated
            case ContainsAll(field, values) if not values:
                return self._exists(field, present=not negated)
            case ContainsAny(field, values) if self._lists and not negated:
                return _join("$or", (_test(field, "$all", [as_text(value, kind)]) for value in values))
            case ContainsAll(field, values) if self._lists and not negated:
                return _test(field, "$all", [as_text(value, kind) for value in values])
            case GeoBox() if kind is FieldType.GEO:
                return self._box(where, negated=negated)
        which = "the opposite of " if negated else ""
        raise UnsupportedByEngine(
            f"engine vertex cannot say {which}{type(where).__name__} on a {kind.value} field", field="filter"
        )

    def _range(self, field: str, operator: str, value: Scalar, kind: FieldType, *, negated: bool) -> Said:
        if kind is not FieldType.FLOAT and abs(value) >= _WIDE:  # type: ignore[arg-type]
            raise UnsupportedByEngine(
                f"engine vertex compares numbers as doubles, which cannot tell {value} from its neighbours",
                field="filter",
            )
        operator, number = _OPPOSITE[operator] if negated else operator, _as_number(value, kind)
        said = _test(field, operator, number)
        if _COMPARE[operator](0.0, number) is negated:  # what stands for a missing value falls on its side by itself
            return said
        return _join("$or" if negated else "$and", [self._exists(field, present=not negated), said])

    def _box(self, box: GeoBox, *, negated: bool) -> Said:
        def side(axis: str, operator: str, degrees: float) -> Said:
            return _test(f"{box.field}-{axis}", _OPPOSITE[operator] if negated else operator, degrees)

        both, either = ("$or", "$and") if negated else ("$and", "$or")
        across = either if box.west > box.east else both
        lons = _join(across, [side("lon", "$gte", box.west), side("lon", "$lte", box.east)])
        lats = [side("lat", "$gte", box.south), side("lat", "$lte", box.north)]
        return _join(both, [self._exists(box.field, present=not negated), *lats, lons])

    def _exists(self, field: str, *, present: bool) -> Said:
        return _test(self._text(field), "$ne" if present else "$eq", "")

    def _text(self, field: str) -> str:
        """The column whose text is a field's one value, or tells whether it has any."""
        kind = self._fields[field]
        return field if kind in (FieldType.TEXT, FieldType.KEYWORD, FieldType.BOOL) else _is(field)


def _is(field: str) -> str:
    """A column beside a field's. No field's name has a hyphen, so none is in its way."""
    return f"{field}-is"


def _as_number(value: Scalar, kind: FieldType) -> float:
    if kind is FieldType.FLOAT or abs(value) >= _WIDE:  # type: ignore[arg-type]
        return float(value) + 0.0
    return int(value)


def _test(column: str, operator: str, value: str | float | list[str]) -> dict[str, Any]:
    return {column: {operator: value}}


def _join(word: str, parts: Iterable[Said]) -> Said:
    """Parts joined by `$and` or `$or`: constants folded away, what is joined by the same word taken in."""
    settles = word == "$or"  # the constant that decides the whole
    said: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, dict):
            said += part.get(word, [part])
        elif part is settles:
            return settles
    if not said:
        return not settles
    return said[0] if len(said) == 1 else {word: said}


def _parts(said: dict[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    """The word and the parts of what is joined, None for a comparison."""
    ((key, value),) = said.items()
    return (key, value) if key in ("$and", "$or") else None


def _depth(said: dict[str, Any]) -> int:
    joined = _parts(said)
    return 0 if joined is None else 1 + max(map(_depth, joined[1]))


def _tests(said: dict[str, Any]) -> list[dict[str, Any]]:
    joined = _parts(said)
    return [said] if joined is None else [test for part in joined[1] for test in _tests(part)]


def _values(test: dict[str, Any]) -> int:
    ((tested,),) = (one.values() for one in test.values())
    return len(tested) if isinstance(tested, list) else 1


def _multiplied_out(said: dict[str, Any]) -> dict[str, Any]:
    """The same in two levels: one of several joined by all, or all of several joined by one, whichever is shorter."""
    forms = []
    for outer, inner in (("$or", "$and"), ("$and", "$or")):
        clauses = _clauses(said, outer)
        if clauses is not None:
            forms.append(_join(outer, [_join(inner, clause) for clause in clauses]))
    written = [form for form in forms if isinstance(form, dict)]
    if not written:
        raise UnsupportedByEngine(
            f"engine vertex takes filters of {DEPTH} levels, which makes this one too long", field="filter"
        )
    return min(written, key=lambda form: len(_tests(form)))


def _clauses(said: dict[str, Any], outer: str) -> list[list[dict[str, Any]]] | None:
    """Comparisons in clauses: `outer` joins the clauses, the other word what is in each. None where it is too long."""
    joined = _parts(said)
    if joined is None:
        return [[said]]
    word, parts = joined
    each = [_clauses(part, outer) for part in parts]
    known = [clauses for clauses in each if clauses is not None]
    if len(known) < len(each):
        return None
    if word == outer:
        found = [clause for clauses in known for clause in clauses]
    elif prod(map(len, known)) > MAX_VALUES:
        return None
    else:
        found = [[test for clause in chosen for test in clause] for chosen in product(*known)]
    return found if sum(map(len, found)) <= MAX_VALUES else None
