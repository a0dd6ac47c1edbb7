from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.engines.bm25 import K1, B, Bm25

WORDS = st.sampled_from(["fox", "dog", "cat", "owl"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


def always(_: int) -> bool:
    return True


def test_the_formula_by_hand() -> None:
    index = Bm25()
    for key, text in enumerate(["fox fox dog", "fox", "cat cat cat cat"]):
        index.put(key, text)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {
        key: idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * n / (8 / 3))) for key, tf, n in ((0, 2, 3), (1, 1, 1))
    }
    assert index.scores("fox", always) == pytest.approx(expected)
    assert index.scores("fox fox", always) == pytest.approx({key: 2 * score for key, score in expected.items()})
    assert index.scores("fox", lambda key: key == 1) == pytest.approx({1: expected[1]})
    assert index.scores("the owl", always) == {}


@given(st.lists(st.tuples(st.integers(0, 4), TEXTS)), st.lists(st.integers(0, 4)), TEXTS)
def test_rows_replaced_and_removed_leave_no_trace(puts: list[tuple[int, str]], gone: list[int], query: str) -> None:
    worn, fresh = Bm25(), Bm25()
    for key, text in puts:
        worn.put(key, text)
    for key in gone:
        worn.remove(key)
    for key, text in {key: text for key, text in puts if key not in gone}.items():
        fresh.put(key, text)
    assert worn.scores(query, always) == pytest.approx(fresh.scores(query, always))
