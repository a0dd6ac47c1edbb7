from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.plans import Mode
from nearfield.domain.queries import MAX_LIMIT, MAX_OFFSET, MAX_QUERY_LENGTH, Search, Similar

VECTOR = np.ones(3, np.float32)


def test_words_are_searched_by_both_ways_and_vectors_by_meaning() -> None:
    assert Search("moon").resolved_mode is Mode.HYBRID
    assert Search(vector=VECTOR).resolved_mode is Mode.SEMANTIC
    assert Search("moon", mode=Mode.LEXICAL).resolved_mode is Mode.LEXICAL
    assert Search("x" * MAX_QUERY_LENGTH, limit=MAX_LIMIT, offset=MAX_OFFSET).limit == MAX_LIMIT


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({}, "query"),
        ({"query": "moon", "vector": VECTOR}, "query"),
        ({"query": " \t\n"}, "query"),
        ({"query": "x" * (MAX_QUERY_LENGTH + 1)}, "query"),
        ({"vector": VECTOR, "mode": Mode.HYBRID}, "mode"),
        ({"vector": VECTOR, "mode": Mode.LEXICAL}, "mode"),
        ({"query": "moon", "limit": 0}, "limit"),
        ({"query": "moon", "limit": MAX_LIMIT + 1}, "limit"),
        ({"query": "moon", "offset": -1}, "offset"),
        ({"query": "moon", "offset": MAX_OFFSET + 1}, "offset"),
    ],
)
def test_an_impossible_search_is_refused(ask: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Search(**ask)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({}, "ids"),
        ({"unlike_ids": ("1",)}, "ids"),
        ({"texts": ("",)}, "texts"),
        ({"ids": ("1",), "unlike_texts": (" ",)}, "unlike_texts"),
        ({"ids": ("1",), "limit": 0}, "limit"),
    ],
)
def test_an_impossible_likeness_is_refused(ask: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Similar(**ask)
    assert caught.value.field == field


def test_a_likeness_to_texts_alone_is_enough() -> None:
    assert Similar(texts=("moon",), unlike_ids=("2",)).ids == ()
