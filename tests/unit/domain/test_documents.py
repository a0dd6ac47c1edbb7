from __future__ import annotations

import numpy as np
import pytest

from nearfield.domain.documents import (
    CHUNK_BITS,
    MAX_CHUNKS,
    Document,
    chunk_key,
    content_hash,
    document_keys,
    text_hash,
    vector_hash,
)
from nearfield.domain.errors import InvalidDocument


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert content_hash({"a": 1, "b": {"c": 2, "d": 3}}) == content_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert len(content_hash({})) == 16


@pytest.mark.parametrize(
    "other", [{"a": 2}, {"a": "1"}, {"a": 1.0}, {"a": True}, {"a": [1]}, {"b": 1}, {"a": 1, "b": None}]
)
def test_other_content_has_another_hash(other: dict[str, object]) -> None:
    assert content_hash({"a": 1}) != content_hash(other)


def test_a_vector_is_part_of_the_content() -> None:
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    hashes = {Document.of("1", {"a": 1}, vector).content_hash for vector in (None, one, other)}
    assert len(hashes) == 3
    assert Document.of("1", {"a": 1}, one.copy()).content_hash in hashes


@pytest.mark.parametrize("value", [{1, 2}, object(), 2**64, "\ud800", b"bytes"])
def test_a_body_that_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidDocument, match="document is not JSON"):
        Document.of("1", {"a": value})


def test_chunk_keys_give_their_documents_back() -> None:
    documents = [1, 2, 2**50]
    keys = [chunk_key(key, ordinal) for key in documents for ordinal in (0, 1, MAX_CHUNKS - 1)]
    assert len(set(keys)) == 9
    assert max(keys) < 2**63
    assert document_keys(keys).tolist() == [key for key in documents for _ in range(3)]
    assert document_keys(np.array(keys)).dtype == np.int64
    assert MAX_CHUNKS == 2**CHUNK_BITS


def test_a_lone_surrogate_has_a_text_hash_of_its_own() -> None:
    assert len({text_hash("a"), text_hash("\ud800"), text_hash("\udfff"), text_hash("�")}) == 4


def test_vectors_are_named_by_their_float32_components() -> None:
    assert vector_hash(np.array([0.1, 0.2])) == vector_hash(np.array([0.1, 0.2], np.float32))
    assert vector_hash(np.array([0.1, 0.2], np.float32)) != vector_hash(np.array([0.2, 0.1], np.float32))
