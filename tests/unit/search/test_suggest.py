from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import CollectionNotFound, InvalidRequest
from nearfield.domain.suggestions import Suggestion
from nearfield.library import open as open_database
from nearfield.search import suggest as module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearfield.library import CollectionHandle


@pytest.fixture
def things(tmp_path: Path) -> Iterator[CollectionHandle]:
    with open_database(tmp_path, environment="test", embedder="hashing", engine="exact") as database:
        handle = database.collection("things", embed="{name}")
        handle.upsert([{"id": "1", "name": "Wireless headphones"}, {"id": "2", "name": "Wireless mouse"}])
        yield handle


@pytest.mark.parametrize("many", [0, 2_000])
def test_titles_and_what_was_asked_before(things: CollectionHandle, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_TITLES", many)
    assert [one.text for one in things.suggest("wirel")] == ["Wireless headphones", "Wireless mouse"]
    things.search("wireless mouse for gamers")
    assert things.suggest("wireless mouse for") == []
    things.search("wireless mouse for gamers")
    assert things.suggest("wireless m", limit=1) == [Suggestion("wireless mouse for gamers", "query", 2)]
    for _ in range(2):
        things.search("wiring found nothing", mode="lexical", typos=False)
        things.search("wires by the hundred", limit=100)
    assert things.suggest("wir", limit=1) == [Suggestion("wireless mouse for gamers", "query", 2)]


def test_new_documents_are_suggested(things: CollectionHandle) -> None:
    things.upsert({"id": "3", "name": "Wired keyboard"})
    things.search("anything")  # waits for the write
    assert [one.text for one in things.suggest("wired")] == ["Wired keyboard"]


def test_what_cannot_be_asked_is_told(things: CollectionHandle) -> None:
    with pytest.raises(InvalidRequest, match="1 to 100"):
        things.suggest("a", limit=0)
    with pytest.raises(InvalidRequest, match="200"):
        things.suggest("a" * 201)
    things.name = "missing"
    with pytest.raises(CollectionNotFound):
        things.suggest("a")
