from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.unit.indexing.rig import Rig, numbered, spec, until, words

from nearfield.domain.documents import document_keys
from nearfield.domain.errors import EmbedderUnavailable, EngineUnavailable, IndexLagging
from nearfield.domain.schema import IndexSettings
from nearfield.indexing import embedding, flushes
from nearfield.indexing import indexer as module

if TYPE_CHECKING:
    from pathlib import Path


async def reopened(rig: Rig, folder: Path, **settings: int) -> Rig:
    await rig.abandon()
    return await Rig.open(folder, **settings)


# -- true whatever the order -------------------------------------------------------------------------------------------
async def test_documents_are_indexed_passage_by_passage(rig: Rig) -> None:
    await rig.put({"id": "a", "text": words(35)}, {"id": "b", "text": "short"})
    await rig.assert_true()
    assert document_keys(await rig.held()).tolist() == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("sizes", [(45, 5), (5, 45), (45, 25, 35), (25, 0, 15), (0, 35, 0)])
@pytest.mark.parametrize("index_batch", [1, 2048])
async def test_a_document_that_changes_while_it_is_indexed(
    tmp_path: Path, sizes: tuple[int, ...], index_batch: int
) -> None:
    """sizes: words of each version, 0 for a delete."""
    rig = await Rig.open(tmp_path, index_batch=index_batch)
    await rig.catalog.create(spec())
    for version, size in enumerate(sizes):
        await rig.text("other", f"other {version}")
        if size:
            await rig.text("a", words(size, f"v{version}w"))
        else:
            await rig.documents.delete("books", ["a"])
    await rig.assert_true()
    await rig.close()


async def test_two_versions_in_one_batch_are_one(rig: Rig) -> None:
    rig.embedder.gate = asyncio.Semaphore(0)
    await rig.text("first", "holds the indexer up")
    await until(lambda: rig.embedder.waiting)
    for size in (30, 20, 10):
        await rig.text("a", words(size, f"of{size}w"))
    rig.embedder.gate.release()
    rig.embedder.gate.release()
    await rig.documents.wait("books")
    assert rig.embedder.embedded == ["holds the indexer up", words(10, "of10w")]
    rig.embedder.gate = None
    await rig.assert_true()


@pytest.mark.parametrize(("before", "after"), [(40, 10), (10, 40), (40, 0)])
async def test_versions_in_two_batches_under_way_at_once(tmp_path: Path, before: int, after: int) -> None:
    """The second version is read and embedded while the passages of the first are still on their way in."""
    rig = await Rig.open(tmp_path, index_batch=1)
    await rig.catalog.create(spec())
    rig.embedder.gate, rig.exact.gate = asyncio.Semaphore(0), asyncio.Event()
    await rig.put({"id": "a", "text": words(before, "v1w")}, {"id": "filler", "text": "filler"})
    await until(lambda: rig.embedder.waiting)
    if after:
        await rig.text("a", words(after, "v2w"))
    else:
        await rig.documents.delete("books", ["a"])
    for _ in range(3):
        rig.embedder.gate.release()
    await until(lambda: "filler" in rig.embedder.embedded)
    await until(lambda: rig.exact.begun)
    await asyncio.sleep(0.05)
    assert rig.exact.begun == ["upsert"]  # the first version is at the engine's door, and alone there
    assert rig.exact.done == []
    rig.exact.gate.set()
    await rig.assert_true()
    await rig.close()


async def test_a_document_read_in_two_parts_of_a_batch_is_in_it_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_DOCUMENTS", 2)
    rig.embedder.gate = asyncio.Semaphore(0)
    await rig.text("first", "holds the indexer up")
    await until(lambda: rig.embedder.waiting)
    for name, size in (("a", 30), ("b", 10), ("a", 20), ("c", 5), ("b", 40), ("a", 10)):
        await rig.text(name, words(size, f"{name}{size}w"))
    await rig.documents.delete("books", ["c"])
    gate, rig.embedder.gate = rig.embedder.gate, None
    gate.release()
    await rig.assert_true()
    assert rig.exact.done.count("upsert") == 2
    assert (await rig.live()).indexer.progress.error is None


async def test_a_document_that_comes_back_has_other_keys(rig: Rig) -> None:
    await rig.text("a", words(30))
    await rig.documents.wait("books")
    before = await rig.held()
    await rig.documents.delete("books", ["a"])
    await rig.text("a", words(20))
    await rig.assert_true()
    assert not set(before) & set(await rig.held())


