"""What `faiss` owes beyond the suite: true scores from codes, upkeep beside searches, files that tell of damage."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nearfield
from nearfield.domain.errors import EngineUnavailable, IndexDamaged, MissingDependency, UnsupportedByEngine
from nearfield.domain.filters import Eq, Gte, Lt, matches
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings, Metric, Quantization
from nearfield.engines import faiss, faiss_search, faiss_structure
from nearfield.engines.faiss import FaissEngine
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.engines.faiss import FaissIndex

PRODUCT = IndexSettings(kind=IndexKind.IVF, quantization=Quantization.PRODUCT)
HNSW = spec_of(IndexSettings())
MANY = 3_000


class TestFaissEngine(EngineSuite):
    engine_type = FaissEngine

    @pytest.fixture
    def against(self) -> str:
        return f"FAISS {faiss_structure.sdk().__version__}"


@pytest.mark.heavy
@pytest.mark.servers
class TestFaissStructures(EngineSuite):
    """The same, with no row so few that all are compared: every search goes through a structure where there is one."""

    engine_type = FaissEngine

    @pytest.fixture
    def against(self) -> str:
        return f"FAISS {faiss_structure.sdk().__version__}, every search through a structure"

    @pytest.fixture(autouse=True)
    def no_shortcut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faiss_search, "_FEW", 0)


def many(count: int = MANY) -> tuple[Int64Array, Float32Array]:
    return np.arange(1, count + 1, dtype=np.int64), bookshop.vectors(count, seed=12)


async def stocked(engine: FaissEngine, settings: IndexSettings, *, dimension: int = bookshop.DIMENSION) -> FaissIndex:
    """MANY rows, indexed: even keys cheap."""
    spec = IndexSpec("many", dimension, settings, {"price": FieldType.INT})
    index = await engine.create(spec)
    keys, vectors = many()
    await index.upsert(keys, vectors[:, :dimension], [{"price": key % 2} for key in keys.tolist()], [""] * MANY)
    await index.optimize()
    return index


async def recall(index: FaissIndex, *, where: Eq | None = None) -> float:
    right = 0
    for query in bookshop.vectors(40, seed=33):
        true = await index.nearest(query, limit=10, where=where, exact=True)
        found = await index.nearest(query, limit=10, where=where)
        assert len(found) == 10
        shared = dict(zip(true.keys.tolist(), true.scores.tolist(), strict=True))
        for key, score in zip(found.keys.tolist(), found.scores.tolist(), strict=True):
            if key in shared:  # scored from the stored vector, not from its code
                assert score == shared[key]
                right += 1
    return right / 400


@pytest.mark.parametrize(
    "metric", [Metric.COSINE, *(pytest.param(one, marks=pytest.mark.heavy) for one in (Metric.DOT, Metric.EUCLIDEAN))]
)
@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        (kind, code)
        for kind in (IndexKind.FLAT, IndexKind.HNSW, IndexKind.IVF)
        for code in sorted(FaissEngine.capabilities.quantizations[kind])
    ],
)
async def test_codes_find_and_vectors_score(
    tmp_path: Path, kind: IndexKind, quantization: Quantization, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss_search, "_FEW", 0)
    engine = FaissEngine.at(tmp_path)
    index = await stocked(engine, IndexSettings(kind=kind, quantization=quantization, metric=metric, probes=30))
    assert (await index.stats()).unindexed == 0
    assert (index._structure is None) == (kind is IndexKind.FLAT and quantization is Quantization.NONE)
    assert await recall(index) >= 0.95
    assert await recall(index, where=Eq("price", 1)) >= 0.95
    await engine.close()


async def test_product_codes_are_small_and_turned_first(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await stocked(engine, PRODUCT)
    assert index._structure is not None
    built, sdk = index._structure.index, faiss_structure.sdk()
    assert isinstance(sdk.downcast_VectorTransform(built.chain.at(0)), sdk.OPQMatrix)
    ivf = sdk.downcast_index(built.index)
    assert isinstance(ivf, sdk.IndexIVFPQ)
    assert (ivf.code_size, ivf.nlist) == (16, 110)
    await engine.close()


async def test_odd_dimensions_are_padded_for_product_codes(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await stocked(engine, replace(PRODUCT, metric=Metric.EUCLIDEAN), dimension=7)
    _, vectors = many()
    found = await index.nearest(vectors[10, :7], limit=1, effort=20)
    assert found.keys.tolist() == [11]
    await engine.close()


async def test_few_rows_are_compared_until_product_codes_can_be_trained(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(spec_of(PRODUCT))
    await bookshop.stock(index)
    await index.optimize()
    assert index._structure is None
    assert (await index.stats()).unindexed == 0  # an optimize would not take them in
    await engine.close()


async def test_rows_are_taken_in_and_the_structure_built_anew(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.IVF)))
    await bookshop.stock(index, stop=40)
    await index.optimize()
    first = index._structure
    await bookshop.stock(index, start=40, stop=100)
    assert (await index.stats()).unindexed == 60
    await index.optimize()
    assert index._structure is not None
    assert first is not None
    assert (len(first.members), len(index._structure.members), index._structure.trained) == (40, 100, 40)
    await bookshop.stock(index, start=100)
    await index.optimize()
    assert index._structure.trained == bookshop.ROWS  # six times what it was trained on
    await index.delete(bookshop.keys()[:100])
    await index.optimize()
    assert len(index._structure.members) == bookshop.ROWS - 100
    assert len(list((tmp_path / "books").glob("*.faiss"))) == 1
    await engine.close()


@pytest.mark.parametrize("settings", [IndexSettings(kind=IndexKind.FLAT), IndexSettings()])
async def test_places_of_replaced_rows_are_given_back(
    tmp_path: Path, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss, "_CROWDED", 100)
    monkeypatch.setattr(faiss_search, "_FEW", 0)
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(spec_of(settings))
    for _ in range(3):
        await bookshop.stock(index)
    await index.flush()
    await index.delete(bookshop.keys()[:50])
    await index.optimize()
    await bookshop.stock(index, stop=20)
    assert index._table.gone == 0
    assert [path.name for path in (tmp_path / "books").glob("*.f32")] == ["2.f32"]
    query = bookshop.vectors(1, seed=3)[0]
    before = await index.nearest(query, limit=bookshop.ROWS, exact=True)
    near = await index.nearest(query, limit=30)
    await index.close()
    again = await engine.open(index.spec)
    kept = [n for n in range(bookshop.ROWS) if n < 20 or n >= 50]
    assert sorted(await listed_keys(again)) == bookshop.keys()[kept].tolist()
    after = await again.nearest(query, limit=bookshop.ROWS, exact=True)
    assert after.keys.tolist() == before.keys.tolist()
    assert (await again.nearest(query, limit=30)).keys.tolist() == near.keys.tolist()
    for where in (Gte("price", 30.0), Lt("year", 2005), Eq("title", "hiking boot 3")):
        expected = count_among(kept, where)
        assert await again.count(where) == expected
    found, stored = await again.vectors(bookshop.keys())
    assert found.tolist() == bookshop.keys()[kept].tolist()
    np.testing.assert_array_equal(stored, bookshop.vectors()[kept])
    await engine.close()


def count_among(kept: list[int], where: Gte | Lt | Eq) -> int:
    return sum(matches(where, bookshop.row(n)) for n in kept)


async def test_searches_and_writes_go_on_while_places_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faiss, "_CROWDED", 50)
    monkeypatch.setattr(faiss_search, "_FEW", 0)
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(HNSW)
    await bookshop.stock(index)
    done = asyncio.Event()

    async def rewrite() -> None:
        for n in range(40):
            start = n * 7 % (bookshop.ROWS - 30)
            await bookshop.stock(index, start=start, stop=start + 30)
            if n % 8 == 0:
                await index.optimize()
        done.set()

    async def search() -> None:
        n = 0
        while not done.is_set():
            n = (n + 11) % bookshop.ROWS
            found = await index.nearest(bookshop.vectors()[n], limit=bookshop.ROWS)
            assert found.keys[0] == bookshop.keys()[n]
            assert sorted(found.keys.tolist()) == bookshop.keys().tolist()

    await asyncio.gather(rewrite(), search(), search())
    assert [path.name for path in (tmp_path / "books").glob("*.f32")] != ["1.f32"]
    await engine.close()


async def test_what_was_not_flushed_is_not_half_there(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(HNSW)
    await bookshop.stock(index, stop=50)
    await index.optimize()
    await bookshop.stock(index, start=20, stop=90)  # replaced and new rows that no flush has seen
    again = await FaissEngine.at(tmp_path).open(HNSW)  # as after a crash: the first one flushed no more
    assert sorted(await listed_keys(again)) == bookshop.keys()[:50].tolist()
    await bookshop.stock(again, start=50)
    await again.flush()
    assert await again.count() == bookshop.ROWS
    query = bookshop.vectors()[200]
    assert (await again.nearest(query, limit=1)).keys.tolist() == [bookshop.keys()[200]]
    await again.close()
    await engine.close()


@pytest.mark.parametrize("pattern", ["*.faiss", "*.members.npy", "*.f32", "*.npz", "segments.json", "spec.json"])
@pytest.mark.parametrize("harm", ["cut", "turned", "removed"])
async def test_a_damaged_file_is_told(tmp_path: Path, pattern: str, harm: str) -> None:
    if (pattern, harm) in (("spec.json", "removed"), ("segments.json", "removed")):
        pytest.skip("without its list an index was never flushed, without its spec it is missing")
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(HNSW)
    await bookshop.stock(index)
    await index.optimize()
    await index.close()
    (path,) = (tmp_path / "books").glob(pattern)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    match harm:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "turned":
            path.write_bytes(content)
        case _:
            path.unlink()
    with pytest.raises(IndexDamaged, match="rebuild"):
        await engine.open(HNSW)
    await engine.close()


async def test_a_failed_build_leaves_the_structure_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(HNSW)
    await bookshop.stock(index, stop=120)
    await index.optimize()
    before = index._structure
    await bookshop.stock(index, start=120)

    def fail(*_: object) -> None:
        raise RuntimeError("Error in write: no such luck")

    monkeypatch.setattr(faiss_structure.sdk(), "write_index", fail)
    with pytest.raises(EngineUnavailable, match="no such luck"):
        await index.optimize()
    assert index._structure is before
    monkeypatch.undo()
    await index.close()
    assert await (await engine.open(HNSW)).count() == bookshop.ROWS
    await engine.close()


async def test_nothing_runs_on_the_event_loop_and_searches_take_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FaissEngine.at(tmp_path)
    index = await engine.create(HNSW)
    seen: dict[str, set[int]] = {}
    sdk = faiss_structure.sdk()
    real = sdk.omp_set_num_threads

    def watched(count: int) -> None:
        seen.setdefault(threading.current_thread().name.rsplit("_", 1)[0], set()).add(count)
        real(count)

    monkeypatch.setattr(sdk, "omp_set_num_threads", watched)
    monkeypatch.setattr(faiss_search, "_FEW", 0)
    await bookshop.stock(index)
    await index.optimize()
    await index.nearest(bookshop.vectors()[3], limit=3, where=Eq("used", True))
    await index.nearest(bookshop.vectors()[3], limit=3, exact=True)
    await engine.close()
    assert seen["faiss-read"] == {1}
    assert set(seen) == {"faiss-read", "faiss-upkeep"}


async def test_an_effort_it_has_not_is_refused(tmp_path: Path) -> None:
    engine = FaissEngine.at(tmp_path)
    for settings, effort in ((IndexSettings(kind=IndexKind.FLAT), 50), (IndexSettings(), 0)):
        index = await engine.create(spec_of(settings))
        with pytest.raises(UnsupportedByEngine, match="effort"):
            await index.nearest(bookshop.vectors()[0], limit=5, effort=effort)
    await engine.close()


def test_without_faiss_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    faiss_structure.sdk.cache_clear()
    with pytest.raises(MissingDependency, match=r"nearfield\[faiss\]"):
        FaissEngine.at(tmp_path)
    monkeypatch.undo()
    faiss_structure.sdk.cache_clear()


def test_a_collection_on_faiss(tmp_path: Path) -> None:
    with nearfield.open(tmp_path / "data", environment="test") as db:
        index = {"kind": "ivf", "quantization": "int8"}
        shop = db.collection(
            "shop", embed="{name}", fields={"price": "float"}, embedder="hashing", engine="faiss", index=index
        )
        shop.upsert([{"id": f"p{n}", "name": f"lamp number{n}", "price": float(n)} for n in range(50)])
        found = shop.search("lamp number7", where="price < 20", limit=30, mode="semantic")
        assert (found.hits[0].id, len(found.hits)) == ("p7", 20)
        shop.delete("p7")
    with nearfield.open(tmp_path / "data", environment="test") as db:
        hits = db.collection("shop").search("lamp number7", limit=50, mode="semantic").hits
        assert len(hits) == 49
        assert "p7" not in [hit.id for hit in hits]
