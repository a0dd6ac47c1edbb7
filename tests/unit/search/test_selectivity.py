"""How many passages pass a filter, as estimated, and what a plan makes of it."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.search.parts import products

from nearfield.domain.binding import bind
from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search
from nearfield.search import retrieve, selectivity
from nearfield.search.selectivity import Selectivity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.filters import Filter

CHEAP = "price <= 60"


def bound(world: World, text: str) -> Filter:
    return bind(parse_text(text), world.collection.spec.fields)


async def estimate(world: World, chosen: Selectivity, text: str) -> float:
    """The estimate, once a sample is there."""
    async with asyncio.timeout(20):
        while (found := await chosen.expected(world.collection, world.live, bound(world, text))) is None:
            await asyncio.sleep(0.01)
    return found


async def test_a_search_never_waits_for_a_sample(world: World) -> None:
    chosen = Selectivity(world.backend.store)
    assert await chosen.expected(world.collection, world.live, bound(world, CHEAP)) is None
    await chosen.close()
    assert world.index.calls["keys"] <= 1


async def test_a_warm_service_has_its_sample(world: World) -> None:
    await world.service.warm(world.collection.name)
    chosen = world.service._selectivity
    async with asyncio.timeout(20):
        while not chosen._samples:
            await asyncio.sleep(0.01)
    estimate = await chosen.expected(world.collection, world.live, bound(world, CHEAP))
    assert estimate == pytest.approx(len(await world.documents(parse_text(CHEAP))))


async def test_a_sample_of_all_is_exact(world: World) -> None:
    chosen = Selectivity(world.backend.store)
    for text in (CHEAP, 'category = "Garden"', 'brand = "nobody"', "in_stock = true OR price > 100"):
        assert await estimate(world, chosen, text) == pytest.approx(len(await world.documents(parse_text(text))))
    assert world.index.calls["keys"] == 1


async def test_a_sample_of_some_is_right_within_its_error(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await open_one("exact", count=400)
    monkeypatch.setattr(selectivity, "SAMPLE", 100)
    chosen = Selectivity(world.backend.store)
    for text in (CHEAP, "in_stock = true"):
        truth = len(await world.documents(parse_text(text)))
        share = truth / 400
        error = 400 * math.sqrt(share * (1 - share) / 100)  # one standard deviation
        assert abs(await estimate(world, chosen, text) - truth) <= 4 * error


async def test_a_sample_is_drawn_anew_once_the_log_has_grown(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await open_one("exact", count=40)
    monkeypatch.setattr(selectivity, "SAMPLE", 50)
    chosen = Selectivity(world.backend.store)
    assert await estimate(world, chosen, "in_stock EXISTS") == 40
    await world.write(products(90)[40:60])
    assert await estimate(world, chosen, "in_stock EXISTS") == 40  # 20 more changes are no growth worth a sample
    await world.write(products(200)[60:])
    assert await estimate(world, chosen, "in_stock EXISTS") == 40  # the one that starts the drawing
    async with asyncio.timeout(20):
        while await estimate(world, chosen, "in_stock EXISTS") == 40:
            await asyncio.sleep(0.01)
    assert await estimate(world, chosen, "in_stock EXISTS") == 200
    assert world.index.calls["keys"] == 2


async def test_an_engine_that_cannot_list_its_keys_is_no_failure(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Mute:
        def __getattr__(self, name: str) -> object:
            return getattr(world.index.inner, name)

        async def keys(self) -> AsyncIterator[Int64Array]:
            raise EngineUnavailable("the engine is away")
            yield

    world.live.index = Mute()  # type: ignore[assignment]
    chosen = Selectivity(world.backend.store)
    with caplog.at_level(logging.ERROR, logger="nearfield.search"):
        assert await chosen.expected(world.collection, world.live, bound(world, CHEAP)) is None
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.01)
    assert "no sample of products" in caplog.text


async def test_few_are_compared_one_by_one_and_many_through_the_graph(
    open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_one("local")
    world.forget_size()
    monkeypatch.setattr(retrieve, "EXACT_ROWS", 20)

    async def ask(text: str) -> tuple[Access, list[bool]]:
        world.index.asked_exact.clear()
        search = Search(query="a lamp", where=parse_text(text), mode=Mode.SEMANTIC, limit=3)
        return (await world.search(search)).plan.access, list(world.index.asked_exact)

    few = 'category = "Garden"'
    assert len(await world.documents(parse_text(few))) <= 20 < len(await world.documents(parse_text(CHEAP)))
    assert await ask('brand = "nobody"') == (Access.EXACT, [False, True])  # nothing is known yet
    async with asyncio.timeout(20):
        while await ask('brand = "nobody"') != (Access.EXACT, [True]):
            await asyncio.sleep(0.01)
    assert await ask(few) == (Access.EXACT, [True])
    assert await ask(CHEAP) == (Access.ANN, [False])


async def test_estimates_of_long_filters_are_not_kept(world: World) -> None:
    """A thousand filters of ten thousand values each would be gigabytes."""
    chosen = Selectivity(world.backend.store)
    await estimate(world, chosen, CHEAP)
    values = ", ".join(f'"b{number}"' for number in range(5_000))
    await estimate(world, chosen, f"brand IN [{values}]")
    (sample,) = chosen._samples.values()
    assert len(sample.estimates) == 1
    await chosen.close()


async def test_so_many_samples_are_kept_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectivity, "MAX_SAMPLES", 2)
    chosen = Selectivity(world.backend.store)
    for number in range(4):
        real: Any = SimpleNamespace(generation=SimpleNamespace(id=number), applied_seq=1)
        other = replace(world.live, real=real)
        await chosen._draw_now(world.collection, other)
    assert sorted(chosen._samples) == [2, 3]
    await chosen.close()
