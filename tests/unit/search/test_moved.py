"""Searches and their cursors while the generation they were made on gives way to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.errors import CursorExpired
from nearfield.domain.queries import Search
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.wiring import Backend

NAME = "things"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    settings = load_settings(
        data_dir=tmp_path / "data", environment="test", embedder="hashing", engine="exact", search_timeout_s=1
    )
    opened = await open_backend(settings)
    body: dict[str, Any] = {"embed": "{text}", "fields": {"n": "int"}}
    await opened.catalog.create(spec_from_json(NAME, opened.with_defaults(body)))
    rows = [SourceRow(n + 1, {"id": str(n), "text": f"lamp number {n}", "n": n}) for n in range(300)]
    await opened.documents.upsert(NAME, rows)
    await opened.documents.wait(NAME)
    yield opened
    await opened.close()


async def move(backend: Backend, **wish: Any) -> None:
    made = await backend.moves.begin(NAME, wish)
    await backend.moves.caught_up(NAME, made.number)
    await backend.moves.record(NAME, made.number, '{"passed": true}')
    await backend.moves.switch(NAME, made.number)


async def pages_after(backend: Backend, cursor: str | None) -> list[str]:
    ids: list[str] = []
    while cursor is not None:
        answer = await backend.searches.search(NAME, Search(cursor=cursor, limit=40))
        assert answer.plan.generation == 1
        ids += [hit.id for hit in answer]
        cursor = answer.cursor
    return ids


async def test_pages_go_on_through_a_switch_and_end_with_what_they_were_made_on(backend: Backend) -> None:
    ask = Search(query="lamp number", limit=40)
    first = await backend.searches.search(NAME, ask)
    whole = [hit.id for hit in first] + await pages_after(backend, first.cursor)
    assert len(whole) == 300

    first = await backend.searches.search(NAME, ask)
    await move(backend, engine="local")
    assert [hit.id for hit in first] + await pages_after(backend, first.cursor) == whole
    fresh = await backend.searches.search(NAME, ask)
    assert (fresh.plan.generation, fresh.plan.engine) == (2, "local")

    await backend.moves.drop(NAME)
    await backend.moves.removed()
    with pytest.raises(CursorExpired, match="the index this list was made on is gone"):
        await backend.searches.search(NAME, Search(cursor=first.cursor))
