"""Laws of rows: what is inferred from bodies holds for them, and CSV text means what the JSON value does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.documents import Document
from nearfield.domain.errors import InvalidDocument, InvalidSchema
from nearfield.domain.inference import infer_fields, infer_template
from nearfield.domain.rows import check_body, json_ready, read_textual, row_of
from nearfield.domain.schema import CollectionSpec, FieldType
from nearfield.domain.templates import Template

if TYPE_CHECKING:
    from collections.abc import Mapping

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | int64 | finite | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
dates = st.datetimes().map(lambda d: d.isoformat())
geo = st.fixed_dictionaries({"lat": st.floats(-90, 90), "lon": st.floats(-180, 180)})
cells: Mapping[FieldType, st.SearchStrategy[Any]] = {
    FieldType.TEXT: text,
    FieldType.KEYWORD: text,
    FieldType.INT: int64,
    FieldType.FLOAT: finite,
    FieldType.BOOL: st.booleans(),
    FieldType.DATETIME: dates,
    FieldType.GEO: geo,
}
names = st.sampled_from(["id", "a", "b", "c", "title", "product_text", "größe", "1st", "with space"])


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Bodies whose columns mostly hold one kind, with holes."""
    columns = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    kinds = {name: draw(st.sampled_from([*cells.values(), json_values])) for name in columns}
    kinds |= {name: st.lists(kind, max_size=3) for name, kind in kinds.items() if draw(st.integers(0, 3)) == 0}
    row = st.fixed_dictionaries({}, optional={name: st.none() | st.just("") | kind for name, kind in kinds.items()})
    return draw(st.lists(row, max_size=6))


@given(tables())
def test_inferred_fields_take_the_rows_they_come_from(table: list[dict[str, Any]]) -> None:
    fields = infer_fields(table, textual=False)
    CollectionSpec("c", Template("{a}"), fields)
    assert "id" not in fields
    for body in table:
        check_body(body)
        row = row_of(body, fields)
        assert {name for name in row if body.get(name) in (None, [])} == set()


def as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
    return orjson.dumps(value).decode()


@given(tables())
def test_inferred_fields_take_the_csv_they_come_from(table: list[dict[str, Any]]) -> None:
    strings = [{name: as_text(value) for name, value in body.items()} for body in table]
    fields = infer_fields(strings, textual=True)
    for body in strings:
        read = read_textual(body, fields)
        check_body(read)
        row_of(read, fields)


@given(tables(), st.booleans())
def test_an_inferred_template_is_one(table: list[dict[str, Any]], textual: bool) -> None:
    if textual:
        table = [{name: as_text(value) for name, value in body.items()} for body in table]
    fields = infer_fields(table, textual)
    try:
        template = Template(infer_template(fields, table))
    except InvalidSchema as refused:
        assert "--embed" in str(refused)
    else:
        assert set(template.fields) <= {name for body in table for name in body} - {"id"}


@pytest.mark.parametrize("kind", list(cells))
@given(st.data())
def test_csv_text_means_what_the_json_value_means(kind: FieldType, data: st.DataObject) -> None:
    value = data.draw(cells[kind])
    fields = {"f": kind}
    written = f"{value['lat']!r}, {value['lon']!r}" if kind is FieldType.GEO else as_text(value)
    expected = row_of({"f": value}, fields) if written.strip() else {}
    assert row_of(read_textual({"f": written}, fields), fields) == expected


@pytest.mark.parametrize("kind", list(cells))
@given(st.data())
def test_csv_lists_mean_what_the_json_list_means(kind: FieldType, data: st.DataObject) -> None:
    values = data.draw(st.lists(cells[kind], max_size=4))
    fields = {"f": FieldType(f"{kind}[]")}
    read = read_textual({"f": as_text(values)}, fields)
    assert row_of(read, fields) == row_of({"f": values}, fields)


@given(st.dictionaries(text, json_values, max_size=4))
def test_json_is_taken_as_it_is(body: dict[str, Any]) -> None:
    check_body(body)
    assert json_ready(body) == body
    assert Document.of("1", body).content_hash == Document.of("1", orjson.loads(orjson.dumps(body))).content_hash


@given(
    st.dictionaries(text, json_values | st.sampled_from([float("nan"), float("-inf"), 2**64, -(2**63) - 1, "\ud800"]))
)
def test_what_is_checked_can_be_stored(body: dict[str, Any]) -> None:
    try:
        check_body(body)
    except InvalidDocument:
        return
    assert orjson.loads(orjson.dumps(body)) == body


@given(st.datetimes(), st.none() | st.integers(-14 * 60, 14 * 60))
def test_instants_count_microseconds(naive: datetime, offset: int | None) -> None:
    moment = naive.replace(tzinfo=UTC if offset is None else timezone(timedelta(minutes=offset)))
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    fields = {"f": FieldType.DATETIME}
    spellings = [moment.isoformat(), moment.isoformat(" "), moment]
    if offset is None:
        spellings += [naive.isoformat(), naive, naive.isoformat() + "Z"]
    assert {row_of({"f": spelt}, fields)["f"] for spelt in spellings} == {micros}


@given(
    st.dictionaries(st.sampled_from("abc"), json_values),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(list(FieldType))),
)
def test_any_body_is_read_or_refused_by_field(body: dict[str, Any], fields: dict[str, FieldType]) -> None:
    try:
        row = row_of(body, fields)
    except InvalidDocument as refused:
        assert refused.field in fields
    else:
        assert list(row) == [name for name in fields if name in row]
        assert all(isinstance(value, tuple) and value for name, value in row.items() if fields[name].is_list)
