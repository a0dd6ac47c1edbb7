from __future__ import annotations

import pytest

from nearfield.domain.suggestions import Suggestion
from nearfield.search import completions as module
from nearfield.search.completions import PastQueries, Titles, merged

TITLES = Titles.of(
    {
        "Wireless headphones": 5,
        "Wireless mouse": 4,
        "Leather wallet": 3,
        "Café table": 2,
        "wireless Headphones!": 1,
        "Sony WH-1000XM4 wireless headphones": 1,
    }
)


def texts(typed: str, limit: int = 10) -> list[str]:
    return [one.text for one in TITLES.complete(typed, limit)]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("wire", ["Wireless headphones", "Wireless mouse", "Sony WH-1000XM4 wireless headphones"]),
        ("head", ["Wireless headphones", "Sony WH-1000XM4 wireless headphones"]),
        ("headphones wirel", ["Wireless headphones", "Sony WH-1000XM4 wireless headphones"]),
        ("WIRELESS M", ["Wireless mouse"]),
        ("wireles ", ["Wireless headphones", "Wireless mouse", "Sony WH-1000XM4 wireless headphones"]),
        ("hedphon", ["Wireless headphones", "Sony WH-1000XM4 wireless headphones"]),
        ("waller", ["Leather wallet"]),
        ("lether wal", ["Leather wallet"]),
        ("cafe", ["Café table"]),
        ("wh-1000", ["Sony WH-1000XM4 wireless headphones"]),
        ("zzz", []),
        ("  ", []),
        ("", []),
    ],
)
def test_titles_are_completed(typed: str, found: list[str]) -> None:
    assert texts(typed) == found


def test_titles_that_read_alike_are_one() -> None:
    assert TITLES.complete("wireless h", 5)[0] == Suggestion("Wireless headphones", "title", 6)


def test_no_more_than_asked() -> None:
    assert texts("wireless", 2) == ["Wireless headphones", "Wireless mouse"]


def test_no_titles() -> None:
    assert Titles.of({}).complete("a", 3) == []


def test_queries_asked_often_are_suggested_the_frequent_first() -> None:
    past = PastQueries()
    shoes = ["red shoe", "red shoe", "red  Shoe"]
    for query in [*shoes, *["red hat"] * 4, "red twice", "red twice", "blue", "?"]:
        past.note(1, query)
    assert past.complete(1, "RED", 5) == [Suggestion("red hat", "query", 4), Suggestion("red Shoe", "query", 3)]
    assert past.complete(1, "red", 1) == [Suggestion("red hat", "query", 4)]
    assert past.complete(2, "red", 5) == []
    assert past.complete(1, " ", 5) == []


def test_only_so_many_queries_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAST_QUERIES", 2)
    past = PastQueries()
    for query in ["a1", "a2", "a3", "a" * 101]:
        for _ in range(3):
            past.note(1, query)
    assert [one.text for one in past.complete(1, "a", 5)] == ["a3", "a2"]


def test_the_queries_of_so_many_collections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of dropped collections would stay for ever otherwise."""
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    past = PastQueries()
    for collection in (1, 2, 1, 3):
        for _ in range(3):
            past.note(collection, "lamp")
    assert [len(past.complete(collection, "la", 5)) for collection in (1, 2, 3)] == [1, 0, 1]


def test_queries_come_before_titles_and_nothing_twice() -> None:
    queries = [Suggestion("wireless Headphones", "query", 2)]
    assert [one.kind for one in merged(queries, TITLES.complete("wire", 5), 2)] == ["query", "title"]
    assert len(merged(queries, TITLES.complete("wire", 5), 9)) == 3
