"""What is sent to Vertex means what the domain means, in no more than what the vendor documents of filters."""

from __future__ import annotations

import json
from typing import Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vendors.vertex import as_kept, check_filter, passes

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    Gt,
    In,
    Lte,
    Not,
    NotIn,
    Or,
    Row,
    matches,
)
from nearfield.domain.schema import FieldType
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.engines.vertex_filters import columns, compile_filter, data_of
from nearfield.testing import strategies as ours

NAMES: Final = ("a", "A", "set", "lat", "price", "_", "all", "null", "is", "in", "x" * 63, "row", "id", "or")
FIELDS: Final = dict(zip(NAMES, FieldType, strict=True))
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


def stored(row: Row) -> dict[str, object]:
    """A row as it is after its way through JSON and into doubles; every column is there."""
    data = as_kept(json.loads(orjson.dumps(data_of(row, FIELDS))))
    assert data.keys() == columns(FIELDS).keys()
    return data


def same(where: Filter, table: list[Row], *, lists: bool) -> bool:
    """Whether a filter was said; where it was, that it means the same."""
    try:
        said = compile_filter(where, FIELDS, lists=lists)
    except UnsupportedByEngine as refused:
        assert refused.field == "filter"
        return False
    if isinstance(said, dict):
        said = json.loads(orjson.dumps(said))
        check_filter(said, columns(FIELDS), lists=lists)
    for row in table:
        here = said if isinstance(said, bool) else passes(said, stored(row))
        assert here == matches(where, row), (where, row, said)
    return True


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("name", [None, *NAMES])
@settings(RELAXED, max_examples=60)
@given(data=st.data())
def test_filters_mean_the_same(name: str | None, data: st.DataObject) -> None:
    fields = FIELDS if name is None else {name: FIELDS[name]}
    table = data.draw(st.lists(ours.rows(fields), min_size=1, max_size=8))
    where: Filter = data.draw(ours.bound_filters(fields, table, EVERY_FILTER))
    same(where, table, lists=data.draw(st.booleans()))


@settings(RELAXED, max_examples=100)
@given(data=st.data())
def test_nested_filters_are_multiplied_out(data: st.DataObject) -> None:
    """Three to five levels of comparisons that are said alone."""
    fields = {name: kind for name, kind in FIELDS.items() if kind in (FieldType.KEYWORD, FieldType.FLOAT)}
    table = data.draw(st.lists(ours.rows(fields), min_size=1, max_size=6))
    number, text = (
        next(name for name, kind in fields.items() if kind is one) for one in (FieldType.FLOAT, FieldType.KEYWORD)
    )
    leaves = st.one_of(
        ours.scalars(FieldType.KEYWORD).map(lambda value: Eq(text, value)),
        ours.scalars(FieldType.FLOAT).map(lambda value: Gt(number, value)),
        ours.scalars(FieldType.FLOAT).map(lambda value: Lte(number, value)),
        st.sampled_from([Exists(text), Exists(number, False)]),
    )
    pairs = st.tuples(leaves, leaves)
    inner = st.tuples(pairs.map(Or), leaves).map(And)
    where = Or((data.draw(inner), Not(And((data.draw(inner), data.draw(leaves))))))
    assert same(where, table, lists=False)


@settings(RELAXED, max_examples=300)
@given(stored_value=ours.scalars(FieldType.INT), asked=ours.scalars(FieldType.INT))
def test_integers_are_equal_exactly_and_ranges_beyond_doubles_refused(stored_value: int, asked: int) -> None:
    field = next(name for name, kind in FIELDS.items() if kind is FieldType.INT)
    row: Row = {field: stored_value}
    equal: tuple[Filter, ...] = (Eq(field, asked), In(field, (asked,)), NotIn(field, (asked, 7)), Not(Eq(field, asked)))
    assert all(same(where, [row, {}], lists=False) for where in equal)
    ranges: tuple[Filter, ...] = (Gt(field, asked), Lte(field, asked), Not(Gt(field, asked)))
    for where in ranges:
        assert same(where, [row, {}], lists=False) is (abs(asked) < 2**53)


@given(texts=st.lists(ours.texts(), min_size=2, max_size=2, unique=True))
def test_no_two_texts_are_stored_alike(texts: list[str]) -> None:
    field = next(name for name, kind in FIELDS.items() if kind is FieldType.KEYWORD)
    one, other = (stored({field: text})[field] for text in texts)
    assert one != other
    assert one != stored({})[field] != other


def test_what_cannot_be_said_is_refused() -> None:
    kinds = {"a": FieldType.KEYWORD, "rows": FieldType.INTS}
    with pytest.raises(UnsupportedByEngine, match="at most 1000 values"):
        compile_filter(In("a", tuple(map(str, range(1_001)))), kinds)
    with pytest.raises(UnsupportedByEngine, match="Gt on a keyword"):
        compile_filter(Gt("a", "x"), kinds)
    with pytest.raises(UnsupportedByEngine, match="the opposite of ContainsAll"):
        compile_filter(Not(ContainsAll("rows", (1,))), kinds)
    with pytest.raises(UnsupportedByEngine, match="ContainsAny on a int"):
        compile_filter(ContainsAny("rows", (1,)), kinds, lists=False)
    either = [And((Or((Eq("a", f"{n}"), Eq("a", f"{n}!"))), Exists("rows"))) for n in range(12)]
    with pytest.raises(UnsupportedByEngine, match="2 levels"):
        compile_filter(And((Or(tuple(either[:6])), Or(tuple(either[6:])), Or(tuple(either[3:9])))), kinds)
    assert compile_filter(Exists("a"), kinds) == {"a": {"$ne": ""}}
