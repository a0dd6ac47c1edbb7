from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.indexing.rig import FLAT, Rig, numbered, spec, words

from nearfield.domain.errors import EmbedderUnavailable, IndexLagging
from nearfield.domain.schema import IndexKind, IndexSettings, Metric
from nearfield.indexing import check as module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.domain.reports import CheckReport
    from nearfield.protocols.engine import VectorIndex


@pytest.fixture(params=["exact", "local"])
async def full(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """20 documents of one passage (keys 1 to 20) and one of four (key 21)."""
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(engine=request.param))
    await rig.put(*numbered(20), {"id": "long", "text": words(40)})
    await rig.documents.wait("books")
    yield rig
    await rig.close()


def found(report: CheckReport) -> tuple[int, int, int]:
    return report.missing, report.surplus, report.wrong


def keys(*documents: int, ordinal: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([document << 12 | ordinal for document in documents], dtype=np.int64)


async def index_of(rig: Rig) -> VectorIndex:
    return (await rig.live()).index


async def mended(rig: Rig, *, missing: int = 0, surplus: int = 0, wrong: int = 0) -> None:
    """The check finds so much, changes nothing of it, mends it when asked, and then all is true."""
    for _ in range(2):
        report = await rig.catalog.check("books")
        assert found(report) == (missing, surplus, wrong)
        assert not report.clean
        assert not report.repaired
    repaired = await rig.catalog.check("books", repair=True)
    assert found(repaired) == (missing, surplus, wrong)
    assert repaired.repaired
    report = await rig.catalog.check("books", repair=True)
    assert report.clean
    assert not report.repaired
    embedded = len(rig.embedder.embedded)
    await rig.assert_true()
    assert len(rig.embedder.embedded) == embedded == 24


async def test_a_true_index_is_clean(full: Rig) -> None:
    told: list[tuple[int, int]] = []
    report = await full.catalog.check("books", on_progress=lambda *progress: told.append(progress))
    assert report.clean
    assert (report.collection, report.documents, report.passages, report.rows) == ("books", 21, 24, 24)
    assert report.sampled == 24
    assert told == [(21, 21)]


async def test_an_empty_collection_is_clean(rig: Rig) -> None:
    report = await rig.catalog.check("books")
    assert report.clean
    assert (report.documents, report.passages, report.rows, report.sampled) == (0, 0, 0, 0)


async def test_missing_rows_are_found_and_mended(full: Rig) -> None:
    await (await index_of(full)).delete(np.concatenate([keys(3, 7), keys(21, ordinal=2)]))
    await mended(full, missing=3)


async def test_surplus_rows_are_found_and_mended(full: Rig) -> None:
    surplus = np.concatenate([keys(999), keys(4, ordinal=1), keys(21, ordinal=9)])
    await (await index_of(full)).upsert(surplus, np.eye(3, 32, dtype=np.float32), [{}] * 3, ["", "", ""])
    await mended(full, surplus=3)


async def test_wrong_vectors_are_found_and_mended(full: Rig) -> None:
    index = await index_of(full)
    wrong = np.concatenate([keys(5), keys(21, ordinal=3)])
    _, vectors = await index.vectors(wrong)
    await index.upsert(wrong, np.roll(vectors, 1, axis=1), [{}, {}], ["", ""])
    await mended(full, wrong=2)


async def test_all_at_once(full: Rig) -> None:
    index = await index_of(full)
    _, vectors = await index.vectors(keys(6))
    await index.delete(keys(1, 2))
    await index.upsert(keys(8, 500), np.repeat(vectors, 2, axis=0), [{}] * 2, [""] * 2)
    await mended(full, missing=2, surplus=1, wrong=1)


async def test_what_was_mended_survives(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec())
    await rig.put(*numbered(20))
    await rig.documents.wait("books")
    await (await rig.live()).indexer.close()
    await (await index_of(rig)).delete(keys(1, 2))
    await (await index_of(rig)).flush()
    await rig.catalog.check("books", repair=True)
    await rig.abandon()
    rig = await Rig.open(tmp_path)
    await rig.assert_true()
    await rig.close()


async def test_a_check_waits_for_what_is_pending(rig: Rig) -> None:
    rig.embedder.gate = asyncio.Semaphore(0)
    await rig.put(*numbered(5))
    checking = asyncio.create_task(rig.catalog.check("books"))
    await asyncio.sleep(0.05)
    assert not checking.done()
    rig.embedder.gate.release()
    report = await checking
    assert report.clean
    assert report.rows == 5


async def test_a_check_of_an_index_that_stands_still_says_so(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, wait_timeout_s=0.2)
    await rig.catalog.create(spec())
    rig.embedder.failing = EmbedderUnavailable("the model is gone")
    await rig.text("a", "t")
    with pytest.raises(IndexLagging, match="the model is gone"):
        await rig.catalog.check("books")
    await rig.close()


@pytest.mark.parametrize("repair", [False, True])
async def test_writes_going_on_give_no_false_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "CHANGES_PAGE", 5)
    rig = await Rig.open(tmp_path, index_batch=5)
    await rig.catalog.create(spec())
    await rig.put(*numbered(120))
    await rig.documents.wait("books")
    dice = random.Random(1)

    ended = asyncio.Event()

    async def write() -> None:
        for n in count():
            if ended.is_set():
                return
            name = str(dice.randrange(150))
            if dice.random() < 0.3:
                await rig.documents.delete("books", [name])
            else:
                await rig.text(name, words(dice.randrange(1, 45), f"n{n}w"))
            if n % 40 == 0:
                await rig.catalog.optimize("books")  # which takes deletes out of the log

    writing = asyncio.create_task(write())
    for _ in range(15):
        report = await rig.catalog.check("books", repair=repair)
        assert found(report) == (0, 0, 0)
        assert not report.repaired
        assert not writing.done()
    ended.set()
    await writing
    await rig.assert_true()
    await rig.close()


