"""Bound filters to Weaviate's filters, as a tree of our own. Pure: no SDK is needed to compile, and none is asked.

What the compiler has to get right, all of it found by trying Weaviate 1.35 against the oracle:

- Texts are trimmed, and folded or split by other tokenizations; so they are stored and asked in a code of letters and
  digits that keeps their order (`text_code`).
- Whole numbers travel as doubles. Those of 2**53 and more have a second column with a text code (`int_code`).
- NOT counts rows that are no more, so that it comes with a comparison that only rows that are there pass.
- Whether a field is there is a column of its own, a list of the names of those that are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PRESENT: Final = "present"
"""The column that lists which fields a row has."""

SLICE: Final = "slice"
"""The column of a number, 0 or more, that every row has."""

WHOLE: Final = 2**53
"""From here on a double does not hold every whole number."""

_LONGEST_CODE: Final = 64  # characters; beyond it a text that is only ever compared for equality is hashed


class Op(Enum):
    """What a clause compares by; named as Weaviate names them."""

    EQUAL = "EQUAL"
    LESS = "LESS_THAN"
    LESS_EQUAL = "LESS_THAN_EQUAL"
    GREATER = "GREATER_THAN"
    GREATER_EQUAL = "GREATER_THAN_EQUAL"
    ANY = "CONTAINS_ANY"
    ALL = "CONTAINS_ALL"
    AND = "AND"
    OR = "OR"
    NOT = "NOT"


@dataclass(frozen=True, slots=True)
class Clause:
    """One node of a compiled filter: a comparison of a column, or parts joined."""

    op: Op
    column: str = ""
    value: str | float | bool | tuple[str, ...] | tuple[float, ...] = ""
    parts: tuple[Clause, ...] = ()


EVERY: Final = Clause(Op.GREATER_EQUAL, SLICE, 0.0)
"""What all rows pass. Weaviate's NOT alone passes rows, too, that were deleted, and counts them."""

