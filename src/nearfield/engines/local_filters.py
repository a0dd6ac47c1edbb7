"""Bound filters to zvec's filter strings. Pure: no SDK is needed to compile, and none is asked.

What the compiler has to get right, all of it found by trying zvec 0.8 against the oracle:

- No comparison holds for null, `!=` and `NOT IN` included, so everything negated says `OR x IS NULL` itself; there is
  no `NOT (...)`, so negation is pushed down to the leaves.
- In a string only the quotes can be escaped, so a value that ends in a backslash cannot be written. Strings are stored
  and asked in a code without backslash and double quote that keeps their order (`encode_text`).
- A range or null test that nearly all rows of a segment pass is moved to another plan there, and then the query fails
  ("mismatching schema size") if another segment stayed with the first. An OR with an equality is left alone, so these
  are written `(x < 5 OR n_slice = -1)`, with an equality that no row passes.
- IN takes 20,000 values and never none, CONTAIN_* takes 32, a filter 4,096 comparisons; bools know `=` and `!=` only.
"""

from __future__ import annotations

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
    from collections.abc import Iterable, Mapping

MAX_COMPARISONS: Final = 4_096
MAX_IN: Final = 20_000
MAX_CONTAINS: Final = 32
SLICE: Final = "n_slice"
"""The column of a number, 0 or more, that every row has."""

NOTHING: Final = f"{SLICE} = -1"
"""A comparison that no row passes, and that an inverted index answers at once."""

_CODE: Final = str.maketrans({"[": "[0", "\\": "[1", "!": "!0", '"': "!1"})
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_RANGES: Final[Mapping[type[Filter], str]] = {Lt: "<", Lte: "<=", Gt: ">", Gte: ">="}


def column(field: str) -> str:
    """The column of a field. The prefix keeps clear of zvec's words (`true`) and of our own columns (`n_...`)."""
    return f"x{field}"


def longitude_column(field: str) -> str:
    """The second column of a geo field, whose first holds the latitude."""
    return f"y{field}"


def encode_text(text: str) -> str:
    """A text without backslash and double quote. Texts compare as their codes do, and no two share one.

    `!` < `"` and `[` < `\\` are neighbours by code point; each pair shares the lower one as its first character.
    """
    return text.translate(_CODE)


def compile_filter(where: Filter, fields: Mapping[str, FieldType]) -> str | bool:
    """A filter string, or True where every row passes, or False where none can.

    Raises UnsupportedByEngine for a geo radius, a geo box over a list of points, and more comparisons than zvec takes.
    """
    compiler = _Compiler(fields)
    compiled = compiler.say(where, negated=False)
    if compiler.comparisons > MAX_COMPARISONS:
        raise UnsupportedByEngine(
            f"engine local takes filters of at most {MAX_COMPARISONS} comparisons, not {compiler.comparisons}",
            field="filter",
        )
    return compiled


