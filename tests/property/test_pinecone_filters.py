"""What is sent to Pinecone means what the domain means, under each rule for missing fields that Pinecone ever had."""

from __future__ import annotations

import json
from typing import Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vendors.pinecone import Missing, as_doubles, check_filter, check_record, passes

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import ContainsAny, Eq, Exists, Filter, Gt, In, Lte, Not, Row, matches
from nearfield.domain.schema import FieldType
from nearfield.engines.pinecone_filters import compile_filter, metadata_of
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.testing import strategies as ours

NAMES: Final = ("a", "A", "set", "lat", "price", "_", "all", "null", "select", "in", "x" * 63, "rows", "id", "or")
FIELDS: Final = dict(zip(NAMES, FieldType, strict=True))
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


def stored(row: Row) -> dict[str, object]:
    """A row as it is after its way through JSON and into doubles."""
    record = json.loads(orjson.dumps({"values": [1.0], "metadata": metadata_of(row, FIELDS)}))
    check_record(record, 1)
    return as_doubles(record["metadata"])


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("name", [None, *NAMES])
@settings(RELAXED, max_examples=60)
@given(data=st.data())
def test_filters_mean_the_same(name: str | None, data: st.DataObject) -> None:
    fields = FIELDS if name is None else {name: FIELDS[name]}
    table = data.draw(st.lists(ours.rows(fields), min_size=1, max_size=8))
    where: Filter = data.draw(ours.bound_filters(fields, table, EVERY_FILTER))
    try:
        said = compile_filter(where, FIELDS)
    except UnsupportedByEngine as refused:
        assert refused.field == "filter"
        return
    if isinstance(said, dict):
        said = json.loads(orjson.dumps(said))
        check_filter(said)
    for row in table:
        held = stored(row)
        for missing in Missing:
            here = said if isinstance(said, bool) else passes(said, held, missing)
            assert here == matches(where, row), (where, row, missing)


@settings(RELAXED, max_examples=300)
@given(stored_value=ours.scalars(FieldType.INT), asked=ours.scalars(FieldType.INT))
def test_integers_beyond_doubles_are_refused_and_those_below_are_right(stored_value: int, asked: int) -> None:
    field = next(name for name, kind in FIELDS.items() if kind is FieldType.INT)
    row: Row = {field: stored_value}
    for where in (Eq(field, asked), Gt(field, asked), Lte(field, asked), In(field, (asked,)), Not(Gt(field, asked))):
        if abs(asked) >= 2**53:
            with pytest.raises(UnsupportedByEngine, match="doubles"):
                compile_filter(where, FIELDS)
            continue
        said = compile_filter(where, FIELDS)
        assert isinstance(said, dict)
        assert passes(said, stored(row), Missing.PASSES_NEGATIONS) == matches(where, row), where


@given(texts=st.lists(ours.texts(), min_size=2, max_size=2, unique=True))
def test_no_two_texts_are_stored_alike(texts: list[str]) -> None:
    field = next(name for name, kind in FIELDS.items() if kind is FieldType.KEYWORD)
    one, other = (stored({field: text})[field] for text in texts)
    assert one != other


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(UnsupportedByEngine, match="10000 values"):
        compile_filter(ContainsAny("rows", tuple(range(10_001))), {"rows": FieldType.INTS})
    with pytest.raises(UnsupportedByEngine, match="Gt on a keyword"):
        compile_filter(Gt("a", "x"), {"a": FieldType.KEYWORD})
    assert compile_filter(Exists("a"), {"a": FieldType.TEXTS}) == {"a-set": {"$eq": True}}