_RANGES: Final[Mapping[type[Filter], Op]] = {
    Lt: Op.LESS,
    Lte: Op.LESS_EQUAL,
    Gt: Op.GREATER,
    Gte: Op.GREATER_EQUAL,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the fields of an index are kept: by their place in the order of names, since Weaviate's names ignore case.

    `main` holds the values. `beside` holds the codes of large whole numbers, or the longitude of a point.
    """

    fields: Mapping[str, FieldType]
    places: Mapping[str, int]

    @classmethod
    def of(cls, fields: Mapping[str, FieldType]) -> Columns:
        return cls(fields, {name: place for place, name in enumerate(sorted(fields))})

    def main(self, field: str) -> str:
        return f"f{self.places[field]}"

    def beside(self, field: str) -> str:
        return f"g{self.places[field]}"


def text_code(text: str) -> str:
    """A text in letters and digits: codes compare as their texts do by code point, and no two share one."""
    return "x" + text.encode("utf-8", "surrogatepass").hex()


def short_code(text: str) -> str:
    """A code of bounded length, for equality alone."""
    code = text_code(text)
    if len(code) <= _LONGEST_CODE:
        return code
    return "h" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def int_code(value: int) -> str:
    """A 64-bit number as a text: codes compare as their numbers do."""
    return f"{value + 2**63:016x}"


def is_whole(kind: FieldType) -> bool:
    """Whether a field's values are whole numbers."""
    return kind.element in (FieldType.INT, FieldType.DATETIME)


def code_of(kind: FieldType) -> Callable[[str], str]:
    """How texts of a type of field are coded: only keywords are ever compared by order."""
    return text_code if kind is FieldType.KEYWORD else short_code


def compile_filter(where: Filter, columns: Columns) -> Clause | bool:  # noqa: PLR0911 - one return per kind of node
    """A clause, or True where every row passes, or False where none can.

    Raises UnsupportedByEngine for a geo radius, and for a geo box over a list of points.
    """
    match where:
        case And(parts):
            return joined(Op.AND, [compile_filter(part, columns) for part in parts])
        case Or(parts):
            return joined(Op.OR, [compile_filter(part, columns) for part in parts])
        case Not(part):
            return _negated(compile_filter(part, columns))
        case Ne(field, value):
            return _negated(_equal(field, (value,), columns))
        case NotIn(field, values):
            return _negated(_equal(field, values, columns))
        case Exists(field, present):
            here = _present(field, columns)
            return here if present else _negated(here)
    return _leaf(where, columns)


def joined(op: Op, parts: Iterable[Clause | bool]) -> Clause | bool:
    """Parts joined by AND or OR, constants folded away."""
    settles = op is Op.OR  # the constant that decides the whole
    said: list[Clause] = []
    for part in parts:
        if isinstance(part, Clause):
            said.append(part)
        elif part is settles:
            return settles
    if not said:
        return not settles
    return said[0] if len(said) == 1 else Clause(op, parts=tuple(said))


def _leaf(where: Filter, columns: Columns) -> Clause | bool:
    """What rows that have the field pass; a row without it never does, and Weaviate agrees."""
    match where:
        case Eq(field, value):
            return _equal(field, (value,), columns)
        case In(field, values) | ContainsAny(field, values):
            return _equal(field, values, columns)
        case ContainsAll(field, values):
            return joined(Op.AND, [_present(field, columns), *_held(Op.ALL, field, values, columns)])
        case Lt(field, value) | Lte(field, value) | Gt(field, value) | Gte(field, value):
            return _range(_RANGES[type(where)], field, value, columns)
        case GeoBox(field) if columns.fields[field] is FieldType.GEO:
            return _box(where, columns)
    kind = columns.fields[where.field]  # type: ignore[attr-defined]
    raise UnsupportedByEngine(
        f"engine weaviate cannot say {type(where).__name__} on a {kind.value} field", field="filter"
    )


def _equal(field: str, values: Sequence[Scalar], columns: Columns) -> Clause | bool:
    """The field is, or as a list holds, any of the values."""
    return joined(Op.OR, _held(Op.ANY, field, values, columns))


def _held(op: Op, field: str, values: Sequence[Scalar], columns: Columns) -> list[Clause | bool]:
    """One clause per column that has to be asked for some of the values."""
    kind = columns.fields[field]
    main = columns.main(field)
    if kind.element is FieldType.BOOL:
        return [Clause(Op.EQUAL, main, bool(value)) for value in dict.fromkeys(values)]
    if isinstance(next(iter(values), None), str):
        code = code_of(kind)
        return [_contains(op, main, tuple(code(str(value)) for value in values))]
    numbers = [value for value in values if not (is_whole(kind) and abs(value) >= WHOLE)]  # type: ignore[arg-type]
    large = [int(value) for value in values if is_whole(kind) and abs(value) >= WHOLE]  # type: ignore[arg-type]
    said: list[Clause | bool] = []
    if numbers:
        said.append(_contains(op, main, tuple(_number(value) for value in numbers)))
    if large:
        said.append(_contains(op, columns.beside(field), tuple(map(int_code, large))))
    return said


def _contains(op: Op, column: str, values: tuple[str, ...] | tuple[float, ...]) -> Clause:
    return Clause(Op.EQUAL, column, values[0]) if len(values) == 1 else Clause(op, column, values)


def _range(op: Op, field: str, value: Scalar, columns: Columns) -> Clause | bool:
    kind, main = columns.fields[field], columns.main(field)
    if isinstance(value, str):
        return Clause(op, main, text_code(value))
    if not is_whole(kind) or abs(value) < WHOLE:
        return Clause(op, main, _number(value))
    # rounding to a double keeps the order; numbers that share a double are told apart by their codes
    strict = {Op.LESS_EQUAL: Op.LESS, Op.GREATER_EQUAL: Op.GREATER}.get(op, op)
    same = Clause(Op.EQUAL, main, float(value))
    beside = Clause(op, columns.beside(field), int_code(int(value)))
    return joined(Op.OR, [Clause(strict, main, float(value)), joined(Op.AND, [same, beside])])


def _box(box: GeoBox, columns: Columns) -> Clause | bool:
    lat, lon = columns.main(box.field), columns.beside(box.field)
    lons = joined(
        Op.OR if box.west > box.east else Op.AND,
        [Clause(Op.GREATER_EQUAL, lon, box.west + 0.0), Clause(Op.LESS_EQUAL, lon, box.east + 0.0)],
    )
    lats = [Clause(Op.GREATER_EQUAL, lat, box.south + 0.0), Clause(Op.LESS_EQUAL, lat, box.north + 0.0)]
    return joined(Op.AND, [*lats, lons])


def _present(field: str, columns: Columns) -> Clause:
    return Clause(Op.EQUAL, PRESENT, columns.main(field))


def _negated(said: Clause | bool) -> Clause | bool:
    if isinstance(said, bool):
        return not said
    return Clause(Op.AND, parts=(Clause(Op.NOT, parts=(said,)), EVERY))


def _number(value: Scalar) -> float:
    return float(value) + 0.0  # no -0.0, which Weaviate keeps apart from 0.0
