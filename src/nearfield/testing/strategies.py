"""Hypothesis strategies for schemas, rows and bound filters, with the values that break naive adapters.

Needs hypothesis, which is a development dependency: import this file from tests only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    FieldValue,
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
    Row,
    Scalar,
)
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hypothesis.strategies import SearchStrategy

HOSTILE_TEXTS: Final = (
    "",
    " ",
    "  ",
    "\\",
    "\\\\",
    "ends in \\",
    '"',
    "'",
    "''",
    '\\"',
    "\\'",
    "it's",
    'say "hi"',
    '" OR "" = "',
    "' OR 1=1 --",
    "a AND b",
    "NOT (a)",
    "IS NULL",
    "NULL",
    "true",
    "0",
    "-1",
    "%",
    "_",
    "*",
    "(",
    ")",
    ",",
    ";",
    "\0",
    "a\0b",
    "a\0",
    "\n",
    "\r\n",
    "\t",
    "[",
    "[0",
    "[1",
    "]",
    "!",
    "!0",
    "!1",
    "#",
    "é",
    "e\u0301",
    "É",
    "ß",
    "ﬁ",
    "日本",
    "😀",
    "👩‍👩‍👧",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "x" * 300,
    "long " * 100,
)
_INTS: Final = (0, 1, -1, 2, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
_FLOATS: Final = (
    0.0,
    1.0,
    -1.0,
    0.1,
    0.30000000000000004,
    5e-324,
    -5e-324,
    2.0**53,
    1e16,
    1e-7,
    1.7976931348623157e308,
)
_NAMES: Final = ("a", "A", "b", "alse", "rue", "price", "tags", "_", "n_text", "null", "select", "in", "x" * 63)


_PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_HOSTILE = st.sampled_from(HOSTILE_TEXTS)
_TEXTS = st.one_of(_HOSTILE, _PLAIN, st.builds(lambda a, b: a + b, _HOSTILE, st.one_of(_HOSTILE, _PLAIN)))
_SCALARS: Final[Mapping[FieldType, SearchStrategy[Scalar]]] = {
    FieldType.TEXT: _TEXTS,
    FieldType.KEYWORD: _TEXTS,
    FieldType.INT: st.one_of(st.sampled_from(_INTS), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    FieldType.FLOAT: st.one_of(
        st.sampled_from(_FLOATS),
        st.integers(-3, 3).map(float),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),  # a row holds no -0.0
    ),
    FieldType.BOOL: st.booleans(),
    FieldType.DATETIME: st.one_of(st.sampled_from((0, 1, -1, 1_700_000_000_000_000)), st.integers(-(10**16), 10**17)),
}
_LATITUDES = st.one_of(st.sampled_from((-90.0, 0.0, 52.5, 90.0)), st.floats(-90, 90))
_LONGITUDES = st.one_of(st.sampled_from((-180.0, 0.0, 13.4, 180.0)), st.floats(-180, 180))
_POINTS = st.builds(lambda lat, lon: GeoPoint(lat + 0.0, lon + 0.0), _LATITUDES, _LONGITUDES)
_RADII = st.one_of(st.sampled_from((0.0, 1.0, 1e7)), st.floats(0, 2.1e7))


def texts() -> SearchStrategy[str]:
    """Texts that UTF-8 can hold: hostile ones, joins of them, and any others."""
    return _TEXTS


def scalars(kind: FieldType) -> SearchStrategy[Scalar]:
    """Values of an element type other than geo, as a row holds them."""
    return _SCALARS[kind]


def points() -> SearchStrategy[GeoPoint]:
    """Points on the globe, its poles and the antimeridian among them."""
    return _POINTS


def values(kind: FieldType) -> SearchStrategy[FieldValue]:
    """Values of a field; lists are never empty and may hold a value twice."""
    if kind.element is FieldType.GEO:
        return st.lists(points(), min_size=1, max_size=3).map(tuple) if kind.is_list else points()
    if kind.is_list:
        return st.lists(scalars(kind.element), min_size=1, max_size=4).map(tuple)
    return scalars(kind)


def schemas() -> SearchStrategy[dict[str, FieldType]]:
    """One to six fields, with names that are words of query languages or differ only in case."""
    return st.dictionaries(st.sampled_from(_NAMES), st.sampled_from(FieldType), min_size=1, max_size=6)


def rows(fields: Mapping[str, FieldType]) -> SearchStrategy[Row]:
    """A row of some schema; any of its fields may be missing."""
    return st.fixed_dictionaries({}, optional={name: values(kind) for name, kind in fields.items()})


@st.composite
def bound_filters(  # composite, since a tree of strategies costs more to build than the filters it gives
    draw: st.DrawFn,
    fields: Mapping[str, FieldType],
    table: Sequence[Row],
    nodes: Collection[type[Filter]],
    depth: int = 3,
) -> Filter:
    """A bound filter over a schema, of the node types given; its values are often ones that rows of `table` hold.

    depth: joins above the deepest comparison, at most.
    """
    joins = sorted({"And", "Or", "Not"} & {node.__name__ for node in nodes})
    if depth and joins and draw(st.integers(0, 2)) == 0:
        join = draw(st.sampled_from(joins))
        if join == "Not":
            return Not(draw(bound_filters(fields, table, nodes, depth - 1)))
        parts = tuple(draw(bound_filters(fields, table, nodes, depth - 1)) for _ in range(draw(st.integers(0, 3))))
        return And(parts) if join == "And" else Or(parts)
    name = draw(st.sampled_from(sorted(fields)))
    node = draw(st.sampled_from([node for node in comparisons(fields[name]) if node in nodes]))
    return _comparison(draw, node, name, fields[name], _held(name, table))


def comparisons(kind: FieldType) -> tuple[type[Filter], ...]:
    """The nodes that binding leaves on a field of some type."""
    if kind.element is FieldType.GEO:
        return (Exists, GeoRadius, GeoBox)
    if kind.is_list:
        return (Exists, ContainsAny, ContainsAll)
    return (Exists, Eq, Ne, In, NotIn, *((Lt, Lte, Gt, Gte) if kind.is_ordered else ()))


def _comparison(draw: st.DrawFn, node: type[Filter], name: str, kind: FieldType, held: list[Scalar]) -> Filter:
    def value() -> Scalar:
        if len(held) > 0 and draw(st.booleans()):
            return held[draw(st.integers(0, len(held) - 1))]
        fresh: Scalar = draw(scalars(kind.element))
        return fresh

    if node is Exists:
        return Exists(name, draw(st.booleans()))
    if node is GeoRadius:
        return GeoRadius(name, draw(points()), draw(_RADII))
    if node is GeoBox:
        one, other = draw(points()), draw(points())
        return GeoBox(name, min(one.lat, other.lat), one.lon, max(one.lat, other.lat), other.lon)
    if node in (In, NotIn, ContainsAny, ContainsAll):
        many = tuple(dict.fromkeys(value() for _ in range(draw(st.integers(0, 4)))))
        return node(name, many)
    return node(name, value())  # type: ignore[call-arg]


def _held(name: str, table: Sequence[Row]) -> list[Scalar]:
    """The values that rows hold in a field, those of lists one by one; points are left out."""
    held: dict[Scalar, None] = {}
    for row in table:
        value = row.get(name)
        if value is None or isinstance(value, GeoPoint):
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if not isinstance(item, GeoPoint):
                held[item] = None
    return list(held)