async def test_repairing_while_documents_change(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path, index_batch=3)
    await rig.catalog.create(spec())
    await rig.put(*({"id": str(n), "text": words(25, f"d{n}w")} for n in range(30)))
    await rig.documents.wait("books")
    index = await index_of(rig)
    for turn in range(6):
        await index.delete(keys(*range(1, 20)))
        junk = np.concatenate([keys(*range(1, 31), ordinal=3), keys(900)])
        await index.upsert(junk, np.ones((31, 32), np.float32) / np.sqrt(32, dtype=np.float32), [{}] * 31, [""] * 31)
        checking = asyncio.create_task(rig.catalog.check("books", repair=True))
        for n in range(30):
            await rig.text(str(n), words(5 + 10 * ((n + turn) % 5), f"turn{turn}d{n}w"))
        await checking
        await rig.documents.wait("books")
        await rig.catalog.check("books", repair=True)  # documents in flux were left out of account
        await rig.assert_true()
    await rig.close()


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
async def test_lengths_count_where_the_metric_has_them(tmp_path: Path, metric: Metric) -> None:
    rig = await Rig.open(tmp_path)
    settings = IndexSettings(kind=IndexKind.FLAT, metric=metric)
    await rig.catalog.create(spec(embedder="vectors:3", index=settings))
    await rig.put(
        {"id": "a", "text": "a", "vector": [3, 4, 0]},
        {"id": "zero", "text": "z", "vector": [0, 0, 0]},
        {"id": "tiny", "text": "t", "vector": [1e-20, 0, 1e-20]},
    )
    assert (await rig.catalog.check("books")).clean
    await (await index_of(rig)).upsert(keys(1), np.array([[6, 8, 0]], np.float32), [{}], [""])
    assert found(await rig.catalog.check("books", repair=True)) == (0, 0, 1)
    assert (await rig.catalog.check("books")).clean
    await rig.close()


async def test_a_sample_of_many(rig: Rig) -> None:
    await rig.put(*numbered(1_500))
    report = await rig.catalog.check("books")
    assert report.clean
    assert 300 < report.sampled < 700


async def test_brought_vectors_are_checked_too(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(embedder="vectors:3", index=FLAT))
    await rig.put(*({"id": str(n), "text": words(50), "vector": [n, 1, 2]} for n in range(10)))
    report = await rig.catalog.check("books")
    assert report.clean
    assert (report.passages, report.sampled) == (10, 10)
    await (await index_of(rig)).upsert(keys(1), np.array([[1, 0, 0]], np.float32), [{}], [""])
    await (await index_of(rig)).delete(keys(2))
    assert found(await rig.catalog.check("books", repair=True)) == (1, 0, 1)
    assert (await rig.catalog.check("books")).clean
    await rig.close()


async def test_a_delete_that_left_the_log_during_a_check_is_no_alarm(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.put(*numbered(10))
    compare = module._compare

    async def late(*given: Any) -> Any:
        await rig.documents.delete("books", ["4"])
        await rig.documents.wait("books")
        live = await rig.live()
        async with asyncio.timeout(20):
            while (await rig.store.generations(live.collection))[0].applied_seq < 11:
                await asyncio.sleep(0.02)
        await rig.catalog.optimize("books")
        assert await rig.store.changes(live.collection, after=10, limit=10) == []
        return await compare(*given)

    monkeypatch.setattr(module, "_compare", late)
    report = await rig.catalog.check("books")
    assert found(report) == (0, 0, 0)
    assert report.clean
