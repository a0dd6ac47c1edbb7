"""What is asked of Weaviate and what is stored there agree with the oracle: without a server, clause by clause."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import ContainsAny, Eq, GeoBox, GeoPoint, GeoRadius, Not, matches
from nearfield.domain.schema import FieldType, IndexSettings
from nearfield.engines.weaviate_filters import Clause, Columns, Op, compile_filter, int_code, short_code, text_code
from nearfield.engines.weaviate_schema import CAPABILITIES, StoredRow, keys_of, slices_of, stored_rows, uuid_of
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import strategies as ours

if TYPE_CHECKING:
    from nearfield.domain.filters import Row

FIELDS = {kind.value.replace("[]", "_list"): kind for kind in FieldType} | {"A": FieldType.INT, "a": FieldType.INT}
COLUMNS = Columns.of(FIELDS)
SPEC = IndexSpec("laboratory", 2, IndexSettings(), FIELDS)
COMPARED = {
    Op.LESS: operator.lt,
    Op.LESS_EQUAL: operator.le,
    Op.GREATER: operator.gt,
    Op.GREATER_EQUAL: operator.ge,
}


def stored(row: Row) -> StoredRow:
    return stored_rows(np.array([4096]), np.ones((1, 2), np.float32), [row], [""], SPEC)[0]


def passes(clause: Clause, row: StoredRow) -> bool:
    """What Weaviate does with a clause: any of a list's values may pass, and a column that is not there never does."""
    match clause.op:
        case Op.AND:
            return all(passes(part, row) for part in clause.parts)
        case Op.OR:
            return any(passes(part, row) for part in clause.parts)
        case Op.NOT:
            return not passes(clause.parts[0], row)
    column = clause.column
    lists: list[dict[str, Any]] = [row.texts, row.numbers, row.booleans]
    held: list[Any] = [row.values[column]] if column in row.values else []
    held += next((each[column] for each in lists if column in each), [])
    asked: Any = clause.value
    if clause.op is Op.EQUAL:
        return asked in held
    if clause.op is Op.ANY:
        return any(value in held for value in asked)
    if clause.op is Op.ALL:
        return all(value in held for value in asked)
    return any(COMPARED[clause.op](value, asked) for value in held)


@given(data=st.data())
def test_a_compiled_filter_means_what_the_filter_means(data: st.DataObject) -> None:
    table = data.draw(st.lists(ours.rows(FIELDS), min_size=1, max_size=5))
    where = data.draw(ours.bound_filters(FIELDS, table, CAPABILITIES.filters))
    try:
        said = compile_filter(where, COLUMNS)
    except UnsupportedByEngine:
        return
    for row in table:
        passing = said if isinstance(said, bool) else passes(said, stored(row))
        assert passing is matches(where, row), (where, row)


@given(st.lists(ours.texts(), min_size=2, max_size=2))
def test_codes_of_texts_compare_as_the_texts(pair: list[str]) -> None:
    a, b = pair
    assert (text_code(a) < text_code(b)) is (a < b)
    assert (short_code(a) == short_code(b)) is (a == b)
    assert text_code(a).isalnum()
    assert text_code(a).islower()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2))
def test_codes_of_numbers_compare_as_the_numbers(pair: list[int]) -> None:
    a, b = pair
    assert (int_code(a) < int_code(b)) is (a < b)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5))
def test_an_id_gives_its_key_back(keys: list[int]) -> None:
    ids = [bytes.fromhex(uuid_of(key).replace("-", "")) for key in keys]
    assert keys_of(ids).tolist() == keys
    assert len({uuid_of(key) for key in keys}) == len(set(keys))


def test_slices_are_even_for_keys_as_the_store_makes_them() -> None:
    slices = np.array(slices_of(np.arange(1, 100_001, dtype=np.int64) << 12))
    counts = np.bincount(slices * 100 // 65_536, minlength=100)
    assert slices.min() >= 0
    assert counts.min() > 900
    assert counts.max() < 1_100


@pytest.mark.parametrize(
    "where",
    [
        GeoRadius("geo", GeoPoint(1.0, 2.0), 3.0),
        Not(GeoBox("geo_list", 0.0, 0.0, 1.0, 1.0)),
    ],
)
def test_what_it_cannot_say_is_refused(where: Any) -> None:
    with pytest.raises(UnsupportedByEngine, match="engine weaviate cannot say") as refused:
        compile_filter(where, COLUMNS)
    assert refused.value.field == "filter"


def test_fields_that_differ_in_case_have_columns_of_their_own() -> None:
    assert compile_filter(Eq("a", 1), COLUMNS) != compile_filter(Eq("A", 1), COLUMNS)
    assert compile_filter(ContainsAny("int_list", ()), COLUMNS) is False
