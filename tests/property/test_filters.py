"""Laws of filters: spellings are inverse to each other, binding keeps the meaning, the oracle obeys logic."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nearfield.domain.binding import bind
from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_json import parse_json, to_json
from nearfield.domain.filter_text import parse_text, to_text
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
    matches,
)
from nearfield.domain.rows import row_of
from nearfield.domain.schema import FieldType

FIELDS = {
    "name": FieldType.TEXT,
    "brand": FieldType.KEYWORD,
    "n": FieldType.INT,
    "price": FieldType.FLOAT,
    "ok": FieldType.BOOL,
    "added": FieldType.DATETIME,
    "at": FieldType.GEO,
    "tags": FieldType.KEYWORDS,
    "nums": FieldType.INTS,
    "rates": FieldType.FLOATS,
    "places": FieldType.GEOS,
}
HOSTILE = [
    *("", " ", "'", '"', "\\", "\\\\", "a\\", '\\"', "`", "\\`", "\x00", "a\x00b", "\n", "\r\n", "\t"),
    *("' OR 1=1 --", '" OR "" = "', "a AND b", "NOT", "null", "true", "1", "$eq", "%", "_", "*", "a;b", "{x}", "[1]"),
    *("é", "e\u0301", "ß", "İ", "👩‍👩‍👧", "\U0001f600", "\u202e", "\ufeff", "\u2028", "\uffff", "ﬁ"),
]
ALPHABET = st.characters(exclude_categories=["Cs"])
strings = st.sampled_from(HOSTILE) | st.text(ALPHABET, max_size=8)
EDGES = [
    *(0, 1, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, -(10**30)),
    *(0.0, -0.0, 0.5, -0.5, 3.5, 2.0**53, 2.0**63, -(2.0**63), -(2.0**63) * 1.5, 1e300, -1e300, 5e-324, 0.1),
]
numbers: st.SearchStrategy[int | float] = (
    st.sampled_from(EDGES)
    | st.integers(-10, 10).map(lambda halves: halves / 2)
    | st.integers(-5, 5)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
instants = st.sampled_from(
    ["1969-12-31", "1970-01-01", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000001", "2024-02-29 14:00+02:00"]
)
points = st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))


def trees(leaves: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    return st.recursive(
        leaves,
        lambda part: (
            st.builds(And, st.lists(part, max_size=3).map(tuple))
            | st.builds(Or, st.lists(part, max_size=3).map(tuple))
            | st.builds(Not, part)
        ),
        max_leaves=8,
    )


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=4).map(tuple)


def leaves_of(names: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    """Any leaf over any name, whether or not it makes sense."""
    single = [st.builds(node, names, values) for node in (Eq, Ne, Lt, Lte, Gt, Gte)]
    many = [st.builds(node, names, lists(values)) for node in (In, NotIn, ContainsAny, ContainsAll)]
    floats = st.floats(allow_nan=False, allow_infinity=False)
    geo = [
        st.builds(GeoRadius, names, st.builds(GeoPoint, floats, floats), floats),
        st.builds(GeoBox, names, floats, floats, floats, floats),
    ]
    return st.one_of(*single, *many, *geo, st.builds(Exists, names, st.booleans()))


def sensible_leaves() -> st.SearchStrategy[Filter]:
    """Leaves that bind to FIELDS."""
    equals: list[st.SearchStrategy[Filter]] = [st.builds(Exists, st.sampled_from(list(FIELDS)), st.booleans())]
    of = {"name": strings, "brand": strings, "n": numbers, "price": numbers, "ok": st.booleans(), "added": instants}
    of_lists = {"tags": strings, "nums": numbers, "rates": numbers}
    for name, values in (of | of_lists).items():
        equals += [st.builds(node, st.just(name), values) for node in (Eq, Ne)]
        equals += [st.builds(node, st.just(name), lists(values)) for node in (In, NotIn)]
    for name in ("brand", "n", "price", "added"):
        equals += [st.builds(node, st.just(name), of[name]) for node in (Lt, Lte, Gt, Gte)]
    for name, values in of_lists.items():
        equals += [st.builds(node, st.just(name), lists(values)) for node in (ContainsAny, ContainsAll)]
    geo = st.sampled_from(["at", "places"])
    equals += [
        st.builds(GeoRadius, geo, points, st.floats(0, 2.1e7)),
        st.builds(
            lambda name, lats, lons: GeoBox(name, min(lats), lons[0], max(lats), lons[1]),
            geo,
            st.tuples(st.floats(-90, 90), st.floats(-90, 90)),
            st.tuples(st.floats(-180, 180), st.floats(-180, 180)),
        ),
    ]
    return st.one_of(*equals)


whole = st.sampled_from([v for v in EDGES if isinstance(v, int) and -(2**63) <= v < 2**63]) | st.integers(-5, 5)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "name": st.none() | strings,
        "brand": st.none() | strings,
        "n": st.none() | whole,
        "price": st.none() | numbers.filter(lambda v: abs(v) < 1e300),
        "ok": st.none() | st.booleans(),
        "added": st.none() | instants,
        "at": st.none() | points.map(lambda p: p._asdict()),
        "tags": st.none() | st.lists(strings, max_size=4),
        "nums": st.none() | st.lists(whole, max_size=4),
        "rates": st.none() | st.lists(numbers.filter(lambda v: abs(v) < 1e300), max_size=4),
        "places": st.none() | st.lists(points.map(list), max_size=3),
    },
)
sensible = trees(sensible_leaves())
scalars = strings | st.text(max_size=5) | numbers | st.booleans()
anything = trees(leaves_of(strings | st.sampled_from(list(FIELDS)), scalars))


def same(a: Filter, b: Filter) -> bool:
    """Equal, and 1, 1.0 and true told apart."""
    return a == b and repr(a) == repr(b)


def unwrapped(where: Filter) -> Filter:
    match where:
        case And((part,)) | Or((part,)):
            return unwrapped(part)
        case And(parts) | Or(parts):
            return type(where)(tuple(map(unwrapped, parts)))
        case Not(part):
            return Not(unwrapped(part))
    return where


@given(anything)
def test_json_gives_the_same_tree_back(where: Filter) -> None:
    try:
        spelt = to_json(where)
    except InvalidFilter:
        assume(False)
    assert same(parse_json(spelt), where)
    assert same(parse_json(json.loads(json.dumps(spelt))), where)


@given(anything)
def test_text_gives_the_same_tree_back(where: Filter) -> None:
    assert same(parse_text(to_text(where)), unwrapped(where))


@given(sensible)
def test_a_bound_tree_prints_and_reads_back(where: Filter) -> None:
    bound = bind(where, FIELDS)
    assert same(parse_text(to_text(bound)), unwrapped(bound))


WORDS = [
    *("a", "price", "AND", "or", "NOT", "in", "IS", "NULL", "TRUE", "between"),
    *"()[],=<'`\\",
    '"x"',
    "1",
    ".5",
    "-2",
]


@given(st.text() | st.lists(st.sampled_from(WORDS)))
def test_any_text_is_read_or_refused(text: str | list[str]) -> None:
    try:
        where = parse_text(text if isinstance(text, str) else " ".join(text))
    except InvalidFilter as refused:
        assert str(refused)
    else:
        assert isinstance(where, Filter)


keys = st.sampled_from(["$and", "$or", "$not", "$eq", "$lt", "$in", "$nin", "$exists", "$geoRadius", "price", "x"])
wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, wild, max_size=3) | wild)
def test_any_json_is_read_or_refused(obj: object) -> None:
    try:
        where = parse_json(obj)
    except InvalidFilter as refused:
        assert refused.field is not None
        assert refused.field.startswith("filter")
    else:
        assert same(parse_json(to_json(where)), where)


@given(anything)
def test_any_tree_is_bound_or_refused(where: Filter) -> None:
    try:
        bound = bind(where, FIELDS)
    except InvalidFilter as refused:
        assert refused.field is not None
        assert refused.field.startswith("filter.")
    else:
        assert isinstance(matches(bound, {}), bool)


def naive(where: Filter, body: dict[str, Any]) -> bool:
    """The meaning of an unbound filter, said without binding: on int fields by exact arithmetic."""
    match where:
        case And(parts):
            return all(naive(part, body) for part in parts)
        case Or(parts):
            return any(naive(part, body) for part in parts)
        case Not(part):
            return not naive(part, body)
        case Exists(field, present):
            return (body.get(field) not in (None, [])) is present
        case Ne(field, value):
            return not naive(Eq(field, value), body)
        case NotIn(field, values):
            return not naive(In(field, values), body)
    name: str = where.field  # type: ignore[attr-defined]
    have = body.get(name)
    if have in (None, []):
        return False
    holds = have if isinstance(have, list) else [have]
    as_float = name in ("price", "rates")
    read = float if as_float else lambda value: value
    match where:
        case Eq(_, value):
            return any(read(one) == read(value) for one in holds)
        case In(_, values) | ContainsAny(_, values):
            return any(read(one) == read(value) for one in holds for value in values)
        case ContainsAll(_, values):
            return all(any(read(one) == read(value) for one in holds) for value in values)
        case Lt(_, value):
            return bool(read(have) < read(value))
        case Lte(_, value):
            return bool(read(have) <= read(value))
        case Gt(_, value):
            return bool(read(have) > read(value))
        case Gte(_, value):
            return bool(read(have) >= read(value))
    raise AssertionError(where)


def number_leaves() -> st.SearchStrategy[Filter]:
    names, many = st.sampled_from(["n", "price"]), st.sampled_from(["nums", "rates"])
    return st.one_of(
        *(st.builds(node, names, numbers) for node in (Eq, Ne, Lt, Lte, Gt, Gte)),
        *(st.builds(node, many, numbers) for node in (Eq, Ne)),
        *(st.builds(node, names | many, lists(numbers)) for node in (In, NotIn)),
        *(st.builds(node, many, lists(numbers)) for node in (ContainsAny, ContainsAll)),
        st.builds(Exists, names | many, st.booleans()),
    )


@given(trees(number_leaves()), bodies)
@example(Gte("n", 3.5), {"n": 3})
@example(Gt("n", -3.5), {"n": -4})
@example(Lt("n", 3.5), {"n": 4})
@example(Lte("n", -3.5), {"n": -3})
@example(Lt("n", 2**63), {"n": 2**63 - 1})
@example(Lte("n", float(2**63)), {"n": 2**63 - 1})
@example(Gte("n", -(2.0**63)), {"n": -(2**63)})
@example(Gt("n", 2.0**53), {"n": 2**53 + 1})
@example(Ne("n", 3.5), {})
@example(Not(Lt("n", 3.5)), {"n": 3})
@example(ContainsAll("nums", (1, 1.5)), {"nums": [1]})
@example(Eq("price", 2**53 + 1), {"price": 2**53})
def test_binding_keeps_the_meaning_of_numbers(where: Filter, body: dict[str, Any]) -> None:
    assert matches(bind(where, FIELDS), row_of(body, FIELDS)) == naive(where, body)


def numbers_in(where: Filter) -> list[tuple[str, object]]:
    match where:
        case And(parts) | Or(parts):
            return [found for part in parts for found in numbers_in(part)]
        case Not(part):
            return numbers_in(part)
    values = getattr(where, "values", ()) or ((where.value,) if hasattr(where, "value") else ())
    return [(where.field, value) for value in values]  # type: ignore[attr-defined]


@given(trees(number_leaves()))
def test_bound_numbers_have_the_type_of_their_field(where: Filter) -> None:
    for name, value in numbers_in(bind(where, FIELDS)):
        assert type(value) is (int if FIELDS[name].element is FieldType.INT else float)
        assert not isinstance(value, int) or -(2**63) <= value < 2**63


@given(sensible, sensible, bodies)
def test_the_oracle_is_boolean(a: Filter, b: Filter, body: dict[str, Any]) -> None:
    row, a, b = row_of(body, FIELDS), bind(a, FIELDS), bind(b, FIELDS)
    assert matches(Not(Not(a)), row) == matches(a, row) != matches(Not(a), row)
    assert matches(Not(And((a, b))), row) == matches(Or((Not(a), Not(b))), row)
    assert matches(Not(Or((a, b))), row) == matches(And((Not(a), Not(b))), row)
    assert matches(And((a, Or((a, b)))), row) == matches(a, row)
    assert matches(Or((a, Not(a))), row)


@pytest.mark.parametrize("name", ["name", "brand", "n", "price", "ok", "added", "tags", "nums", "rates"])
@given(st.data(), bodies)
def test_lists_of_values_are_ors_of_equals(name: str, data: st.DataObject, body: dict[str, Any]) -> None:
    kinds = {"n": numbers, "price": numbers, "nums": numbers, "rates": numbers, "ok": st.booleans(), "added": instants}
    values = data.draw(lists(kinds.get(name, strings)))
    row = row_of(body, FIELDS)

    def found(where: Filter) -> bool:
        return matches(bind(where, FIELDS), row)

    assert found(In(name, values)) == found(Or(tuple(Eq(name, value) for value in values)))
    assert found(NotIn(name, values)) == (not found(In(name, values)))
    assert all(found(Ne(name, value)) != found(Eq(name, value)) for value in values)
    if FIELDS[name].is_list:
        assert found(ContainsAny(name, values)) == found(In(name, values))
        each = tuple(ContainsAny(name, (value,)) for value in values)
        assert found(ContainsAll(name, values)) == found(And((Exists(name), *each)))


@given(sensible_leaves())
def test_a_missing_value_matches_only_negations(leaf: Filter) -> None:
    negative = isinstance(leaf, Ne | NotIn) or (isinstance(leaf, Exists) and not leaf.present)
    assert matches(bind(leaf, FIELDS), {}) is negative
    assert matches(bind(Not(leaf), FIELDS), {}) is not negative


@given(st.sampled_from(["n", "price", "brand", "added"]), st.data(), bodies)
def test_ranges_split_the_present_in_two(name: str, data: st.DataObject, body: dict[str, Any]) -> None:
    value = data.draw({"n": numbers, "price": numbers, "brand": strings, "added": instants}[name])
    row = row_of(body, FIELDS)
    below, above = (matches(bind(node(name, value), FIELDS), row) for node in (Lt, Gte))
    assert below + above == (name in row)
    not_above, over = (matches(bind(node(name, value), FIELDS), row) for node in (Lte, Gt))
    assert not_above + over == (name in row)
    assert matches(bind(Eq(name, value), FIELDS), row) == (not_above and above)