class _Compiler:
    """Writes one filter and counts its comparisons."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self.comparisons = 0

    def say(self, where: Filter, *, negated: bool) -> str | bool:  # noqa: PLR0911 - one return per kind of node
        """Compile a node, or its opposite."""
        match where:
            case And(parts):
                return _join("OR" if negated else "AND", (self.say(part, negated=negated) for part in parts))
            case Or(parts):
                return _join("AND" if negated else "OR", (self.say(part, negated=negated) for part in parts))
            case Not(part):
                return self.say(part, negated=not negated)
            case Ne(field, value):
                return self.say(Eq(field, value), negated=not negated)
            case NotIn(field, values):
                return self.say(In(field, values), negated=not negated)
            case Exists(field, present):
                return self._null_test(field, null=present is negated)
        said = self._leaf(where, negated=negated)
        if not negated:
            return said
        return _join("OR", [said, self._null_test(where.field, null=True)])  # type: ignore[attr-defined]

    def _leaf(self, where: Filter, *, negated: bool) -> str | bool:
        """What rows that have the field pass; a row without it never does."""
        match where:
            case Eq(field, value):
                return self._one(f"{column(field)} {'!=' if negated else '='} {self._literal(field, value)}")
            case In(field, values):
                return self._among(field, values, negated=negated)
            case Lt() | Lte() | Gt() | Gte():
                operator = _RANGES[type(where)]
                kind = self._fields[where.field]
                return self._range(column(where.field), _OPPOSITE[operator] if negated else operator, where.value, kind)
            case ContainsAny(field, values):
                return self._holding(field, values, every=False, negated=negated)
            case ContainsAll(field, values):
                return self._holding(field, values, every=True, negated=negated)
            case GeoBox() if self._fields[where.field] is FieldType.GEO:
                return self._box(where, negated=negated)
        node = type(where).__name__
        raise UnsupportedByEngine(f"engine local cannot say {node} on a {self._kind(where)} field", field="filter")

    def _among(self, field: str, values: tuple[Scalar, ...], *, negated: bool) -> str | bool:
        if self._fields[field] is FieldType.BOOL:
            each = [self._leaf(Eq(field, value), negated=negated) for value in values]
            return _join("AND" if negated else "OR", each) if each else negated and self._present(field)
        if not values:
            return negated and self._present(field)
        lists = [
            self._one(f"{column(field)} {'NOT IN' if negated else 'IN'} ({self._literals(field, chunk)})")
            for chunk in _chunks(values, MAX_IN)
        ]
        return _join("AND" if negated else "OR", lists)

    def _holding(self, field: str, values: tuple[Scalar, ...], *, every: bool, negated: bool) -> str | bool:
        if not values:
            return self._present(field) if every is not negated else False
        operator = f"{'NOT ' if negated else ''}CONTAIN_{'ALL' if every else 'ANY'}"
        lists = [
            self._one(f"{column(field)} {operator} ({self._literals(field, chunk)})")
            for chunk in _chunks(values, MAX_CONTAINS)
        ]
        return _join("AND" if every is not negated else "OR", lists)

    def _range(self, name: str, operator: str, value: Scalar, kind: FieldType) -> str:
        return self._settled(f"{name} {operator} {_literal(value, kind)}")

    def _box(self, box: GeoBox, *, negated: bool) -> str | bool:
        lat, lon = column(box.field), longitude_column(box.field)

        def side(name: str, operator: str, degrees: float) -> str:
            operator = _OPPOSITE[operator] if negated else operator
            return self._range(name, operator, degrees, FieldType.FLOAT)

        both, either = ("OR", "AND") if negated else ("AND", "OR")
        across = either if box.west > box.east else both
        lons = _join(across, [side(lon, ">=", box.west), side(lon, "<=", box.east)])
        return _join(both, [side(lat, ">=", box.south), side(lat, "<=", box.north), lons])

    def _present(self, field: str) -> str:
        return self._null_test(field, null=False)

    def _null_test(self, field: str, *, null: bool) -> str:
        test = f"{column(field)} IS {'' if null else 'NOT '}NULL"
        return self._one(test) if self._fields[field] is FieldType.TEXT else self._settled(test)

    def _settled(self, comparison: str) -> str:
        """A comparison on an indexed column that zvec will not move to another plan."""
        return f"({self._one(comparison)} OR {self._one(NOTHING)})"

    def _one(self, comparison: str) -> str:
        self.comparisons += 1
        return comparison

    def _literal(self, field: str, value: Scalar) -> str:
        return _literal(value, self._fields[field].element)

    def _literals(self, field: str, values: Iterable[Scalar]) -> str:
        return ", ".join(self._literal(field, value) for value in values)

    def _kind(self, where: Filter) -> str:
        return self._fields[where.field].value  # type: ignore[attr-defined]


def _join(word: str, parts: Iterable[str | bool]) -> str | bool:
    """Parts joined by AND or OR, constants folded away."""
    settles = word == "OR"  # the constant that decides the whole
    said: list[str] = []
    for part in parts:
        if isinstance(part, str):
            said.append(part)
        elif part is settles:
            return settles
    if not said:
        return not settles
    return said[0] if len(said) == 1 else f"({f' {word} '.join(said)})"


def _literal(value: Scalar, kind: FieldType) -> str:
    if kind is FieldType.BOOL:
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{encode_text(value)}"'
    return repr(float(value) + 0.0) if kind is FieldType.FLOAT else str(int(value))


def _chunks(values: tuple[Scalar, ...], size: int) -> list[tuple[Scalar, ...]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
