"""What `weaviate` owes beyond the suite, on a real server of one node."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from tests.vendors.weaviate_server import KEY, Node, weaviate_nodes

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import EngineUnavailable, IndexDamaged, IndexMissing, InvalidSetting, UnsupportedByEngine
from nearfield.domain.filters import Eq, In
from nearfield.domain.schema import IndexKind, IndexSettings, Metric, Quantization
from nearfield.engines import weaviate_search
from nearfield.engines.exact import ExactEngine
from nearfield.engines.weaviate import WeaviateEngine
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of, truly_nearest
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearfield.protocols.engine import VectorIndex

GUIDE = Path(__file__).parents[3] / "docs" / "howto" / "engine-weaviate.md"
FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))


@pytest.fixture
async def engine(weaviate_node: Node) -> AsyncIterator[WeaviateEngine]:
    engine = reach(weaviate_node)
    yield engine
    await engine.close()


def reach(node: Node, key: str | None = KEY, **options: object) -> WeaviateEngine:
    return WeaviateEngine.reach(EngineAddress.parse(node.address(**options)), prefix="unit_", key=key)


class _OnTheServer:
    @pytest.fixture
    def address(self, weaviate_node: Node) -> str:
        return weaviate_node.address()

    @pytest.fixture
    def key(self) -> str:
        return KEY


@pytest.mark.heavy
@pytest.mark.servers
class TestWeaviateEngine(_OnTheServer, EngineSuite):
    engine_type = WeaviateEngine

    @pytest.fixture
    def against(self, weaviate_node: Node) -> str:
        asked = urllib.request.Request(f"{weaviate_node.url}/v1/meta", headers={"authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return f"Weaviate {json.load(answer)['version']}, one node"


@pytest.mark.asyncio
class TestWeaviateEngineInBrief(_OnTheServer):
    """The heart of the suite, for every run."""

    engine_type: ClassVar = WeaviateEngine
    engine_at = EngineSuite.engine_at
    engine = EngineSuite.engine
    books = EngineSuite.books
    test_metric = EngineSuite.test_metric
    test_filters = EngineSuite.test_filters_are_honoured_or_refused
    test_words = EngineSuite.test_words
    test_replaced = EngineSuite.test_a_row_is_replaced_whole
    test_deleted = EngineSuite.test_deleted_rows_are_gone
    test_widest_keys = EngineSuite.test_the_widest_keys
    test_ties = EngineSuite.test_ties_go_to_the_lower_key
    test_missing = EngineSuite.test_missing_and_foreign_indexes_are_told


# -- from a collection's side ------------------------------------------------------------------------------------------
def test_the_guide_does_what_it_says(weaviate_node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEARFIELD_ENVIRONMENT", "test")
    monkeypatch.setenv("NEARFIELD_EMBEDDER", "hashing")
    monkeypatch.setenv("NEARFIELD_ENGINE_KEYS", f'{{"weaviate": "{KEY}"}}')
    (code,) = re.findall(r"```py\n(.*?)```", GUIDE.read_text(), re.S)
    address = "weaviate+http://localhost:8080"
    assert address in code
    exec(
        code.replace(f"{address}?", f"{weaviate_node.address()}&").replace(
            f'{address}"', f'{weaviate_node.address()}"'
        ),
        {},
    )


def test_a_collection_lives_on_the_server(weaviate_node: Node, tmp_path: Path) -> None:
    settings = {"environment": "test", "embedder": "hashing", "engine_keys": {"weaviate": KEY}}
    with nearfield.open(tmp_path / "data", engine=weaviate_node.address(), **settings) as db:
        shop = db.collection("shop", embed="{name}", fields={"price": float})
        shop.upsert([{"id": str(n), "name": f"lamp number {n}", "price": n * 1.5} for n in range(40)])
        found = shop.search("lamp number 7", where={"price": {"$lt": 30}}, limit=50)
        assert {hit.id for hit in found.hits} == {str(n) for n in range(20)}
        assert found.hits[0].id == "7"
        shop.delete(["7"])
        assert "7" not in {hit.id for hit in shop.search("lamp number 7", limit=50).hits}
    with nearfield.open(tmp_path / "data", engine=weaviate_node.address(), **settings) as db:  # and it is found again
        assert len(db.collection("shop").search("lamp", limit=100).hits) == 39


# -- words -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["english", "german", "none"])
async def test_words_rank_as_the_reference_ranks_them(engine: WeaviateEngine, tmp_path: Path, language: str) -> None:
    spec = replace(FLAT, language=language)
    subject, oracle = await engine.create(spec), await ExactEngine.at(tmp_path).create(spec)
    random = np.random.default_rng(5)
    vocabulary = ["Lamps", "lamp", "Häuser", "Haus", "wooden", "desk", "the", "light", "lights", "x-ray", "créme"]
    texts = [" ".join(random.choice(vocabulary, random.integers(1, 40))) for _ in range(bookshop.ROWS)]
    rows: list[dict[str, bool]] = [{"used": n % 3 == 0} for n in range(bookshop.ROWS)]
    for index in (subject, oracle):
        await index.upsert(bookshop.keys(), bookshop.vectors(), rows, texts)  # type: ignore[arg-type]
        await index.delete(bookshop.keys()[:20])
    for words in ("lamp", "Haus light", "light light desk", "wooden x-ray CREME"):
        for where in (None, Eq("used", True)):
            ours = await subject.lexical(words, limit=bookshop.ROWS, where=where)
            theirs = await oracle.lexical(words, limit=bookshop.ROWS, where=where)
            assert sorted(ours.keys.tolist()) == sorted(theirs.keys.tolist()), (words, where)
            mine = dict(zip(ours.keys.tolist(), ours.scores.tolist(), strict=True))
            reference = np.array([mine[key] for key in theirs.keys.tolist()])
            assert np.corrcoef(reference, theirs.scores)[0, 1] > 0.99, (words, where)


# -- large answers, and codes ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("quantization", [Quantization.NONE, Quantization.RABITQ])
async def test_answers_too_large_for_one_query_come_in_parts(
    engine: WeaviateEngine, quantization: Quantization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weaviate_search, "AT_ONCE", 60)
    monkeypatch.setattr(weaviate_search, "_SCANNED", 50)
    monkeypatch.setattr(weaviate_search, "_WHOLE", 30)
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.HNSW, quantization=quantization)))
    await bookshop.stock(index)
    query = bookshop.vectors(1, seed=4)[0]
    for limit in (5, 100, 500):
        found = await index.nearest(query, limit=limit, exact=True)
        assert found.keys.tolist() == truly_nearest(query, limit)
    words = await index.lexical("lamp headphones", limit=200)
    assert len(words) == sum(n % 5 in (0, 4) for n in range(bookshop.ROWS))
    used = await index.nearest(query, limit=100, where=In("brand", ("Acme", "")), exact=True)
    assert len(used) == await index.count(In("brand", ("Acme", "")))
    with pytest.raises(UnsupportedByEngine, match="100000 hits"):
        await index.nearest(query, limit=100_001)


@pytest.mark.heavy
@pytest.mark.servers
async def test_product_codes_are_trained_by_optimize(engine: WeaviateEngine) -> None:
    settings = IndexSettings(kind=IndexKind.HNSW, quantization=Quantization.PRODUCT)
    index = await engine.create(spec_of(settings))
    random = np.random.default_rng(8)
    vectors = random.normal(size=(1_500, bookshop.DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = np.arange(1_500, dtype=np.int64) << 12
    await index.upsert(keys, vectors, [{}] * 1_500, [""] * 1_500)
    assert not await compressed(engine, index)
    await index.optimize()
    assert await compressed(engine, index)
    await index.optimize()
    right = 0
    for query in vectors[:20]:
        order = np.argsort(-(vectors @ query))[:10]
        right += len({*(await index.nearest(query, limit=10)).keys.tolist()} & {*keys[order].tolist()})
        assert (await index.nearest(query, limit=10, exact=True)).keys.tolist() == keys[order].tolist()
    assert right >= 190
    np.testing.assert_array_equal((await index.vectors(keys[:3]))[1], vectors[:3])


async def compressed(engine: WeaviateEngine, index: VectorIndex) -> bool:
    nodes = await engine._wire.rest("GET", f"/nodes/Index_unit_{index.spec.name}?output=verbose")
    return all(shard["compressed"] for node in nodes["nodes"] for shard in node["shards"])


async def test_shards_are_made_as_asked(weaviate_node: Node) -> None:
    engine = reach(weaviate_node, shards=3)
    index = await engine.create(FLAT)
    await bookshop.stock(index)
    described = await engine._wire.rest("GET", "/schema/Index_unit_books")
    assert described["shardingConfig"]["desiredCount"] == 3
    query = bookshop.vectors(1, seed=4)[0]
    assert (await index.nearest(query, limit=20, exact=True)).keys.tolist() == truly_nearest(query, 20)
    assert sorted(await listed_keys(index)) == bookshop.keys().tolist()
    await engine.close()


# -- what is not there, or another's -----------------------------------------------------------------------------------
async def test_a_class_of_somebody_else_is_told(engine: WeaviateEngine) -> None:
    await engine.drop("books")
    await engine._wire.rest("POST", "/schema", {"class": "Index_unit_books", "description": "mine"})
    with pytest.raises(IndexDamaged, match="not one that Nearfield made"):
        await engine.open(FLAT)
    await engine.drop("books")


async def test_an_index_dropped_behind_our_back_is_missing(engine: WeaviateEngine) -> None:
    index = await engine.create(FLAT)
    await engine._wire.rest("DELETE", "/schema/Index_unit_books")
    with pytest.raises(IndexMissing):
        await index.count()
    with pytest.raises(IndexMissing):
        await index.nearest(bookshop.vectors(1)[0], limit=1)


async def test_a_wrong_key_is_told_and_not_repeated(weaviate_node: Node) -> None:
    engine = reach(weaviate_node, key="wrong-and-secret")
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS") as refused:
        await engine.open(FLAT)
    assert "wrong-and-secret" not in str(refused.value)
    await engine.close()


@pytest.mark.heavy
@pytest.mark.servers
async def test_what_was_acknowledged_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    with weaviate_nodes(tmp_path) as (alone,):
        engine = WeaviateEngine.reach(EngineAddress.parse(alone.address()), prefix="unit_")
        index = await engine.create(spec_of(IndexSettings()))
        await bookshop.stock(index)
        await index.delete(bookshop.keys()[:40])
        await index.flush()
        alone.kill()
        with pytest.raises(EngineUnavailable):
            await index.count()
        alone.start()
        alone.wait()
        await engine.close()
        again = WeaviateEngine.reach(EngineAddress.parse(alone.address()), prefix="unit_")
        index = await again.open(spec_of(IndexSettings()))
        assert sorted(await listed_keys(index)) == bookshop.keys()[40:].tolist()
        query = bookshop.vectors(1, seed=4)[0]
        assert (await index.nearest(query, limit=10)).keys.tolist() == truly_nearest(query, 10, range(40, 240))
        await again.close()


# -- addresses ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("weaviate+ftp://a:1", "http"),
        ("weaviate+http://a:1?shards=0", "shards"),
        ("weaviate+http://a:1?replication_factor=two", "replication_factor"),
        ("weaviate+http://a:1?consistency=some", "one, quorum, all"),
        ("weaviate+http://a:1?grpc_port=99999", "grpc_port"),
    ],
)
def test_an_address_it_cannot_use_is_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as refused:
        WeaviateEngine.reach(EngineAddress.parse(address), prefix="unit_")
    assert refused.value.field == "engine"


async def test_an_effort_is_refused_in_words(engine: WeaviateEngine) -> None:
    index = await engine.create(spec_of(IndexSettings(metric=Metric.DOT)))
    with pytest.raises(UnsupportedByEngine, match="ef_search"):
        await index.nearest(bookshop.vectors(1)[0], limit=1, effort=50)
