"""Where pins go, and that conditions are found as each by itself would decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.documents import chunk_key
from nearfield.domain.rules import Condition, Pin, When, words_of
from nearfield.search.ranked import Ranked
from nearfield.search.rulebook import Conditions
from nearfield.search.rules import placed, places_of

WORDS = st.lists(st.sampled_from(["a", "ab", "abc", "b", "ba"]), min_size=1, max_size=4).map(" ".join)
CONDITIONS = st.one_of(
    st.just(Condition()),
    st.builds(Condition, st.sampled_from([When.IS, When.PREFIX, When.CONTAINS]), WORDS),
)


@given(st.lists(CONDITIONS, max_size=20), st.one_of(WORDS, st.just("")))
def test_conditions_are_found_as_each_decides(conditions: list[Condition], query: str) -> None:
    words = words_of(query)
    assert Conditions(conditions).met(words) == [at for at, one in enumerate(conditions) if one.holds(words)]


def test_two_pins_that_want_one_place() -> None:
    pins = (Pin(("b", "c"), at=2), Pin(("x", "c"), at=2), Pin(("a",)))
    assert places_of(pins) == {"a": 0, "b": 1, "c": 2, "x": 3}


@given(st.data())
def test_pins_are_placed_and_nothing_else_moves(data: st.DataObject) -> None:
    scores = sorted(data.draw(st.lists(st.floats(0, 1, width=32), max_size=12)), reverse=True)
    keys = np.arange(1, len(scores) + 1, dtype=np.int64)
    ranked = Ranked(keys, keys << 12, np.array(scores, dtype=np.float32))
    pinned = data.draw(st.lists(st.integers(1, 20), unique=True, max_size=5))
    where = data.draw(st.lists(st.integers(0, 25), unique=True, min_size=len(pinned), max_size=len(pinned)))
    places = dict(zip(pinned, where, strict=True))
    after = placed(ranked, places)
    documents, had = after.documents.tolist(), dict(zip(keys.tolist(), ranked.scores.tolist(), strict=True))
    assert sorted(documents) == sorted({*keys.tolist(), *pinned})
    assert [key for key in documents if key not in places] == [key for key in keys.tolist() if key not in places]
    found = after.scores.tolist()
    assert found == sorted(found, reverse=True)
    for key, chunk, score in zip(documents, after.chunks.tolist(), found, strict=True):
        assert chunk == chunk_key(key, 0)
        if key not in places:
            assert score == had[key]
    for key, place in places.items():
        at = documents.index(key)
        assert at == place or at < place