async def test_long_texts_make_small_batches(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_DOCUMENTS", 2)
    monkeypatch.setattr(module, "MAX_CHARACTERS", 2_000)
    rig.embedder.gate = asyncio.Semaphore(0)
    await rig.text("first", "holds the indexer up")
    await until(lambda: rig.embedder.waiting)
    gate = rig.embedder.gate
    await rig.put(*({"id": str(n), "text": words(300, f"doc{n}w")} for n in range(9)), {"id": "1", "text": "short now"})
    await rig.documents.delete("books", ["0"])
    rig.embedder.gate = None
    gate.release()
    await rig.assert_true()
    assert rig.exact.done.count("upsert") >= 4


# -- resuming ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["exact", "local"])
async def test_it_goes_on_from_the_watermark(tmp_path: Path, engine: str) -> None:
    rig = await Rig.open(tmp_path, index_batch=4)
    await rig.catalog.create(spec(engine=engine))
    await rig.put(*numbered(20))
    await rig.documents.wait("books")
    await (await rig.live()).indexer.close()  # flushed: the watermark is at 20
    await rig.put(*numbered(30, "changed"))
    rig = await reopened(rig, tmp_path, index_batch=4)
    assert (await rig.live()).generation.applied_seq == 20
    await rig.assert_true()
    assert sorted(rig.embedder.embedded) == sorted(f"changed {n}" for n in range(30))
    assert rig.engines[engine].created == 0
    await rig.close()


@pytest.mark.parametrize("stopped_at", ["upsert", "delete", "flush"])
async def test_it_goes_on_after_a_stop_in_the_middle_of_a_write(tmp_path: Path, stopped_at: str) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await rig.put({"id": "a", "text": words(50)}, {"id": "b", "text": words(20)}, {"id": "c", "text": "c"})
    await rig.assert_true()
    await (await rig.live()).indexer.close()
    await rig.abandon()

    rig = await Rig.open(tmp_path)
    await rig.live()
    rig.exact.failing[stopped_at] = EngineUnavailable("gone in the middle")
    await rig.put({"id": "a", "text": words(20)}, {"id": "b", "text": words(60)})
    await rig.documents.delete("books", ["c"])
    await until(lambda: stopped_at in rig.exact.begun)
    rig = await reopened(rig, tmp_path)
    await rig.assert_true()
    await rig.text("b", "short again")
    await rig.assert_true()
    await rig.close()


async def test_a_watermark_never_stands_above_what_was_flushed(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    rig.exact.failing["flush"] = EngineUnavailable("no flush")
    await rig.put(*numbered(5))
    await until(lambda: "flush" in rig.exact.begun)
    live = await rig.live()
    assert live.applied_seq == 5
    [generation] = await rig.store.generations(live.collection)
    assert generation.applied_seq == 0
    rig = await reopened(rig, tmp_path)
    await rig.assert_true()
    await rig.close()


async def test_closing_makes_all_that_was_applied_durable(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await rig.put(*numbered(5))
    await rig.documents.wait("books")
    await rig.close()
    rig = await Rig.open(tmp_path)
    assert (await rig.live()).generation.applied_seq == 5
    await rig.close()


# -- embedding ---------------------------------------------------------------------------------------------------------
async def test_nothing_is_embedded_twice(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, index_batch=3)
    await rig.catalog.create(spec())
    await rig.put(*({"id": str(n), "text": f"text {n % 4}"} for n in range(12)))
    await rig.documents.wait("books")
    assert sorted(rig.embedder.embedded) == [f"text {n}" for n in range(4)]
    await rig.text("0", "text 3")  # another document's
    await rig.text("1", words(10, "a") + " " + words(10, "b"))
    await rig.text("2", words(10, "a") + " " + words(10, "c"))
    await rig.documents.wait("books")
    assert sorted(rig.embedder.embedded[4:]) == sorted([words(10, "a"), words(10, "b"), words(10, "c")])
    await rig.assert_true()
    await rig.catalog.create(spec("other"))
    await rig.text("x", "text 2", name="other")
    await rig.documents.wait("other")
    assert len(rig.embedder.embedded) == 7
    await rig.close()


async def test_what_was_embedded_before_a_failure_is_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "EMBED_SLICE", 2)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)
    rig.embedder.gate = asyncio.Semaphore(2)
    await rig.put(*numbered(6))
    await until(lambda: len(rig.embedder.embedded) == 4)
    rig.embedder.failing = EmbedderUnavailable("the model is gone")
    rig.embedder.gate.release()
    await until(lambda: rig.embedder.waiting == 0)
    rig.embedder.failing, rig.embedder.gate = None, asyncio.Semaphore(100)
    await rig.assert_true()
    assert len(rig.embedder.embedded) == len(set(rig.embedder.embedded)) == 6


async def test_the_vectors_indexed_are_those_the_cache_gives_back(rig: Rig) -> None:
    await rig.text("a", "some words of a text")
    await rig.documents.wait("books")
    live = await rig.live()
    held = (await live.index.vectors(await anext(aiter(live.index.keys()))))[1]
    rebuilt = await rig.generations.rebuild(live.collection)
    await rig.documents.wait("books")
    again = (await rebuilt.index.vectors(await anext(aiter(rebuilt.index.keys()))))[1]
    assert held.tobytes() == again.tobytes()


# -- failures ----------------------------------------------------------------------------------------------------------
async def test_a_failing_embedder_is_told_and_nothing_is_skipped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.02)
    await rig.text("a", "applied before")
    await rig.documents.wait("books")
    rig.embedder.failing = EmbedderUnavailable("the model is gone")
    seq = (await rig.put(*numbered(10))).receipt.seq
    with pytest.raises(IndexLagging, match="the model is gone"):
        await rig.documents.wait("books", seq, timeout_s=0.3)
    status = await rig.catalog.status("books")
    assert status.indexing_error == "the model is gone"
    assert (status.documents, status.rows, status.pending) == (11, 1, 10)
    rig.embedder.failing = None
    assert await rig.documents.wait("books", seq) == 10
    await rig.assert_true()
    assert (await rig.catalog.status("books")).indexing_error is None


