from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.protocols.source import SourceRow
from nearfield.search import lexicons as module
from nearfield.search.lexicons import Lexicons

if TYPE_CHECKING:
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

    from nearfield.search.lexicon import Lexicon


async def brought_up(lexicons: Lexicons, world: World, seq: int = 0) -> Lexicon:
    """The lexicon, once it is there and has read a change."""
    live = await world.backend.generations.live(world.collection)
    await live.wait_for(seq, timeout_s=30)
    deadline = time.monotonic() + 30
    while True:
        found = await lexicons.current(world.collection, live)
        if found is not None and found.seq >= seq:
            return found
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def put(world: World, *bodies: dict[str, Any]) -> int:
    rows = [SourceRow(line, body) for line, body in enumerate(bodies, start=1)]
    return (await world.backend.documents.upsert(world.collection.name, rows, id_field="id")).receipt.seq


async def test_it_holds_what_the_documents_say(world: World) -> None:
    lexicons = Lexicons(world.backend.store)
    found = await brought_up(lexicons, world)
    assert found.documents == 150
    assert set(found.values) == {"category", "brand"}
    assert sum(found.values["category"].values()) == 150
    assert found.spans["price"].low < found.spans["price"].high
    await lexicons.close()


async def test_it_follows_changes_without_a_scan(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await open_one("exact")
    lexicons = Lexicons(world.backend.store)
    await brought_up(lexicons, world)
    monkeypatch.setattr(Lexicons, "_scan", None)
    seq = await put(world, {"id": "new", "name": "zyzzyva", "brand": "Zzz"})
    found = await brought_up(lexicons, world, seq)
    assert (found.words["zyzzyva"], found.values["brand"]["Zzz"], found.documents) == (1, 1, 151)
    await lexicons.close()


async def test_it_is_scanned_anew_when_much_has_changed(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRIFT_LEAST", 0)
    world = await open_one("exact")
    lexicons = Lexicons(world.backend.store)
    await brought_up(lexicons, world)
    for price in range(40):
        seq = await put(world, {"id": "same", "name": "zyzzyva", "price": price})
    assert (await brought_up(lexicons, world, seq)).words["zyzzyva"] >= 1
    seq = await put(world, {"id": "last", "name": "quokka"})
    found = await brought_up(lexicons, world, seq)
    assert (found.words["zyzzyva"], found.words["quokka"], found.documents) == (1, 1, 152)
    await lexicons.close()


async def test_only_so_many_are_kept(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 1)
    first, second = await open_one("exact"), await open_one("exact")
    lexicons = Lexicons(first.backend.store)
    await brought_up(lexicons, first)
    other = Lexicons(second.backend.store)
    await brought_up(other, second)
    assert len(lexicons._kept) == 1
    await lexicons.close()
    await other.close()


async def test_closing_abandons_what_is_being_made(open_one: Open) -> None:
    world = await open_one("exact")
    live = await world.backend.generations.live(world.collection)
    lexicons = Lexicons(world.backend.store)
    asking = asyncio.create_task(lexicons.current(world.collection, live))
    await asyncio.sleep(0)
    await asyncio.wait_for(lexicons.close(), timeout=5)
    await asking
