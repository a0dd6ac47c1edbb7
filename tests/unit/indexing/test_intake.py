from __future__ import annotations

import warnings
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest
from tests.unit.indexing.rig import spec

from nearfield.domain.collections import Collection
from nearfield.domain.documents import MAX_ID_LENGTH, Document, Rejection
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings, Metric
from nearfield.indexing.intake import Intake
from nearfield.protocols.source import SourceRow

FIELDS = {"price": FieldType.FLOAT, "stock": FieldType.INT, "tags": FieldType.KEYWORDS, "added": FieldType.DATETIME}
TEXTS = Intake(Collection(1, spec(fields=FIELDS)), dimension=0, max_text_length=50)


def vectors(metric: Metric = Metric.COSINE, dimension: int = 3) -> Intake:
    settings = IndexSettings(kind=IndexKind.FLAT, metric=metric)
    return Intake(
        Collection(1, spec(embedder=f"vectors:{dimension}", index=settings)), dimension=dimension, max_text_length=50
    )


def taken(intake: Intake, body: Any, *, id_field: str | None = "id", textual: bool = False) -> Document:
    documents, rejected = intake.take([SourceRow(7, body, textual)], id_field=id_field)
    assert rejected == []
    return documents[0]


def refused(intake: Intake, body: Any, *, id_field: str | None = "id", textual: bool = False) -> Rejection:
    documents, rejected = intake.take([SourceRow(7, body, textual)], id_field=id_field)
    assert documents == []
    assert rejected[0].line == 7
    orjson.dumps(rejected)  # every answer and every file can hold it
    return rejected[0]


# -- bodies ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "code", "detail", "id"),
    [
        ({"text": "t"}, "invalid_document", "no id in field 'id'; expected a text or an integer", None),
        ({"id": None, "text": "t"}, "invalid_document", "no id in field 'id'", None),
        ({"id": True, "text": "t"}, "invalid_document", "id of type bool in field 'id'", "True"),
        ({"id": 1.5, "text": "t"}, "invalid_document", "id of type float in field 'id'", "1.5"),
        ({"id": ["a"], "text": "t"}, "invalid_document", "id of type list in field 'id'", "['a']"),
        ({"id": "", "text": "t"}, "invalid_document", "id has 0 characters; expected 1 to 512", ""),
        ({"id": "x" * 513, "text": "t"}, "invalid_document", "id has 513 characters; expected 1 to 512", "x" * 100),
        ({"id": "a"}, "invalid_document", "nothing to embed: text missing or blank", "a"),
        ({"id": "a", "text": " \n "}, "invalid_document", "nothing to embed", "a"),
        ({"id": "a", "text": "x" * 51}, "invalid_document", "has 51 characters; at most 50 are taken", "a"),
        ({"id": "a", "text": "t", "price": "cheap"}, "invalid_document", "field 'price': ", "a"),
        ({"id": "a", "text": "t", "stock": 1.5}, "invalid_document", "field 'stock': ", "a"),
        ({"id": "a", "text": "t", "stock": 2**63}, "invalid_document", "field 'stock': ", "a"),
        ({"id": "a", "text": "t", "tags": "one"}, "invalid_document", "field 'tags': expected a list", "a"),
        ({"id": "a", "text": "t", "added": "yesterday"}, "invalid_document", "field 'added': ", "a"),
        ({"id": "a", "text": "t", "price": float("nan")}, "invalid_document", "finite", "a"),
        ({"id": "a", "text": "t", "more": {"x": float("inf")}}, "invalid_document", "field 'more.x': ", "a"),
        ({"id": "a", "text": "t", "more": {1: 2}}, "invalid_document", "expected strings as keys", "a"),
        ({"id": "a", "text": "t", "more": object()}, "invalid_document", "expected a JSON value", "a"),
        ({"id": "\ud800", "text": "t"}, "invalid_document", "lone surrogate", "?"),
        ({"id": "a", "text": "t", "\udfff": 1}, "invalid_document", "lone surrogate", "a"),
        (["a", "t"], "invalid_document", "expected a JSON object", None),
        ("text", "invalid_document", "expected a JSON object", None),
        (None, "invalid_document", "expected a JSON object", None),
    ],
)
def test_a_row_that_cannot_be_taken_is_told(body: object, code: str, detail: str, id: str | None) -> None:
    rejection = refused(TEXTS, body)
    assert (rejection.code, rejection.id) == (code, id)
    assert detail in rejection.detail


def test_rows_are_sorted_into_documents_and_rejections_in_order() -> None:
    unread = Rejection(2, "invalid_document", "line 2 is not JSON")
    rows: list[SourceRow | Rejection] = [
        SourceRow(1, {"id": "a", "text": "t"}),
        unread,
        SourceRow(3, {"id": "b"}),
        SourceRow(9, {"id": 5, "text": "t"}),
    ]
    documents, rejected = TEXTS.take(rows, id_field="id")
    assert [document.id for document in documents] == ["a", "5"]
    assert rejected[0] is unread
    assert [refusal.line for refusal in rejected] == [2, 3]