@pytest.mark.parametrize("step", ["upsert", "delete", "flush"])
async def test_a_failing_engine_is_told_and_nothing_is_skipped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.02)
    await rig.put({"id": "a", "text": words(40)}, {"id": "b", "text": "b"})
    await rig.documents.wait("books")
    rig.exact.failing[step] = EngineUnavailable(f"no {step} today")
    await rig.text("a", words(20))
    await rig.documents.delete("books", ["b"])
    live = await rig.live()
    await until(lambda: live.indexer.progress.error == f"no {step} today")
    rig.exact.failing.clear()
    await rig.assert_true()
    await until(lambda: live.indexer.progress.error is None)


async def test_an_internal_error_is_told_without_its_text(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.02)
    rig.embedder.failing = RuntimeError("secret")
    await rig.text("a", "text")
    live = await rig.live()
    await until(lambda: live.indexer.progress.error)
    assert live.indexer.progress.error == "internal error (RuntimeError)"
    rig.embedder.failing = None
    await rig.assert_true()


async def test_what_is_embedded_goes_in_when_the_batch_behind_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.02)
    rig = await Rig.open(tmp_path, index_batch=1)
    await rig.catalog.create(spec())
    rig.exact.write_s = 0.2  # a write takes longer than it takes to fail
    rig.embedder.gate = asyncio.Semaphore(1)
    await rig.put({"id": "a", "text": "good"}, {"id": "b", "text": "bad"})
    await until(lambda: rig.embedder.waiting and rig.embedder.embedded == ["good"])
    rig.embedder.failing = EmbedderUnavailable("the model is gone")
    rig.embedder.gate.release()
    rig.embedder.gate = None
    assert await rig.documents.wait("books", 1, timeout_s=5)
    await rig.close()


async def test_a_pause_after_failures_does_not_outlive_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)
    pauses: list[float] = []

    async def noted(delay: float) -> None:
        pauses.append(delay)
        await asyncio.sleep(0.001)

    # the indexer's own pauses only: others of the same loop sleep too
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": noted}))
    for n in range(2):
        rig.embedder.failing = EmbedderUnavailable("the model is gone")
        await rig.text(str(n), f"text {n}")
        await until(lambda: len(pauses) >= 4)
        rig.embedder.failing = None
        await rig.documents.wait("books")
        assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
        pauses.clear()


