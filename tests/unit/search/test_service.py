"""One search from question to answer: the work it costs, what it refuses, what its plan says."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.search.parts import Live, assert_same, products, told

from nearfield.domain.errors import (
    CollectionNotFound,
    DimensionMismatch,
    EngineUnavailable,
    IndexLagging,
    InvalidFilter,
    InvalidRequest,
    InvalidVector,
    TimedOut,
    UnsupportedByEngine,
)
from nearfield.domain.filter_text import parse_text
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search, Similar
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

TEXT = "a warm lamp for late work"
CHEAP = "price <= 60"


# -- the usual case ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("where", [None, CHEAP])
async def test_a_search_costs_one_call_of_each_part(world: World, mode: Mode, where: str | None) -> None:
    text = "steel cotton light leather battery hours days"  # words of many
    ask = Search(query=text, mode=mode, where=None if where is None else parse_text(where), limit=10)
    world.forget_size()
    if where:
        await sampled(world, ask)
    for calls in (world.index.calls, world.store.calls):
        calls.clear()
    world.live.embedder.calls = 0
    answer = await world.search(ask)
    assert len(answer) == 10
    assert world.live.embedder.calls == (mode is not Mode.LEXICAL)
    wanted = {"nearest": int(mode is not Mode.LEXICAL), "lexical": int(mode is not Mode.SEMANTIC)}
    assert {name: world.index.calls[name] for name in wanted} == wanted
    assert world.index.calls["vectors"] <= 1  # of those only words found
    assert sum(world.index.calls.values()) <= 3
    assert world.store.calls == {"by_key": 1}


async def sampled(world: World, ask: Search) -> None:
    """Search until the sample, which is drawn in the background, is there."""
    ask = replace(ask, mode=Mode.SEMANTIC)
    async with asyncio.timeout(20):
        while world.index.asked_exact[-1:] != [True]:
            world.index.asked_exact.clear()
            await world.search(replace(ask, where=parse_text('brand = "nobody"')))
            if world.index.asked_exact == [False, True]:  # an empty answer not believed: nothing is known yet
                world.index.asked_exact.clear()
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("limit", [1, 7, 150, 1000])
@pytest.mark.parametrize("mode", list(Mode))
async def test_answers_are_those_of_comparing_everything(world: World, mode: Mode, limit: int) -> None:
    for where in (None, parse_text(CHEAP), parse_text('brand = "nobody"')):
        expected = await world.expected(mode, text=TEXT, where=where)
        assert_same(await world.search(Search(query=TEXT, mode=mode, where=where, limit=limit)), expected, limit)


@pytest.mark.parametrize("mode", list(Mode))
async def test_pages_neither_repeat_nor_drop(world: World, mode: Mode) -> None:
    whole = told(await world.search(Search(query=TEXT, mode=mode, limit=1000)))
    parts = [told(await world.search(Search(query=TEXT, mode=mode, limit=11, offset=at))) for at in range(0, 154, 11)]
    assert [pair for part in parts for pair in part] == whole


@pytest.mark.parametrize("method", list(FusionMethod))
async def test_pages_of_every_fusion_continue_each_other(world: World, method: FusionMethod) -> None:
    how = Fusion(method)
    whole = told(await world.search(Search(query=TEXT, limit=1000, fusion=how)))
    assert len(whole) == len(await world.documents())
    parts = [told(await world.search(Search(query=TEXT, limit=11, offset=at, fusion=how))) for at in range(0, 154, 11)]
    assert [pair for part in parts for pair in part] == whole


async def test_a_fusion_is_the_requests_or_the_collections_and_in_the_plan(world: World) -> None:
    chosen = (await world.search(Search(query=TEXT, fusion=Fusion(FusionMethod.RRF, 0.25)))).plan
    assert (chosen.fusion, chosen.fusion_weight) == (FusionMethod.RRF, 0.25)
    own = (await world.search(Search(query=TEXT))).plan
    assert own.fusion is FusionMethod.AUTO
    assert own.fusion_weight is not None
    assert 0.4 < own.fusion_weight < 1
    await world.backend.catalog.configure(world.name, {"fusion": {"method": "minmax", "weight": 1}})
    by_meaning = await world.search(Search(query=TEXT))
    assert (by_meaning.plan.fusion, by_meaning.plan.fusion_weight) == (FusionMethod.MINMAX, 1.0)
    alone = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC))
    assert [hit.id for hit in by_meaning] == [hit.id for hit in alone]
    assert (alone.plan.fusion, alone.plan.fusion_weight) == (None, None)
    with pytest.raises(InvalidRequest, match="this one is semantic"):
        Search(vector=np.ones(3, np.float32), fusion=Fusion())


async def test_a_hybrid_search_reads_no_vectors(world: World) -> None:
    world.index.calls.clear()
    await world.search(Search(query=TEXT))
    assert world.index.calls["vectors"] == 0
    assert world.index.calls["nearest"] == world.index.calls["lexical"] == 1


async def test_the_plan_tells_what_was_done(open_one: Open) -> None:
    world = await open_one("local", count=250)
    world.forget_size()
    where = parse_text("price <= 200")
    assert len(await world.documents(where)) > 120
    answer = await world.search(Search(query=TEXT, where=where, limit=5))
    plan = answer.plan
    assert (plan.mode, plan.access, plan.engine) == (Mode.HYBRID, Access.ANN, "local")
    assert (plan.index, plan.embedder, plan.generation) == ("hnsw/cosine/float16", "hashing", 1)
    assert (plan.applied_seq, plan.waited_for, plan.effort) == (1_000_000, 0, 200)
    assert (plan.filter_native, plan.filter_residual, plan.notes) == ("price <= 200", None, ())
    assert plan.candidates >= 5
    assert answer.took_ms > 0
    exact = (await world.search(Search(query=TEXT, exact=True))).plan
    assert (exact.access, exact.effort) == (Access.EXACT, None)
    lexical = (await world.search(Search(query=TEXT, mode=Mode.LEXICAL))).plan
    assert (lexical.access, lexical.effort) == (Access.NONE, None)


# -- what an engine does not claim -------------------------------------------------------------------------------------
async def test_words_are_refused_or_left_out_where_the_engine_has_none(world: World) -> None:
    world.claim(lexical=False)
    with pytest.raises(UnsupportedByEngine, match="use mode semantic") as error:
        await world.search(Search(query=TEXT, mode=Mode.LEXICAL))
    assert error.value.field == "mode"
    answer = await world.search(Search(query=TEXT))
    assert answer.plan.mode is Mode.SEMANTIC
    assert answer.plan.notes == ("the engine has no lexical search; meaning alone decided",)
    assert_same(answer, await world.expected("semantic", text=TEXT), 10)
    assert world.index.calls["lexical"] == 0


async def test_exact_is_refused_where_the_engine_has_it_not(world: World) -> None:
    world.claim(exact=False)
    with pytest.raises(UnsupportedByEngine, match="no exact search") as error:
        await world.search(Search(query=TEXT, exact=True))
    assert error.value.field == "exact"
    with pytest.raises(UnsupportedByEngine, match="no exact search"):
        await world.similar(Similar(ids=("p0001",), exact=True))


async def test_effort_is_refused_where_the_engine_takes_none(open_one: Open) -> None:
    world = await open_one("exact", count=5)
    with pytest.raises(UnsupportedByEngine, match="no effort") as error:
        await world.search(Search(query=TEXT, effort=100))
    assert error.value.field == "ef"


@pytest.mark.parametrize("effort", [0, -5])
async def test_an_impossible_effort_is_refused_however_small_the_index(open_one: Open, effort: int) -> None:
    world = await open_one("local", count=5)
    with pytest.raises(InvalidRequest, match="at least 1") as error:
        await world.search(Search(query=TEXT, effort=effort))
    assert error.value.field == "ef"


# -- what a caller may get wrong ---------------------------------------------------------------------------------------
async def test_refusals(world: World) -> None:
    with pytest.raises(InvalidFilter, match="colour"):
        await world.search(Search(query=TEXT, where=parse_text('colour = "red"')))
    with pytest.raises(DimensionMismatch):
        await world.search(Search(vector=np.ones(3, dtype=np.float32)))
    with pytest.raises(InvalidVector):
        await world.search(Search(vector=np.full(256, np.nan, dtype=np.float32)))
    with pytest.raises(InvalidVector, match="length zero"):
        await world.search(Search(vector=np.zeros(256, dtype=np.float32)))
    with pytest.raises(CollectionNotFound):
        await world.service.search("nobody", Search(query=TEXT))


async def test_a_failure_of_both_sides_is_told_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told_to_loop: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told_to_loop.append(context))

    async def away(*_: Any, **__: Any) -> None:
        raise EngineUnavailable("the engine is away")

    monkeypatch.setattr(type(world.index), "lexical", away)
    monkeypatch.setattr(type(world.index), "nearest", away)
    with pytest.raises(EngineUnavailable):
        await world.search(Search(query=TEXT))
    await asyncio.sleep(0)
    gc.collect()
    assert told_to_loop == []


async def test_a_search_that_takes_too_long_is_abandoned(open_one: Open) -> None:
    world = await open_one("exact", count=5, search_timeout_s=0.1)
    world.index.delay_s = 30
    with pytest.raises(TimedOut, match="search_timeout_s"):
        await world.search(Search(query=TEXT))
    with pytest.raises(TimedOut):
        await world.similar(Similar(ids=("p0001",)))


# -- reading one's own writes ------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Late(Live):
    """Behind by some changes until it is waited for."""

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        await self.real.wait_for(seq, timeout_s=timeout_s)
        self.seen = None


async def test_the_plan_says_how_many_changes_were_waited_for(open_one: Open) -> None:
    world = await open_one("exact", count=20)
    result = await world.backend.documents.upsert(
        world.name, [SourceRow(i, body) for i, body in enumerate(products(30)[20:], 1)]
    )
    await world.backend.documents.wait(world.name, result.receipt.seq)
    late = Late(world.live.real, world.index, world.live.capabilities, world.live.embedder)

    class Indexes:
        async def live(self, _: object) -> Live:
            return late

    world.service._indexes = Indexes()
    late.seen = result.receipt.seq - 10
    answer = await world.search(Search(query=TEXT, min_seq=late.seen))
    assert answer.plan.waited_for == 0
    answer = await world.search(Search(query=TEXT, limit=100, min_seq=result.receipt.seq))
    assert answer.plan.waited_for == 10
    assert answer.plan.applied_seq == result.receipt.seq
    assert len(answer) == 30


async def test_a_write_is_seen_by_a_search_that_asks_for_it(world: World) -> None:
    body = {"id": "new", "name": "Quokka", "description": "a small marsupial", "price": 5.0}
    result = await world.backend.documents.upsert(world.name, [SourceRow(1, body)])
    answer = await world.search(Search(query="quokka", limit=1, min_seq=result.receipt.seq))
    assert [hit.id for hit in answer] == ["new"]


async def test_a_change_that_does_not_come_is_lag(open_one: Open) -> None:
    world = await open_one("exact", count=5, wait_timeout_s=0.05)
    with pytest.raises(IndexLagging):
        await world.search(Search(query=TEXT, min_seq=10**9))


async def test_an_index_that_is_being_filled_says_so(open_one: Open) -> None:
    world = await open_one("exact", count=5)
    assert not (await world.search(Search(query=TEXT))).plan.notes
    world.live.heard = 10_000 + world.live.applied_seq
    [note] = (await world.search(Search(query=TEXT))).plan.notes
    assert f"of {world.live.heard} changes" in note


# -- vectors and metrics -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["exact", "local"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
async def test_brought_vectors_under_every_metric(open_one: Open, engine: str, metric: str) -> None:
    random = np.random.default_rng(7)
    vectors = random.normal(size=(60, 5)) * random.uniform(0.2, 3, size=(60, 1))
    bodies = [
        {"id": str(i), "name": f"word{i % 3}", "description": "", "price": float(i), "vector": vector.tolist()}
        for i, vector in enumerate(vectors)
    ]
    world = await open_one(engine, embedder="vectors:5", index={"metric": metric}, bodies=bodies)
    query = random.normal(size=5).astype(np.float32)
    unit = query / np.linalg.norm(query) if metric == "cosine" else query
    expected = await world.expected("semantic", vector=unit)
    answer = await world.search(Search(vector=query, limit=60))
    assert_same(answer, expected, 60)
    assert answer.plan.mode is Mode.SEMANTIC

    stored = vectors.astype(np.float32).astype(np.float64)
    match metric:
        case "cosine":
            raw = stored @ unit / np.linalg.norm(stored, axis=1)
        case "dot":
            raw = stored @ query
        case _:
            raw = -np.linalg.norm(stored - query, axis=1)
    assert [hit.id for hit in answer] == [str(i) for i in np.argsort(-raw, kind="stable")]

    where = parse_text("price < 20")
    some = await world.search(Search(vector=query, where=where, limit=60))
    assert_same(some, await world.expected("semantic", vector=unit, where=where), 60)
    assert len(some) == 20
    words = await world.search(Search(query="word1", mode=Mode.LEXICAL, limit=60))
    assert len(words) == 20
    with pytest.raises(InvalidRequest, match="give `vector`"):
        await world.search(Search(query="word1"))
    assert "vector" not in answer[0].document
