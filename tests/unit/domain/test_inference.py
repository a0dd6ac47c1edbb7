from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.inference import MAX_ROWS, infer_fields, infer_template
from nearfield.domain.schema import MAX_FIELDS


def kind_of(values: list[Any], *, textual: bool = False) -> str | None:
    found = infer_fields([{"x": value} for value in values], textual).get("x")
    return found and found.value


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, None], "int"),
        ([1, 2.5], "float"),
        ([2**64 - 1], "float"),
        ([True, False], "bool"),
        ([True, 1], None),
        (["a", 1], None),
        (["a", ""], "keyword"),
        ([None], None),
        (["", " "], None),
        (["2024-05-01", "2024-05-01T10:00Z", ""], "datetime"),
        (["2024-05-01", "soon"], "keyword"),
        (["a\nb"], "text"),
        (["x" * 129, "a"], "text"),
        (["x" * 128, "a", "b"], "keyword"),
        (["x" * 61, "x" * 61], "text"),
        ([["a"], [], ["b", "c"]], "keyword[]"),
        ([[1], [2.5]], "float[]"),
        ([[0.1] * 384], None),
        ([["a"] * 384], "keyword[]"),
        ([[]], None),
        ([["a", 1]], None),
        ([[[1]]], None),
        ([["a"], "b"], None),
        ([{"lat": 1, "lon": 2}], "geo"),
        ([{"lat": 1, "lng": 2}, {"lat": 99, "lon": 2}], None),
        ([[{"lat": 1, "lon": 2}]], "geo[]"),
        ([{"w": 1}], None),
        ([date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)], "datetime"),
        ([Decimal("1.50"), np.int64(2)], "float"),
        ([np.array(["a"])], "keyword[]"),
    ],
    ids=repr,
)
def test_json_columns(values: list[Any], kind: str | None) -> None:
    assert kind_of(values) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", "0"], "int"),
        (["0", "1"], "int"),
        (["1", "", "2"], "int"),
        (["1.5", "2", " .5"], "float"),
        (["1e3"], "float"),
        (["1e999"], "keyword"),
        (["00123", "00456"], "keyword"),
        (["00.5"], "keyword"),
        (["0.5", "-0.5"], "float"),
        (["+4930123"], "keyword"),
        (["030 123-456"], "keyword"),
        (["9" * 25], "keyword"),
        (["1,234.50"], "keyword"),
        (["nan"], "keyword"),
        (["true", "False", ""], "bool"),
        (["yes", "no"], "keyword"),
        (["2024-05-01"], "datetime"),
        (["01.05.2024"], "keyword"),
        (['["a", "b"]', "[]"], "keyword[]"),
        (["[1, 2]"], "int[]"),
        (["[draft]", "[final]"], "keyword"),
        (["", " "], None),
        (["words " * 30], "text"),
        ([1, 2], "int"),
    ],
    ids=repr,
)
def test_csv_columns(values: list[Any], kind: str | None) -> None:
    assert kind_of(values, textual=True) == kind


def test_fields_come_in_order_and_never_the_id() -> None:
    bodies = [{"id": "1", "b": 1}, {"sku": "x", "a": 2, "b": 3}]
    assert list(infer_fields(bodies, textual=False)) == ["b", "sku", "a"]
    assert list(infer_fields(bodies, textual=False, id_field="sku")) == ["id", "b", "a"]


def test_names_that_cannot_be_declared_are_left_out() -> None:
    assert list(infer_fields([{"unit price": 1, "1st": 1, "größe": 1, "a" * 64: 1, "_ok": 1}], textual=False)) == [
        "_ok"
    ]


def test_only_the_first_rows_and_so_many_fields_are_looked_at() -> None:
    assert kind_of([1] * MAX_ROWS + ["late"]) == "int"
    assert kind_of([1] * (MAX_ROWS - 1) + ["in time"]) is None
    assert list(infer_fields([{f"f{i}": i for i in range(MAX_FIELDS + 5)}], False))[-1] == f"f{MAX_FIELDS - 1}"


LONG = "a sentence of more than sixty characters, so that it counts as text, not keyword"


@pytest.mark.parametrize(
    ("body", "template"),
    [
        ({"id": "1", "price": "5", "description": "b", "name": "a"}, "{name}: {description}"),
        ({"Title": "a", "Text": "b"}, "{Title}: {Text}"),
        ({"title": "a", "summary": "s", "text": "b"}, "{title}: {summary} {text}"),
        ({"product_name": "a", "item_description": "b", "brand": "c"}, "{product_name}: {item_description}"),
        ({"productName": "a", "longText": "b"}, "{productName}: {longText}"),
        ({"brand_name": "a", "name": "b"}, "{name}"),
        ({"name": "a", "notes": LONG, "color": "c"}, "{name}: {notes}"),
        ({"notes": LONG, "color": "c", "extra": LONG}, "{notes} {extra}"),
        ({"text": "b", "color": "c"}, "{text}"),
        ({"color": "red", "shape": "round", "added": "2024-05-01", "n": "5"}, "{color} {shape}"),
        ({"id": "x", "label": "red", "größe": "XL"}, "{label}"),
        ({"name": "2024-05-01", "color": "red"}, "{color}"),
        ({"tags": ["a"], "size": {"w": 1}, "color": "red", "none": None}, "{color}"),
    ],
)
def test_templates(body: dict[str, Any], template: str) -> None:
    for fields in (infer_fields([body], textual=True), {}):
        assert infer_template(fields, [body]) == template


def test_a_declared_type_decides_what_a_column_is() -> None:
    body = {"name": "12345", "code": "x"}
    assert infer_template({}, [body]) == "{code}"
    fields = infer_fields([{"name": "abc"}], textual=False)
    assert infer_template(fields, [body]) == "{name}"


@pytest.mark.parametrize("bodies", [[], [{"id": "words"}], [{"n": 1, "ok": True, "added": "2024-05-01"}]])
def test_no_words_no_template(bodies: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidSchema, match="--embed") as caught:
        infer_template({}, bodies)
    assert caught.value.field == "embed"
