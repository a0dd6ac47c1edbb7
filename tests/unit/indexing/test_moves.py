from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.indexing.rig import Rig, numbered, spec, until, words

from nearfield.domain.collections import GenerationState
from nearfield.domain.errors import (
    EngineUnavailable,
    GenerationNotFound,
    GenerationNotReady,
    IndexLagging,
    InvalidRequest,
    InvalidSchema,
    MoveUnderWay,
    UnsupportedByEngine,
)
from nearfield.domain.schema import IndexKind
from nearfield.indexing import moves as module

if TYPE_CHECKING:
    from pathlib import Path

LOCAL: dict[str, Any] = {"engine": "local", "index": {"kind": "hnsw", "m": 8}}
HELD = '{"passed": true}'


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)


async def states(rig: Rig) -> dict[int, str]:
    return {one.generation.number: str(one.generation.state) for one in await rig.moves.generations("books")}


async def moved(rig: Rig, wish: dict[str, Any]) -> int:
    """Move all the way, taking the verification for granted."""
    made = await rig.moves.begin("books", wish)
    await rig.moves.caught_up("books", made.number)
    assert await rig.moves.record("books", made.number, HELD) is GenerationState.READY
    await rig.moves.switch("books", made.number)
    return made.number


async def fill(rig: Rig) -> None:
    await rig.put(*numbered(40), {"id": "long", "text": words(45)})
    await rig.text("0", "changed")
    await rig.documents.delete("books", ["1"])
    await rig.documents.wait("books")


async def test_a_move_to_another_engine_and_back(rig: Rig) -> None:
    await fill(rig)
    before = (await rig.catalog.get("books")).spec
    embedded = len(rig.embedder.embedded)
    made = await rig.moves.begin("books", LOCAL)
    assert (made.number, made.state, made.engine, made.index.m) == (2, GenerationState.BUILDING, "local", 8)
    assert (await rig.catalog.get("books")).spec == before  # what answers is as it was
    status = await rig.moves.caught_up("books", 2)
    assert (status.pending, status.unindexed, status.share) == (0, 0, 1.0)
    with pytest.raises(GenerationNotReady, match="generation 2 of books is not verified"):
        await rig.moves.switch("books", 2)
    await rig.moves.record("books", 2, HELD)
    collection = await rig.moves.switch("books", 2)
    assert collection == await rig.catalog.get("books") == await rig.store.collection("books")
    assert (collection.spec.engine, collection.spec.index.m, collection.spec.embedder) == ("local", 8, "hashing")
    assert (await rig.live()).generation.number == 2
    await rig.assert_true()
    assert await states(rig) == {1: "retired", 2: "live"}

    # what is kept goes on following the log, so that the way back is instant and loses nothing
    await rig.text("new", "written to the second generation")
    await rig.documents.delete("books", ["2"])
    await rig.documents.wait("books")
    assert await rig.moves.rollback("books") == 1
    assert (await rig.catalog.get("books")).spec == before
    await rig.assert_true()
    assert await states(rig) == {1: "live", 2: "retired"}
    assert await rig.moves.rollback("books") == 2
    await rig.assert_true()
    assert len(rig.embedder.embedded) == embedded + 1  # the one new text, once for both


async def test_another_model_embeds_everything_once_and_splits_as_it_reads(rig: Rig) -> None:
    await fill(rig)
    before = len(await rig.held())
    embedded = len(rig.embedder.embedded)
    await moved(rig, {"embedder": "other"})
    await rig.assert_true()
    assert len(await rig.held()) < before  # longer passages, and so fewer
    assert len(rig.other.embedded) == len(set(rig.other.embedded)) == len(await rig.held())
    assert len(rig.embedder.embedded) == embedded
    await rig.moves.rollback("books")
    await rig.assert_true()
    assert len(await rig.held()) == before


