"""An engine on a server that does not answer: what is handed out, and what is known of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.unit.engines.doors import DoorEngine

from nearfield.domain.errors import EngineUnavailable, IndexMissing
from nearfield.domain.filters import Eq
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines.reached import Reached
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.engines.doors import Door

    from nearfield.protocols.engine import EngineCapabilities

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))


class Watched(Reached):
    """A wordless engine behind the wrapper, as an entry point would name it."""

    name = DoorEngine.name
    capabilities: EngineCapabilities = DoorEngine.capabilities

    @classmethod
    def at(cls, folder: Path) -> Watched:
        return cls(DoorEngine.at(folder))


@pytest.mark.heavy
@pytest.mark.servers
class TestReached(EngineSuite):
    engine_type = Watched  # type: ignore[assignment]


async def opened(folder: Path) -> tuple[Reached, Door]:
    """The bookshop on a server, and the door to it."""
    engine = Reached(DoorEngine.at(folder), open_s=0.2)
    index = await engine.create(FLAT)
    await bookshop.stock(index)
    await index.flush()
    return engine, DoorEngine.doors[str(folder)]


@pytest.mark.parametrize("state", ["shut", "hangs", "garbage"])
async def test_an_index_is_handed_out_unopened_and_opened_when_it_can_be(tmp_path: Path, state: str) -> None:
    first, door = await opened(tmp_path)
    await first.close()
    door.state = state  # type: ignore[assignment]
    engine = Reached(DoorEngine.at(tmp_path), open_s=0.2)
    index = await engine.open(FLAT)
    assert index.unsupported(Eq("brand", "Acme"))  # nothing is known of it yet
    if state != "hangs":
        with pytest.raises(EngineUnavailable):
            await index.count()
        assert engine.error is not None
        assert "door" in engine.error
    door.state = "open"
    if state == "hangs":
        await index.close()
        index = await engine.open(FLAT)
    assert await index.count() == bookshop.ROWS
    assert not index.unsupported(Eq("brand", "Acme"))
    assert len(await listed_keys(index)) == bookshop.ROWS
    assert engine.error is None
    await engine.close()


async def test_who_gives_up_waiting_leaves_the_opening_to_others(tmp_path: Path) -> None:
    first, door = await opened(tmp_path)
    await first.close()
    door.state = "hangs"
    engine = Reached(DoorEngine.at(tmp_path), open_s=0.05)
    index = await engine.open(FLAT)
    asked = door.calls["open"]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(index.count(), 0.05)
    assert door.calls["open"] == asked
    await engine.close()


async def test_who_waits_for_an_index_that_is_closed_is_told_and_not_cancelled(tmp_path: Path) -> None:
    first, door = await opened(tmp_path)
    await first.close()
    door.state = "hangs"
    engine = Reached(DoorEngine.at(tmp_path), open_s=0.05)
    index = await engine.open(FLAT)
    waiting = asyncio.create_task(index.count())
    await asyncio.sleep(0.05)
    await engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await waiting


async def test_an_index_that_is_gone_when_its_server_is_back_is_told(tmp_path: Path) -> None:
    first, door = await opened(tmp_path)
    await first.drop(FLAT.name)
    door.state = "shut"
    index = await first.open(FLAT)
    door.state = "open"
    with pytest.raises(IndexMissing):
        await index.count()
    await first.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await index.count()


async def test_an_index_cannot_be_made_on_a_server_that_is_down(tmp_path: Path) -> None:
    engine, door = await opened(tmp_path)
    door.state = "shut"
    with pytest.raises(EngineUnavailable):
        await engine.create(FLAT)
    await engine.close()
