"""What `local` owes beyond the suite: alone on its folder, off the event loop, telling damage, ending cleanly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import EngineUnavailable, IndexDamaged, UnsupportedByEngine
from nearfield.domain.filters import Eq, Exists
from nearfield.domain.schema import IndexKind, IndexSettings, Metric, Quantization
from nearfield.engines.local import LocalEngine
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of, truly_nearest
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from pathlib import Path

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))
OPEN_ELSEWHERE = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("open", flush=True)
sys.stdin.read()
"""


class TestLocalEngine(EngineSuite):
    engine_type = LocalEngine

    @pytest.fixture
    def against(self) -> str:
        return f"zvec {version('zvec')}"


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        (IndexKind.HNSW, Quantization.NONE),
        (IndexKind.HNSW, Quantization.INT8),
        (IndexKind.HNSW, Quantization.RABITQ),
        (IndexKind.IVF, Quantization.FLOAT16),
        (IndexKind.DISKANN, Quantization.PRODUCT),
    ],
)
async def test_exact_search_under_other_metrics(
    tmp_path: Path, kind: IndexKind, quantization: Quantization, metric: Metric
) -> None:
    if quantization not in LocalEngine.capabilities.quantizations.get(kind, ()):
        pytest.skip("this platform has it not")
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings(kind=kind, quantization=quantization, metric=metric)))
    await bookshop.stock(index, scale=2.5)
    await index.optimize()
    query, stored = bookshop.vectors(1, seed=3)[0], bookshop.vectors() * np.float32(2.5)
    scores = stored @ query if metric is Metric.DOT else -np.linalg.norm(stored - query, axis=1)
    best = np.argsort(-scores, kind="stable")[:20]
    found = await index.nearest(query, limit=20, exact=True)
    assert found.keys.tolist() == bookshop.keys()[best].tolist()
    np.testing.assert_allclose(found.scores, scores[best], atol=1e-4)
    near = await index.nearest(query, limit=20)
    np.testing.assert_allclose(near.scores, scores[(near.keys >> 12) - 1], atol=1e-3)
    assert len(set(near.keys.tolist()) & set(found.keys.tolist())) >= 18
    await engine.close()


async def test_another_process_holds_it(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    await (await engine.create(FLAT)).close()
    other = subprocess.Popen(
        [sys.executable, "-c", OPEN_ELSEWHERE, str(tmp_path / "books" / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "open"
        with pytest.raises(EngineUnavailable, match="another process"):
            await engine.open(FLAT)
        other.kill()
    assert await (await engine.open(FLAT)).count() == 0
    await engine.close()


@pytest.mark.parametrize("pattern", ["manifest.*", "*/scalar.*.ipc", "idmap.*/CURRENT"])
async def test_a_damaged_folder_is_told(tmp_path: Path, pattern: str) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=20)
    await index.flush()
    await index.close()
    for file in (tmp_path / "books").glob(f"flushed.*/{pattern}"):
        file.write_bytes(b"x")
    with pytest.raises(IndexDamaged, match="rebuild"):
        await engine.open(FLAT)
    assert await (await engine.create(FLAT)).count() == 0
    await engine.close()


async def test_other_settings_are_another_index(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    await engine.create(FLAT)
    with pytest.raises(IndexDamaged, match="settings"):
        await engine.open(spec_of(IndexSettings(kind=IndexKind.HNSW)))
    await engine.close()


async def test_close_waits_for_what_is_under_way(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(FLAT)
    writing = [asyncio.create_task(bookshop.stock(index, start=n, stop=n + 60)) for n in range(0, 240, 60)]
    counting = [asyncio.create_task(index.count()) for _ in range(50)]
    await asyncio.sleep(0)
    for task in counting[::2]:  # a search given up must not keep the index open
        task.cancel()
    await index.close()
    await asyncio.gather(*writing)
    again = await engine.open(FLAT)
    assert await again.count() == bookshop.ROWS
    await engine.close()


async def test_no_search_misses_a_row_that_is_being_replaced(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings()))
    await bookshop.stock(index)
    query = bookshop.vectors(1, seed=3)[0]
    done = asyncio.Event()

    async def replace() -> None:
        start = 0
        while not done.is_set():
            await bookshop.stock(index, start=start, stop=start + 20)
            start = (start + 7) % (bookshop.ROWS - 20)

    replacing = asyncio.create_task(replace())
    words = "wireless walnut crème hiking night"
    for _ in range(60):
        near, said = await asyncio.gather(
            index.nearest(query, limit=bookshop.ROWS, exact=True), index.lexical(words, limit=bookshop.ROWS)
        )
        assert (len(near), len(said)) == (bookshop.ROWS, bookshop.ROWS)
    done.set()
    await replacing
    await engine.close()


async def test_nothing_runs_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(FLAT)
    seen: set[str] = set()

    class Watched:
        """The collection itself, telling in which thread it is used."""

        def __init__(self, real: object) -> None:
            self._real = real

        def __getattr__(self, name: str) -> object:
            seen.add(threading.current_thread().name)
            return getattr(self._real, name)

    for owner in (index, index._search, index._tally):
        monkeypatch.setattr(owner, "_collection", Watched(owner._collection))
    await bookshop.stock(index, stop=10)
    await index.delete(bookshop.keys()[:1])
    await index.nearest(bookshop.vectors()[3], limit=3, where=Eq("used", True))
    await index.lexical("lamp", limit=3)
    await index.vectors(bookshop.keys())
    await index.count(Exists("price"))
    await index.stats()
    await index.flush()
    await index.optimize()
    await listed_keys(index)
    await engine.close()
    assert seen
    assert threading.main_thread().name not in seen


async def test_rows_are_counted_without_asking_zvec(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    hnsw = spec_of(IndexSettings(kind=IndexKind.HNSW))
    index = await engine.create(hnsw)
    await bookshop.stock(index, stop=100)
    await bookshop.stock(index, start=50, stop=150)
    await index.delete(bookshop.keys()[[0, 1, 1, 149, 200]])
    assert await index.count() == 147 == len(await listed_keys(index))
    stats = await index.stats()
    assert (stats.rows, stats.unindexed) == (147, 147)
    await index.optimize()
    assert (await index.stats()).unindexed == 0
    await index.close()
    again = await engine.open(hnsw)
    assert (await again.stats()).rows == 147
    await engine.close()


@pytest.mark.parametrize(
    ("settings", "effort"),
    [
        (IndexSettings(kind=IndexKind.FLAT), 50),
        (IndexSettings(kind=IndexKind.HNSW), 2049),
        (IndexSettings(kind=IndexKind.HNSW), 0),
        (IndexSettings(kind=IndexKind.IVF), 70_000),
    ],
)
async def test_an_effort_it_has_not_is_refused(tmp_path: Path, settings: IndexSettings, effort: int) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(spec_of(settings))
    await bookshop.stock(index)
    with pytest.raises(UnsupportedByEngine, match="effort"):
        await index.nearest(bookshop.vectors()[0], limit=5, effort=effort)
    exact = await index.nearest(bookshop.vectors()[0], limit=5, effort=effort, exact=True)
    assert exact.keys.tolist() == truly_nearest(bookshop.vectors()[0], 5)
    await engine.close()


async def test_settings_beyond_its_reach_are_refused(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    for settings, dimension, field in (
        (IndexSettings(ef_search=4096), 64, "index.ef_search"),
        (IndexSettings(quantization=Quantization.RABITQ), 32, "index.quantization"),
    ):
        with pytest.raises(UnsupportedByEngine) as refused:
            await engine.create(spec_of(settings, dimension=dimension))
        assert refused.value.field == field
    await engine.close()
