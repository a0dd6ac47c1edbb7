"""What searches show, written behind their backs: over a real store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from nearfield.domain.errors import StoreUnavailable
from nearfield.domain.events import Event, EventKind, Impression
from nearfield.domain.hits import Answer, Hit
from nearfield.domain.plans import Access, Mode, Plan
from nearfield.domain.queries import Search
from nearfield.domain.schema import CollectionSpec
from nearfield.domain.templates import Template
from nearfield.observe.logging import request_id
from nearfield.quality.impressions import DAY_MS, Impressions, now_ms
from nearfield.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.domain.collections import Collection

PLAN = Plan(Mode.HYBRID, Access.ANN, "local", "hnsw", "model", 1, 1)


def answer(*ids: str) -> Answer:
    return Answer(tuple(Hit(name, 0.5, {}) for name in ids), PLAN, 1.0)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield store
    await store.close()


@pytest_asyncio.fixture
async def books(store: SqliteStore) -> Collection:
    return await store.create_collection(CollectionSpec("books", Template("{title}"), events=True))


async def kept(store: SqliteStore, books: Collection) -> list[Impression]:
    return [one for _, one in await store.impressions(books)]


async def test_what_was_shown_is_written_a_moment_later(store: SqliteStore, books: Collection) -> None:
    impressions = Impressions(store, keep_days=90, flush_s=0.02)
    name = impressions.note(books, Search(query="moon", limit=3, offset=20), answer("a", "b"))
    assert await kept(store, books) == []
    for _ in range(200):
        if found := await kept(store, books):
            break
        await asyncio.sleep(0.01)
    assert [(one.search_id, one.query, one.shown, one.offset, one.complete) for one in found] == [
        (name, "moon", ("a", "b"), 20, True)
    ]
    assert abs(found[0].at - now_ms()) < 60_000
    full = impressions.note(books, Search(query="moon", limit=2), answer("a", "b"))
    await impressions.close()
    assert [(one.search_id, one.complete) for one in await kept(store, books)][1:] == [(full, False)]


async def test_the_search_has_its_requests_id_and_no_two_share_one(store: SqliteStore, books: Collection) -> None:
    impressions = Impressions(store, keep_days=90)
    token = request_id.set("r1")
    names = [impressions.note(books, Search(query="moon"), answer()) for _ in range(3)]
    request_id.reset(token)
    assert names == ["r1", "r1.2", "r1.3"]
    assert impressions.note(books, Search(query="moon"), answer()) != impressions.note(
        books, Search(query="moon"), answer()
    )
    await impressions.close()


async def test_a_store_that_fails_loses_nothing_that_waits(
    store: SqliteStore, books: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    impressions = Impressions(store, keep_days=90, flush_s=60)
    for n in range(3):
        impressions.note(books, Search(query=f"q{n}"), answer())
    put = store.put_impressions

    async def fail(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(store, "put_impressions", fail)
    with pytest.raises(StoreUnavailable):
        await impressions.flush()
    monkeypatch.setattr(store, "put_impressions", put)
    impressions.note(books, Search(query="q3"), answer())
    await impressions.flush()
    assert [one.query for one in await kept(store, books)] == ["q0", "q1", "q2", "q3"]
    await impressions.close()


async def test_so_many_wait_at_most(
    store: SqliteStore, books: Collection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nearfield.quality.impressions.CAPACITY", 5)
    impressions = Impressions(store, keep_days=90, flush_s=60)
    for n in range(8):
        impressions.note(books, Search(query=f"q{n}"), answer())
    await impressions.flush()
    assert [one.query for one in await kept(store, books)] == ["q3", "q4", "q5", "q6", "q7"]
    assert caplog.records[-1].count == 3  # type: ignore[attr-defined]
    await impressions.close()


async def test_what_is_too_old_is_removed_once_a_day(store: SqliteStore, books: Collection) -> None:
    old = Impression("old", "moon", (), 0, True, now_ms() - 10 * DAY_MS)
    await store.put_impressions(books.id, [old])
    await store.put_events(books, [Event("old", "1", EventKind.CLICK, old.at)])
    impressions = Impressions(store, keep_days=9, flush_s=60)
    name = impressions.note(books, Search(query="moon"), answer())
    await impressions.flush()
    assert [one.search_id for one in await kept(store, books)] == [name]
    assert await store.events(books, ["old"]) == []
    await impressions.close()


async def test_a_collection_dropped_meanwhile_harms_no_other(store: SqliteStore, books: Collection) -> None:
    other = await store.create_collection(CollectionSpec("albums", Template("{title}"), events=True))
    impressions = Impressions(store, keep_days=90, flush_s=60)
    impressions.note(books, Search(query="gone"), answer())
    impressions.note(other, Search(query="there"), answer())
    await store.drop_collection(books)
    await impressions.flush()
    assert [one.query for one in await kept(store, other)] == ["there"]
    await impressions.close()
