"""The lists kept for later pages: what is let go, and when."""

from __future__ import annotations

import numpy as np
import pytest

from nearfield.domain.errors import CursorExpired, InvalidCursor
from nearfield.domain.filters import In
from nearfield.domain.queries import Search
from nearfield.search.cursors import Cursors, Frozen
from nearfield.search.ranked import Ranked
from nearfield.search.trace import Trace
from nearfield.search.work import Work


def ranked(*keys: int) -> Ranked:
    documents = np.array(keys, dtype=np.int64)
    return Ranked(documents, documents << 12, np.ones(len(keys), dtype=np.float32))


def frozen(*keys: int) -> Frozen:
    work = Work(Search(query="lamp"), None, None, None, None)  # type: ignore[arg-type]
    return Frozen(work, ranked(*keys), as_of=1, complete=False)


def test_a_list_is_found_by_its_cursor_and_its_place() -> None:
    cursors, first = Cursors(budget_bytes=10**6, idle_s=10), frozen(1, 2, 3)
    cursor = cursors.keep(first, 2)
    assert cursors.find(cursor) == (first, 2)
    assert cursors.find(cursors.move(cursor, 3)) == (first, 3)


def test_a_list_unused_for_too_long_is_let_go() -> None:
    now = [0.0]
    cursors = Cursors(budget_bytes=10**6, idle_s=10, clock=lambda: now[0])
    used, unused = cursors.keep(frozen(1), 0), cursors.keep(frozen(2), 0)
    now[0] = 8
    cursors.find(used)
    now[0] = 12
    with pytest.raises(CursorExpired, match="10 s"):
        cursors.find(unused)
    cursors.find(used)
    assert len(cursors) == 1
    now[0] = 100
    with pytest.raises(CursorExpired):
        cursors.find(used)
    assert (len(cursors), cursors.bytes) == (0, 0)


def test_the_budget_is_kept_and_what_was_used_last_stays() -> None:
    cursors = Cursors(budget_bytes=10 * frozen(1).bytes, idle_s=10)
    kept = [cursors.keep(frozen(place), 0) for place in range(10)]
    cursors.find(kept[0])
    cursors.keep(frozen(99), 0)
    assert len(cursors) == 10
    cursors.find(kept[0])
    with pytest.raises(CursorExpired):
        cursors.find(kept[1])
    grown, _ = cursors.find(kept[5])
    grown.append(ranked(*range(1_000, 2_000)))
    cursors.move(kept[5], 1)
    assert cursors.bytes <= 10 * frozen(1).bytes


@pytest.mark.parametrize("cursor", ["", "x", "00.1", "0" * 24, "0" * 24 + ".-1", "0" * 24 + ".zz"])
def test_what_no_answer_gave_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursors(budget_bytes=1, idle_s=1).find(cursor)


def test_a_place_beyond_the_list_is_no_cursor() -> None:
    cursors = Cursors(budget_bytes=10**6, idle_s=10)
    cursor = cursors.keep(frozen(1, 2), 1)
    with pytest.raises(InvalidCursor):
        cursors.find(cursor[:-1] + "9")


def test_what_is_frozen_stays_and_what_is_new_follows() -> None:
    first = frozen(5, 3, 9)
    assert first.append(ranked(9, 8, 5, 7)) == 2
    assert first.ranked.documents.tolist() == [5, 3, 9, 8, 7]
    assert first.append(ranked(8, 3)) == 0


def test_what_stages_and_filters_hold_counts_too() -> None:
    """A list of ten documents may carry a filter of ten thousand values."""
    small, large = frozen(1), frozen(1)
    large.work.where = In("brand", tuple(str(number) for number in range(10_000)))
    large.work.excluded = frozenset(range(1_000))
    large.work.scored.update(dict.fromkeys(range(200), 0.5))
    assert large.bytes - small.bytes > 50 * 11_200


def test_a_page_of_groups_is_explained_by_the_trace_of_its_first_hit() -> None:
    kept, first, later = frozen(1, 2, 3, 4), Trace(), Trace()
    kept.traces = [(0, first), (3, later)]
    kept.join_groups(["a", "a", "a", "b"])
    assert kept.trace_of_page(0) is first
    assert kept.trace_of_page(1) is later, "group 1 begins at the fourth document"
