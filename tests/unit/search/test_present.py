"""Hits as the store has them now, while the index stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.search.parts import assert_same, told

from nearfield.domain.documents import Document
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search

if TYPE_CHECKING:
    from tests.unit.search.parts import World

TEXT = "a warm lamp for late work"
MODES = [Mode.HYBRID, Mode.SEMANTIC]


async def change(world: World, ids: list[str], **values: object) -> None:
    """Change documents in the store only."""
    stored = await world.backend.store.by_id(world.collection, ids)
    bodies = [{**stored[name].body, **values} for name in ids]
    await world.backend.store.upsert(world.collection, [Document.of(body["id"], body) for body in bodies])


@pytest.mark.parametrize("mode", MODES)
async def test_deleted_documents_are_replaced_by_the_next(world: World, mode: Mode) -> None:
    expected = await world.expected(mode, text=TEXT)
    world.stand_still()
    gone = [name for name, _ in expected[:60] if name != expected[7][0]]
    await world.backend.store.delete(world.collection, gone)
    left = [pair for pair in expected if pair[0] not in gone]
    answer = await world.search(Search(query=TEXT, mode=mode, limit=10, exact=True))
    assert_same(answer, left, 10)
    assert answer[0].id == expected[7][0]
    answer = await world.search(Search(query=TEXT, mode=mode, limit=1000, exact=True))
    assert_same(answer, left, 1000)


@pytest.mark.parametrize("mode", list(Mode))
async def test_changed_documents_must_still_pass(world: World, mode: Mode) -> None:
    where = parse_text("price <= 120 AND in_stock = true")
    expected = await world.expected(mode, text=TEXT, where=where)
    world.stand_still()
    dearer = [name for name, _ in expected[: min(8, len(expected) - 1)]]
    renamed = expected[-1][0]
    await change(world, dearer, price=5_000.0)
    await change(world, [renamed], name="Something else altogether")
    left = [pair for pair in expected if pair[0] not in dearer]
    answer = await world.search(Search(query=TEXT, mode=mode, where=where, limit=100, exact=True))
    assert_same(answer, left, 100)
    assert all(hit.document["price"] <= 120 for hit in answer)
    assert {hit.id: hit.document["name"] for hit in answer}[renamed] == "Something else altogether"


@pytest.mark.parametrize("mode", MODES)
async def test_pages_cut_while_the_index_lags_neither_repeat_nor_drop(world: World, mode: Mode) -> None:
    expected = await world.expected(mode, text=TEXT)
    world.stand_still()
    gone = [name for place, (name, _) in enumerate(expected) if place % 3 == 1]
    await world.backend.store.delete(world.collection, gone)
    left = [name for name, _ in expected if name not in gone]
    seen: list[str] = []
    for offset in range(0, 120, 9):
        answer = await world.search(Search(query=TEXT, mode=mode, limit=9, offset=offset, exact=True))
        seen += [hit.id for hit in answer]
    assert len(seen) == len(set(seen)) == len(left) == 100
    assert set(seen) == set(left)


async def test_a_change_the_index_has_applied_is_not_checked_again(world: World) -> None:
    answer = await world.search(Search(query=TEXT, where=parse_text("price <= 120"), limit=5))
    world.store.calls.clear()
    again = await world.search(Search(query=TEXT, where=parse_text("price <= 120"), limit=5, offset=20))
    assert world.store.calls["by_key"] == 1
    assert not {hit.id for hit in answer} & {hit.id for hit in again}


async def test_a_page_beyond_the_last_hit_is_empty(world: World) -> None:
    answer = await world.search(Search(query=TEXT, limit=5, offset=9_000))
    assert told(answer) == []
    answer = await world.search(Search(query=TEXT, limit=5, offset=148))
    assert len(answer) == 2