def test_a_body_is_kept_as_sent_in_json_values() -> None:
    sent = {"id": 5, "text": "t", "price": Decimal("2.50"), "day": date(2024, 5, 1), "more": {"a": (1, np.int64(2))}}
    document = taken(TEXTS, sent)
    assert document.id == "5"
    assert document.body == {"id": 5, "text": "t", "price": 2.5, "day": "2024-05-01", "more": {"a": [1, 2]}}
    assert sent["price"] == Decimal("2.50")
    assert document.vector is None


def test_the_longest_id_and_text_are_taken() -> None:
    assert taken(TEXTS, {"id": "x" * MAX_ID_LENGTH, "text": "y" * 50}).id == "x" * MAX_ID_LENGTH


def test_rows_of_texts_are_read_by_the_schema() -> None:
    row = {"id": "007", "text": "12", "price": "9.90", "stock": "3", "tags": "a|b", "added": "", "other": "5"}
    document = taken(TEXTS, row, textual=True)
    assert document.id == "007"
    assert document.body == {"id": "007", "text": "12", "price": 9.9, "stock": 3, "tags": ["a", "b"], "other": "5"}
    assert "field 'price'" in refused(TEXTS, row | {"price": "$5"}, textual=True).detail


# -- ids ---------------------------------------------------------------------------------------------------------------
def test_the_id_may_be_in_another_field() -> None:
    assert taken(TEXTS, {"id": "no", "sku": "yes", "text": "t"}, id_field="sku").id == "yes"
    rejection = refused(TEXTS, {"id": "no", "text": "t"}, id_field="sku")
    assert "no id in field 'sku'" in rejection.detail
    assert rejection.id is None


def test_without_an_id_field_equal_rows_are_one_document() -> None:
    first = taken(TEXTS, {"text": "t", "price": 1}, id_field=None)
    assert first.id == f"row-{first.content_hash.hex()}"
    assert taken(TEXTS, {"price": 1, "text": "t"}, id_field=None).id == first.id
    assert taken(TEXTS, {"price": 2, "text": "t"}, id_field=None).id != first.id


# -- vectors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "code", "detail"),
    [
        (None, "invalid_vector", "document brings no vector; expected a field 'vector' of 3 numbers"),
        ([1, 2], "dimension_mismatch", "expected 3 components"),
        ([], "dimension_mismatch", "expected 3 components"),
        ([1, 2, 3, 4], "dimension_mismatch", "expected 3 components"),
        ([0, 0, 0], "invalid_vector", "length zero"),
        ([1, float("nan"), 3], "invalid_vector", "NaN or an infinity"),
        ([1, float("-inf"), 3], "invalid_vector", "NaN or an infinity"),
        ([1, 1e39, 3], "invalid_vector", "NaN or an infinity"),
        ([1, None, 3], "invalid_vector", "something other than numbers"),
        (["1", "2", "3"], "invalid_vector", "something other than numbers"),
        ([True, False, True], "invalid_vector", "something other than numbers"),
        ([1, 10**400, 3], "invalid_vector", "something other than numbers"),
        ("1,2,3", "invalid_vector", "something other than numbers"),
        ({"0": 1}, "invalid_vector", "something other than numbers"),
        (5, "invalid_vector", "0 axes; expected a flat list"),
        ([[1, 2, 3]], "invalid_vector", "2 axes; expected a flat list"),
        ([[1], [2, 3]], "invalid_vector", "not a list of numbers"),
    ],
)
def test_a_vector_that_cannot_be_taken_is_told(given: object, code: str, detail: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rejection = refused(vectors(), {"id": "a", "vector": given})
    assert rejection.code == code
    assert detail in rejection.detail


def test_a_vector_is_kept_as_given_and_out_of_the_body() -> None:
    document = taken(vectors(), {"id": "a", "vector": [3, 4.5, 1e-3]})
    assert document.body == {"id": "a"}
    assert document.vector is not None
    assert document.vector.dtype == np.float32
    assert document.vector.tolist() == np.array([3, 4.5, 1e-3], np.float32).tolist()  # not made to have unit length


def test_numpy_vectors_are_taken() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.int32):
        document = taken(vectors(), {"id": "a", "vector": np.array([1, 2, 3], dtype)})
        assert document.vector is not None
        assert document.vector.tolist() == [1, 2, 3]


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
def test_a_vector_without_length_is_one_where_angles_do_not_count(metric: Metric) -> None:
    assert taken(vectors(metric), {"id": "a", "vector": [0, 0, 0]}).vector is not None


def test_another_vector_is_another_content() -> None:
    intake = vectors()
    first = taken(intake, {"id": "a", "vector": [1, 2, 3]})
    assert taken(intake, {"id": "a", "vector": [1, 2, 3.0]}).content_hash == first.content_hash
    assert taken(intake, {"id": "a", "vector": [1, 2, 3.5]}).content_hash != first.content_hash


def test_where_texts_are_embedded_a_field_called_vector_is_a_field() -> None:
    document = taken(TEXTS, {"id": "a", "text": "t", "vector": [1, 2]})
    assert document.vector is None
    assert document.body["vector"] == [1, 2]