async def test_a_write_under_way_is_not_overtaken_when_indexing_stops(rig: Rig) -> None:
    """A cancelled call leaves its thread writing: whoever writes next must wait for it."""
    rig.exact.gate = asyncio.Event()
    await rig.text("a", "text")
    await until(lambda: "upsert" in rig.exact.begun)
    closing = asyncio.create_task((await rig.live()).indexer.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    rig.exact.gate.set()
    await closing
    assert rig.exact.done == ["upsert"]


# -- upkeep ------------------------------------------------------------------------------------------------------------
async def test_unindexed_rows_are_indexed_in_the_background(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, optimize_after=2_000)
    await rig.catalog.create(spec(engine="local", index=IndexSettings()))
    await rig.put(*numbered(150))
    await rig.documents.wait("books")
    await asyncio.sleep(0.5)
    assert rig.engines["local"].done.count("optimize") == 0  # a tenth of 2,000 is needed when nothing else is to do
    await rig.put(*numbered(400))
    await until(lambda: "optimize" in rig.engines["local"].done)
    assert (await rig.catalog.status("books")).unindexed == 0
    await rig.assert_true()
    await rig.close()


async def test_rows_written_during_an_upkeep_are_not_left_behind(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, optimize_after=1_000)
    local = rig.engines["local"]
    local.optimizing = asyncio.Event()
    await rig.catalog.create(spec(engine="local", index=IndexSettings()))
    await rig.put(*numbered(300))
    await until(lambda: local.done.count("optimize") == 1)
    await rig.put(*numbered(700))
    await rig.documents.wait("books")
    await asyncio.sleep(0.5)  # the indexer has come to rest
    assert (await rig.catalog.status("books")).unindexed
    local.optimizing.set()
    await until(lambda: local.done.count("optimize") == 2)
    assert (await rig.catalog.status("books")).unindexed == 0
    await rig.close()


async def test_a_trickle_of_writes_is_flushed_at_once_a_few_times_only(rig: Rig) -> None:
    for n in range(1, flushes.QUICK_FLUSHES + 1):
        await rig.text("a", f"version {n}")
        await until(lambda n=n: rig.exact.begun.count("flush") == n)
    await rig.text("a", "the last")
    await rig.documents.wait("books")
    await asyncio.sleep(2 * flushes.QUIET_FLUSH_S)
    assert rig.exact.begun.count("flush") == flushes.QUICK_FLUSHES
    await rig.put(*numbered(flushes.MANY_ROWS))
    await until(lambda: rig.exact.begun.count("flush") == flushes.QUICK_FLUSHES + 1)


@pytest.mark.parametrize("every_s", [0.0, 60.0])
async def test_an_upkeep_follows_many_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float) -> None:
    """Those between two writes, and those in a moment's quiet."""
    monkeypatch.setattr(flushes, "MOST_FLUSHES", 3)
    monkeypatch.setattr(flushes, "FLUSH_EVERY_S", every_s)
    rig = await Rig.open(tmp_path)
    local = rig.engines["local"]
    await rig.catalog.create(spec(engine="local", index=IndexSettings()))
    for n in range(3):
        assert "optimize" not in local.begun
        await rig.text(f"a{n}", f"text {n}")
        await until(lambda n=n: local.begun.count("flush") == n + 1)
    await until(lambda: "optimize" in local.done)
    assert (await rig.catalog.status("books")).unindexed == 0
    await rig.assert_true()
    await rig.close()


async def test_a_failing_upkeep_stops_nothing_and_is_not_repeated_at_once(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, optimize_after=1_000)
    local = rig.engines["local"]
    local.failing["optimize"] = RuntimeError("no optimize today")
    await rig.catalog.create(spec(engine="local", index=IndexSettings()))
    await rig.put(*numbered(300))
    await until(lambda: "optimize" in local.begun)
    await asyncio.sleep(0.5)
    assert local.begun.count("optimize") == 1
    await rig.text("more", "more")
    await rig.documents.wait("books")
    assert (await rig.catalog.status("books")).indexing_error is None
    local.failing.clear()
    await until(lambda: "optimize" in local.done)
    await rig.assert_true()
    await rig.close()


async def test_the_log_is_shortened(rig: Rig) -> None:
    for version in range(5):
        await rig.text("a", f"version {version}")
    await rig.text("b", "goes")
    await rig.documents.delete("books", ["b"])
    await rig.documents.wait("books")
    await asyncio.sleep(0.4)  # flushed after a moment's quiet
    await rig.catalog.optimize("books")
    changes = await rig.store.changes((await rig.live()).collection, after=0, limit=100)
    assert [change.seq for change in changes] == [5]
    await rig.generations.rebuild((await rig.live()).collection)
    await rig.assert_true()


async def test_closing_just_after_a_write_ends(tmp_path: Path) -> None:
    """The write wakes an indexer that waits for quiet in the same moment as the close cancels it."""
    for n in range(5):
        rig = await Rig.open(tmp_path)
        await rig.catalog.create(spec())
        await rig.text("a", f"text {n}")
        await rig.documents.wait("books")
        await asyncio.sleep(0.02)  # applied, and not yet flushed
        (await rig.live()).indexer.notify(0)
        async with asyncio.timeout(10):
            await rig.close()


async def test_a_fill_that_the_writes_outrun_leaves_less_room_to_others(rig: Rig) -> None:
    await rig.put(*numbered(3))
    await rig.documents.wait("books")
    indexer = (await rig.live()).indexer
    applied = indexer.progress.applied
    indexer.progress.latest = applied + 10 * module.THROTTLED_BATCH
    for haste in (2, 4, 8, 8):
        indexer._hasten(before=10 * module.THROTTLED_BATCH)  # as many are behind as there were
        assert indexer._haste == haste
    indexer.progress.latest = applied + 5
    for haste in (4, 2, 1, 1):
        indexer._hasten(before=600)
        assert indexer._haste == haste
