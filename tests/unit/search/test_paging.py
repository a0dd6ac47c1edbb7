"""Pages by cursor: no id twice, none lost, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import InvalidCursor, InvalidRequest
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search, Similar
from nearfield.search import paging

if TYPE_CHECKING:
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

TEXT = "a warm lamp for late work"
WORDS = ("lamp", "warm", "garden", "chair", "steel", "audio", "light", "desk", "quiet", "red", "cotton", "battery")


async def all_pages(world: World, ask: Search, *, limit: int = 0) -> list[str]:
    """The ids of every page, in order; each page but the last is full."""
    answer = await world.search(ask)
    ids = [hit.id for hit in answer]
    size = ask.limit
    while answer.cursor is not None:
        assert len(answer) == size
        size = limit or ask.limit
        answer = await world.search(Search(cursor=answer.cursor, limit=size))
        assert len(answer)
        ids += [hit.id for hit in answer]
    return ids


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("where", [None, "price <= 60 AND in_stock = true"])
async def test_the_pages_of_a_cursor_are_the_whole_answer(world: World, mode: Mode, where: str | None) -> None:
    filtered = None if where is None else parse_text(where)
    expected = await world.expected(mode, text=TEXT, where=filtered)
    ids = await all_pages(world, Search(query=TEXT, mode=mode, where=filtered, limit=7), limit=9)
    assert len(ids) == len(set(ids))
    assert set(ids) == {name for name, _ in expected}
    assert ids[:7] == [hit.id for hit in await world.search(Search(query=TEXT, mode=mode, where=filtered, limit=7))]


async def test_a_cursor_may_be_used_again(world: World) -> None:
    first = await world.search(Search(query=TEXT, limit=5))
    pages = [await world.search(Search(cursor=first.cursor, limit=40)) for _ in range(2)]
    assert [hit.id for hit in pages[0]] == [hit.id for hit in pages[1]]
    assert len(pages[0]) == 40


async def test_deleted_and_changed_documents_vanish_from_later_pages(world: World) -> None:
    where = parse_text("price <= 120")
    expected = [name for name, _ in await world.expected("hybrid", text=TEXT, where=where)]
    first = await world.search(Search(query=TEXT, where=where, limit=5))
    gone, dearer = expected[5], expected[7]
    await world.backend.documents.delete(world.name, [gone])
    await world.backend.documents.patch(world.name, dearer, {"price": 500.0})
    second = await world.search(Search(cursor=first.cursor, limit=5))
    assert [hit.id for hit in second] == [expected[6], *expected[8:12]]


async def test_an_id_stored_anew_does_not_come_twice(world: World) -> None:
    first = await world.search(Search(query=TEXT, limit=100))
    again = [dict(hit.document) for hit in first.hits[:20]]
    await world.backend.documents.delete(world.name, [body["id"] for body in again])
    await world.write(again)
    seen = [hit.id for hit in first]
    answer = first
    while answer.cursor is not None:
        answer = await world.search(Search(cursor=answer.cursor, limit=100))
        seen += [hit.id for hit in answer]
    assert len(seen) == len(set(seen)) == 150


async def test_an_offset_before_a_cursor(world: World) -> None:
    whole = [hit.id for hit in await world.search(Search(query=TEXT, limit=40))]
    first = await world.search(Search(query=TEXT, limit=10, offset=10))
    second = await world.search(Search(cursor=first.cursor, limit=10))
    assert [hit.id for hit in (*first, *second)] == whole[10:30]


async def test_the_last_page_has_no_cursor(world: World) -> None:
    assert (await world.search(Search(query=TEXT, limit=150))).cursor is None
    first = await world.search(Search(query=TEXT, limit=149))
    last = await world.search(Search(cursor=first.cursor))
    assert (len(last), last.cursor) == (1, None)
    nothing = await world.search(Search(query=TEXT, where=parse_text("price < 0")))
    assert (len(nothing), nothing.cursor) == (0, None)


async def test_the_pages_of_one_search_end_somewhere_and_say_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MAX_LISTED", 120)
    first = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=10))
    second = await world.search(Search(cursor=first.cursor, limit=1000))
    assert (len(second), second.cursor) == (110, None)
    assert any("th document" in note for note in second.plan.notes)


async def test_what_is_sent_beside_a_cursor_must_be_as_it_was(world: World) -> None:
    where = parse_text("price <= 120")
    cursor = (await world.search(Search(query=TEXT, where=where))).cursor
    assert cursor is not None
    await world.search(Search(query=TEXT, where=where, cursor=cursor, limit=3))
    with pytest.raises(InvalidCursor, match="query"):
        await world.search(Search(query="other", cursor=cursor))
    with pytest.raises(InvalidCursor, match="filter"):
        await world.search(Search(query=TEXT, where=parse_text("price <= 5"), cursor=cursor))
    with pytest.raises(InvalidCursor, match="another kind"):
        await world.similar(Similar(cursor=cursor))
    with pytest.raises(InvalidRequest, match="either cursor or offset"):
        Search(cursor=cursor, offset=5)


async def test_pages_of_similar_documents_by_cursor(world: World) -> None:
    whole = [hit.id for hit in await world.similar(Similar(ids=("p0001",), limit=1000))]
    answer = await world.similar(Similar(ids=("p0001",), limit=20))
    ids = [hit.id for hit in answer]
    while answer.cursor is not None:
        answer = await world.similar(Similar(cursor=answer.cursor, limit=20))
        ids += [hit.id for hit in answer]
    assert ids == whole
    assert len(ids) == 149


@pytest.mark.parametrize("engine", ["exact", "local"])
async def test_two_hundred_searches_paged_to_the_end_while_others_write(open_one: Open, engine: str) -> None:
    """Documents that are there and match all the time come exactly once; the others at most once."""
    world = await open_one(engine, count=150)
    stable = {one.id for one in await world.documents() if int(one.id[1:]) % 3}
    bodies = {one.id: dict(one.body) for one in await world.documents()}
    writing = asyncio.create_task(_write(world, bodies, stable))
    draw = random.Random(7)
    try:
        for _ in range(200):
            query = " ".join(draw.choices(WORDS, k=draw.randint(1, 4)))
            ids = await all_pages(world, Search(query=query, mode=Mode.HYBRID, limit=draw.randint(8, 70)))
            assert len(ids) == len(set(ids))
            assert stable <= set(ids)
            assert not writing.done()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write(world: World, bodies: dict[str, dict[str, object]], stable: set[str]) -> None:
    """Upserts, patches and deletes without end; those called stable change their text and stay."""
    documents, draw = world.backend.documents, random.Random(3)
    while True:
        name = draw.choice(sorted(bodies))
        text = " ".join(draw.choices(WORDS, k=5))
        match draw.randrange(3):
            case 0:
                await world.write([{**bodies[name], "description": text}])
            case 1 if name in stable:
                await documents.patch(world.name, name, {"name": text})
            case _ if name not in stable:
                await documents.delete(world.name, [name])
            case _:
                await world.write([{**bodies[name], "id": f"n{draw.randrange(50)}", "name": text}])
