"""Worlds to search in, over both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.unit.search.parts import World, open_world

if TYPE_CHECKING:
    from pathlib import Path

Open = Callable[..., Awaitable[World]]


@pytest_asyncio.fixture
async def open_one(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens worlds, each in a folder of its own, and closes them."""
    opened: list[World] = []

    async def open_it(engine: str, **given: Any) -> World:
        world = await open_world(tmp_path / str(len(opened)), engine, **given)
        opened.append(world)
        return world

    yield open_it
    for world in opened:
        await world.service.close()
        await world.backend.close()


@pytest_asyncio.fixture(params=["exact", "local"])
async def world(request: pytest.FixtureRequest, open_one: Open) -> World:
    """150 products of the catalogue."""
    return await open_one(request.param)
