from __future__ import annotations

import pytest

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_limits import MAX_FILTER_DEPTH, MAX_LIST_VALUES, check_depth, check_size
from nearfield.domain.filters import And, ContainsAll, Eq, Filter, In, Not, Or


def nested(depth: int) -> Filter:
    where: Filter = Eq("a", 1)
    for i in range(depth - 1):
        where = Not(where) if i % 2 else And((where,))
    return where


def test_depth_counts_the_leaf() -> None:
    assert check_depth(nested(MAX_FILTER_DEPTH)) == MAX_FILTER_DEPTH
    for depth in (MAX_FILTER_DEPTH + 1, 100_000):
        with pytest.raises(InvalidFilter, match="nested more than 32 deep"):
            check_depth(nested(depth))


def test_every_node_counts() -> None:
    where = Or((Eq("a", 1), Not(Eq("b", 2)), And(())))
    check_size(where, 5)
    with pytest.raises(InvalidFilter, match="more than 4 conditions"):
        check_size(where, 4)


@pytest.mark.parametrize("node", [In, ContainsAll])
def test_lists_are_bounded_wherever_they_are(node: type[In] | type[ContainsAll]) -> None:
    check_size(node("a", tuple(range(MAX_LIST_VALUES))))
    with pytest.raises(InvalidFilter, match="10001 values; at most 10000") as caught:
        check_size(Or((Not(node("a", tuple(range(MAX_LIST_VALUES + 1)))),)))
    assert caught.value.field == "filter.a"
