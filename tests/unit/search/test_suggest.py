from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.errors import CollectionNotFound, InvalidRequest
from nearfield.domain.spec_json import spec_from_json
from nearfield.domain.suggestions import Suggestion
from nearfield.library import open as open_database
from nearfield.protocols.source import SourceRow
from nearfield.search import suggest as module
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

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
    for _ in range(2):
        things.search("wireless mouse for gamers")
        things.search("wireless mouse for gamers", offset=1, limit=1)
    assert things.suggest("wireless mouse for") == [], "further pages are no further requests"
    things.search("wireless mouse for gamers")
    assert things.suggest("wireless m", limit=1) == [Suggestion("wireless mouse for gamers", "query", 3)]
    for _ in range(3):
        things.search("wiring found nothing", mode="lexical", typos=False)
        things.search("wires by the hundred", limit=100)
    assert things.suggest("wir", limit=1) == [Suggestion("wireless mouse for gamers", "query", 3)]


def test_queries_asked_before_are_kept_from_others_where_the_operator_says_so(tmp_path: Path) -> None:
    off = {"environment": "test", "embedder": "hashing", "engine": "exact", "suggest_past_queries": False}
    with open_database(tmp_path, **off) as database:
        handle = database.collection("things", embed="{name}")
        handle.upsert([{"id": "1", "name": "Wireless headphones"}])
        for _ in range(5):
            handle.search("wireless hearing aid for my mother")
        assert [one.text for one in handle.suggest("wireless h")] == ["Wireless headphones"]
        assert not database._backend.searches._past, "nothing is kept in memory either"


async def test_nobody_waits_for_titles_and_a_start_has_read_them(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, environment="test", embedder="hashing", engine="exact")
    backend = await open_backend(settings)
    collection = await backend.catalog.create(spec_from_json("things", backend.with_defaults({"embed": "{name}"})))
    await backend.documents.upsert("things", [SourceRow(1, {"id": "1", "name": "Wireless headphones"})])
    await backend.documents.wait("things")
    reading = asyncio.Event()
    scan = backend.store.scan

    async def slow(*given: Any, **named: Any) -> Any:
        await reading.wait()
        return await scan(*given, **named)

    backend.store.scan = slow  # type: ignore[method-assign]
    asked = asyncio.create_task(backend.suggester.suggest("things", "wirel"))
    await asyncio.wait({asked}, timeout=20)
    assert not reading.is_set() and not (await asked).ready
    reading.set()
    await backend.suggester.warm(collection)
    found = await backend.suggester.suggest("things", "wirelss")
    assert found.ready and [one.text for one in found.suggestions] == ["Wireless headphones"]
    await backend.close()


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