async def test_writes_during_a_move_reach_both(rig: Rig) -> None:
    await fill(rig)
    rig.engines["local"].write_s = 0.01
    written = 0
    ended = False

    async def write() -> None:
        nonlocal written
        while not ended:
            await rig.text(f"w{written % 20}", f"write {written}")
            if written % 7 == 3:
                await rig.documents.delete("books", [f"w{(written - 2) % 20}"])
            written += 1
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    await moved(rig, LOCAL)
    await rig.text("after", "the switch")
    ended = True
    await writing
    assert written > 10
    await rig.assert_true()
    await rig.moves.rollback("books")
    await rig.assert_true()


async def test_searches_go_on_through_every_switch_and_never_go_back_in_time(rig: Rig) -> None:
    await fill(rig)
    vector = (await rig.embedder.embed(["changed"], role="query"))[0]
    answered, seen, ended = 0, 0, False

    async def search() -> None:
        nonlocal answered, seen
        while not ended:
            live = await rig.generations.live(await rig.catalog.get("books"))
            applied = live.applied_seq
            assert applied >= seen
            seen = applied
            await asyncio.sleep(0)  # a switch may come here: the search finishes on what it began with
            assert len(await live.index.nearest(vector, limit=5)) == 5
            answered += 1

    async def write() -> None:
        number = 0
        while not ended:
            await rig.text(f"w{number}", f"write {number}")
            number += 1
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(work()) for work in (search, search, write)]
    await moved(rig, LOCAL)
    for _ in range(10):
        await rig.moves.rollback("books")
    before = answered
    await until(lambda: answered > before + 5)
    ended = True
    await asyncio.gather(*tasks)
    await rig.assert_true()


async def test_a_move_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, index_batch=10)
    await rig.catalog.create(spec())
    await fill(rig)
    rig.other.gate = asyncio.Semaphore(2)
    made = await rig.moves.begin("books", {"embedder": "other"})
    await until(lambda: rig.other.waiting)
    done = list(rig.other.embedded)
    await rig.abandon()
    assert done

    rig = await Rig.open(tmp_path, index_batch=10)
    await rig.assert_true()  # what was live is as it was
    assert await states(rig) == {1: "live", 2: "building"}
    assert (await rig.moves.begin("books", {"embedder": "other"})).number == made.number
    assert (await rig.moves.begin("books", {})).number == made.number
    await rig.moves.caught_up("books", 2)
    assert not set(done) & set(rig.other.embedded)
    await rig.moves.record("books", 2, HELD)
    await rig.close()

    rig = await Rig.open(tmp_path)
    assert await states(rig) == {1: "live", 2: "ready"}
    assert (await rig.moves.status("books", 2)).verified
    await rig.moves.switch("books", 2)
    await rig.assert_true()
    assert (await rig.moves.begin("books", {"embedder": "other"})).state is GenerationState.LIVE
    await rig.close()


async def test_generations_beside_follow_the_log_after_a_restart(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await fill(rig)
    await moved(rig, LOCAL)
    await rig.close()
    rig = await Rig.open(tmp_path)
    await rig.text("new", "after the restart")
    await rig.documents.wait("books")
    collection = await rig.catalog.get("books")
    await until(lambda: (kept := rig.generations.beside(collection, 1)) is not None and kept.applied_seq >= 44)
    await rig.moves.rollback("books")
    await rig.assert_true()
    await rig.close()


async def test_one_move_at_a_time(rig: Rig) -> None:
    await fill(rig)
    await rig.moves.begin("books", LOCAL)
    with pytest.raises(MoveUnderWay, match="generation 2 of books is under way to other settings"):
        await rig.moves.begin("books", {"embedder": "other"})
    assert await rig.moves.drop("books", 2) == [2]
    await rig.moves.removed()
    assert await states(rig) == {1: "live"}
    assert (await rig.moves.begin("books", {"embedder": "other"})).number == 3
    with pytest.raises(GenerationNotFound):
        await rig.moves.switch("books", 2)


async def test_what_is_kept_goes_with_the_next_move(rig: Rig, tmp_path: Path) -> None:
    rig.generations._linger_s = 0
    await fill(rig)
    await moved(rig, LOCAL)
    assert (await rig.moves.begin("books", {"engine": "exact", "index": {"kind": "flat"}})).number == 3
    await rig.moves.removed()
    assert await states(rig) == {2: "live", 3: "building"}
    assert [path.name for path in (tmp_path / "engines" / "exact").iterdir()] == ["c1_g3"]
    with pytest.raises(GenerationNotFound, match="no earlier generation of books is kept"):
        await rig.moves.rollback("books")


async def test_what_is_kept_serves_again_for_a_move_to_the_same(rig: Rig) -> None:
    await fill(rig)
    await moved(rig, LOCAL)
    back = await rig.moves.begin("books", {"engine": "exact", "index": {"kind": "flat", "m": 16}})
    assert (back.number, back.state) == (1, GenerationState.RETIRED)
    await rig.moves.switch("books", 1)
    await rig.assert_true()


async def test_a_removal_cut_short_is_finished_by_the_next_start(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await fill(rig)
    await moved(rig, LOCAL)
    await rig.moves.drop("books")  # waits for searches that may still be using it
    assert await states(rig) == {1: "dropping", 2: "live"}
    with pytest.raises(GenerationNotFound):
        await rig.moves.rollback("books")
    await rig.close()
    assert [path.name for path in (tmp_path / "engines" / "exact").iterdir()] == ["c1_g1"]
    rig = await Rig.open(tmp_path)
    await rig.live()
    async with asyncio.timeout(10):
        while await states(rig) != {2: "live"}:
            await asyncio.sleep(0.01)
    assert list((tmp_path / "engines" / "exact").iterdir()) == []
    await rig.close()


async def test_a_collection_whose_engine_is_gone_can_be_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await fill(rig)
    await rig.close()
    rig = await Rig.open(tmp_path)

    async def gone(_: object) -> None:
        raise EngineUnavailable("no route to host")

    monkeypatch.setattr(rig.exact, "open", gone)
    with pytest.raises(EngineUnavailable):
        await rig.live()
    await moved(rig, LOCAL)
    await rig.assert_true()
    with pytest.raises(EngineUnavailable):
        await rig.moves.rollback("books")
    assert (await rig.live()).generation.number == 2
    monkeypatch.undo()
    await rig.moves.rollback("books")
    await rig.assert_true()
    await rig.close()


async def test_where_no_engine_can_hold_it_there_is_no_move(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(_: object) -> None:
        raise EngineUnavailable("connection refused")

    monkeypatch.setattr(rig.engines["local"], "create", down)
    with pytest.raises(EngineUnavailable):
        await rig.moves.begin("books", LOCAL)
    assert await states(rig) == {1: "live"}
    for wish, error, field in (
        ({"engine": "local", "index": {"quantization": "product"}}, UnsupportedByEngine, "index.quantization"),
        ({"embedder": "vectors:8"}, InvalidRequest, "embedder"),
        ({"fields": {}}, InvalidSchema, "fields"),
        ({"index": {"links": 3}}, InvalidSchema, "index.links"),
    ):
        with pytest.raises(error) as told:
            await rig.moves.begin("books", wish)
        assert told.value.field == field
    with pytest.raises(GenerationNotFound, match="no move of books is under way"):
        await rig.moves.begin("books", {})


async def test_a_verification_that_does_not_hold_keeps_a_generation_from_going_live(rig: Rig) -> None:
    await moved(rig, LOCAL)
    made = await rig.moves.begin("books", {"embedder": "other"})
    assert await rig.moves.report("books", made.number) is None
    await rig.moves.record("books", made.number, HELD)
    assert await rig.moves.record("books", made.number, '{"passed": false}') is GenerationState.BUILDING
    assert await rig.moves.report("books", made.number) == {"passed": False}
    with pytest.raises(GenerationNotReady):
        await rig.moves.switch("books", made.number)


async def test_a_generation_that_stands_still_says_why(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(rig)
    monkeypatch.setattr(module, "STANDSTILL_S", 0.05)
    rig.engines["local"].failing["upsert"] = EngineUnavailable("the disk of the server is full")
    await rig.moves.begin("books", LOCAL)
    with pytest.raises(IndexLagging, match="generation 2 of books does not get on: the disk of the server is full"):
        await rig.moves.caught_up("books", 2)
    assert (await rig.moves.status("books", 2)).trouble == "the disk of the server is full"
    assert (await rig.live()).generation.number == 1
    await rig.assert_true()


async def test_settings_an_engine_does_not_know_are_suited_to_it_and_told(rig: Rig) -> None:
    await moved(rig, {"engine": "local", "index": {"kind": "hnsw", "quantization": "int8"}})
    shape, adapted = await rig.moves.shape("books", {"engine": "exact"})
    assert shape.index.kind is IndexKind.FLAT
    assert adapted == ("index kind flat instead of hnsw", "quantization none instead of int8")
    shape, adapted = await rig.moves.shape("books", {"engine": "exact", "index": {"kind": "hnsw"}})
    assert (shape.index.kind, adapted) == (IndexKind.HNSW, ("quantization none instead of int8",))


async def test_an_estimate_is_measured_and_leaves_nothing_behind(rig: Rig, tmp_path: Path) -> None:
    await fill(rig)
    found = await rig.moves.estimate("books", LOCAL)
    assert (found.documents, found.passages, found.sampled) == (40, 44, 44)
    assert (found.to_embed, found.tokens, found.embed_s, found.cost) == (0, 0, 0, None)
    assert found.index_s > 0
    assert found.disk_bytes > 44 * 32 * 4
    assert found.memory_bytes == 44 * (32 * 4 + 8 * 8)
    assert found.shape.engine == "local"
    other = await rig.moves.estimate("books", {"embedder": "other"}, price=1_000_000)
    assert other.to_embed == other.passages == 42
    assert other.embed_s > 0
    assert other.cost == pytest.approx(other.tokens, rel=0.01)
    assert await states(rig) == {1: "live"}
    assert list((tmp_path / "engines" / "local").iterdir()) == []


async def test_new_search_settings_are_filled_beside_what_answers(rig: Rig) -> None:
    await fill(rig)
    rig.exact.gate = asyncio.Event()
    configuring = asyncio.create_task(rig.catalog.configure("books", {"search": {"weights": {"text": 2}}}))
    await until(lambda: rig.exact.created == 2)
    live = await rig.live()
    assert (live.generation.number, (await live.index.stats()).rows) == (1, 44)
    rig.exact.gate.set()
    changed = await configuring
    assert changed.spec.search.weights == {"text": 2}
    assert (await rig.live()).generation.number == 2
    await rig.assert_true()


async def test_new_search_settings_go_live_after_a_restart_too(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, wait_timeout_s=0.05)
    await rig.catalog.create(spec())
    await rig.put(*numbered(20))
    await rig.documents.wait("books")
    rig.exact.gate = asyncio.Event()
    changed = await rig.catalog.configure("books", {"search": {"weights": {"text": 2}}, "events": True})
    assert (changed.spec.search.weights, changed.spec.events) == ({}, True)  # not in time: what answers is the old one
    rig.exact.gate.set()
    await rig.abandon()
    rig = await Rig.open(tmp_path)
    await rig.live()
    await rig.documents.wait("books")
    async with asyncio.timeout(10):
        while (await rig.catalog.get("books")).spec.search.weights != {"text": 2}:
            await asyncio.sleep(0.01)
    await rig.assert_true()
    await rig.close()


async def test_a_move_that_gets_no_nearer_goes_on_to_its_verification(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(rig)
    made = await rig.moves.begin("books", LOCAL)
    monkeypatch.setattr(module, "NEAR_S", 0.0)
    status, waits = await rig.moves.status("books", made.number), 0

    async def waited(*_: object) -> Any:
        nonlocal waits
        waits += 1
        await asyncio.sleep(0.01)
        return replace(status, pending=3, unindexed=0)  # whenever one looks, something was written just now

    monkeypatch.setattr(rig.moves, "_waited", waited)
    async with asyncio.timeout(60):
        assert (await rig.moves.caught_up("books", made.number)).pending == 3
    assert waits >= 2
