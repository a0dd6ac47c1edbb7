"""Pinecone against a stand-in that is checked against the vendor's description: the suite, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.vendors.pinecone import KEY, VERSION, Missing, PineconeStub, Space
from tests.vendors.serving import Trouble

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import (
    EngineUnavailable,
    IndexMissing,
    InvalidSetting,
    InvalidVector,
    UnsupportedByEngine,
)
from nearfield.domain.filters import Eq, matches
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings, Metric
from nearfield.engines import calls, pinecone_namespace
from nearfield.engines.pinecone import PineconeEngine, PineconeIndex
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, plainest, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from nearfield.domain.filters import Row

PLAIN = spec_of(plainest(PineconeEngine))
QUERY = bookshop.vectors(1, seed=2)[0]


@pytest.fixture(scope="session")
def running(shared_schemas: Path) -> Iterator[PineconeStub]:
    with PineconeStub(shared_schemas) as stub:
        yield stub


@pytest.fixture
def stub(running: PineconeStub) -> Iterator[PineconeStub]:
    running.reset()
    yield running
    assert running.watched.wrong == []


@pytest.mark.heavy
@pytest.mark.servers
class TestPineconeEngine(EngineSuite):
    engine_type = PineconeEngine

    @pytest.fixture
    def address(self, stub: PineconeStub) -> str:
        stub.lag = 1
        return f"pinecone+{stub.url}"

    @pytest.fixture
    def key(self) -> str:
        return KEY

    @pytest.fixture
    def against(self) -> str:
        return f"a stand-in, every exchange held against the vendor's OpenAPI documents {VERSION}"


def engine_on(stub: PineconeStub, *, key: str = KEY, patience_s: float = 10.0) -> PineconeEngine:
    return PineconeEngine(stub.url, key, "shop_", cloud="aws", region="us-east-1", patience_s=patience_s)


@pytest.fixture
async def engine(stub: PineconeStub) -> AsyncIterator[PineconeEngine]:
    engine = engine_on(stub)
    yield engine
    await engine.close()


@pytest.fixture
async def books(engine: PineconeEngine) -> PineconeIndex:
    index = await engine.create(PLAIN)
    await bookshop.stock(index)
    return index


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_S", 0.001)


def trouble(stub: PineconeStub, *troubles: Trouble) -> None:
    stub.watched.troubles = list(troubles)


# -- where things are ------------------------------------------------------------------------------------------------
async def test_generations_of_one_dimension_share_an_index(stub: PineconeStub, engine: PineconeEngine) -> None:
    stub.slow_making = 2
    for name in ("c1_g1", "c1_g2", "c1_g11"):
        await engine.create(spec_of(plainest(PineconeEngine), name=name))
    await engine.create(spec_of(plainest(PineconeEngine), name="c2_g1", dimension=8))
    assert set(stub.indexes) == {"shop-64-cosine", "shop-8-cosine"}
    await engine.drop("c1_g1")
    names = [name.partition("-")[0] for name in stub.indexes["shop-64-cosine"].spaces]
    assert names == ["c1_g2", "c1_g11"]


@pytest.mark.heavy
async def test_many_namespaces_are_listed_page_by_page(stub: PineconeStub, engine: PineconeEngine) -> None:
    await engine.create(PLAIN)
    stray = {f"books-{n:016d}": Space() for n in range(110)}
    stub.indexes["shop-64-cosine"].spaces |= stray
    await engine.drop("books")
    assert not stub.indexes["shop-64-cosine"].spaces


async def test_the_region_is_asked_and_checked(stub: PineconeStub) -> None:
    elsewhere = PineconeEngine(stub.url, KEY, "shop_", cloud="aws", region="mars-1")
    with pytest.raises(InvalidSetting, match="'mars-1'"):
        await elsewhere.create(PLAIN)
    here, there = engine_on(stub), PineconeEngine(stub.url, KEY, "shop_", cloud="gcp", region="us-central1")
    await here.create(PLAIN)
    with pytest.raises(InvalidSetting, match="aws us-east-1, not in gcp us-central1"):
        await there.create(PLAIN)
    for engine in (elsewhere, here, there):
        await engine.close()


@pytest.mark.parametrize(
    ("address", "key", "said"),
    [
        ("pinecone+https://api.pinecone.io", None, "NEARFIELD_ENGINE_KEYS"),
        ("pinecone+grpc://api.pinecone.io", KEY, "https://api.pinecone.io"),
        ("pinecone+https://api.pinecone.io?region=", KEY, "region has no value"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, key: str | None, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        PineconeEngine.reach(EngineAddress.parse(address), prefix="x_", key=key)


async def test_what_pinecone_chooses_cannot_be_asked(engine: PineconeEngine) -> None:
    with pytest.raises(UnsupportedByEngine) as refused:
        await engine.create(spec_of(IndexSettings(kind=IndexKind.IVF, probes=4)))
    assert refused.value.field == "index.probes"


# -- writes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("numbers", [True, False])
async def test_a_write_returns_once_it_is_seen(stub: PineconeStub, engine: PineconeEngine, numbers: bool) -> None:
    stub.lag, stub.numbers = 4, numbers
    index = await engine.create(PLAIN)
    await bookshop.stock(index, stop=20)
    assert len(await index.nearest(QUERY, limit=50)) == 20
    await index.upsert(bookshop.keys()[:1], bookshop.vectors(1, seed=5), [{"brand": "other"}], [""])
    assert await index.count(Eq("brand", "other")) == 1
    await index.delete(bookshop.keys()[:5])
    assert len(await index.nearest(QUERY, limit=50)) == 15


async def test_a_write_that_is_never_seen_is_an_error(stub: PineconeStub) -> None:
    engine = engine_on(stub, patience_s=0.2)
    index = await engine.create(PLAIN)
    stub.lag = 10_000
    with pytest.raises(EngineUnavailable, match=r"waited 0\.2 s until namespace books-\w+ shows what was written"):
        await bookshop.stock(index, stop=3)
    await engine.close()


async def test_batches_stay_below_the_limits(stub: PineconeStub, engine: PineconeEngine) -> None:
    """The stand-in refuses more than 1,000 records or 2 MB."""
    many = await engine.create(spec_of(plainest(PineconeEngine), name="many", dimension=2))
    keys = np.arange(2_500, dtype=np.int64)
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (len(keys), 1))
    await many.upsert(keys, vectors, [{}] * len(keys), [""] * len(keys))
    assert stub.asked("/vectors/upsert") == 3
    assert await many.count() == 2_500
    assert sorted(await listed_keys(many)) == keys.tolist()
    await many.delete(keys)
    assert await many.count() == 0
    assert stub.asked("/vectors/delete") == 3
    wide = await engine.create(spec_of(plainest(PineconeEngine), name="wide", dimension=5_000))
    random = np.random.default_rng(1).normal(size=(45, 5_000)).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    await wide.upsert(keys[:45], random, [{}] * 45, [""] * 45)
    assert stub.asked("/vectors/upsert") - 3 >= 2
    found, stored = await wide.vectors(keys[:45])
    assert found.tolist() == list(range(45))
    np.testing.assert_array_equal(stored, random)


async def test_rows_that_were_not_taken_are_sent_again(stub: PineconeStub, engine: PineconeEngine) -> None:
    index = await engine.create(PLAIN)
    stub.taken = [7, 0]
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS
    assert stub.asked("/vectors/upsert") == 3


async def test_what_remains_of_a_batch_is_told(
    stub: PineconeStub, engine: PineconeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinecone_namespace, "MAX_RECORDS", 100)
    monkeypatch.setattr(pinecone_namespace, "_AT_ONCE", 1)
    index = await engine.create(PLAIN)
    stub.taken = [60] * calls.TRIES
    with pytest.raises(EngineUnavailable, match=r"100 of 240 rows failed: .*40 of 100 rows were not taken"):
        await bookshop.stock(index)
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS


async def test_a_row_with_too_many_values_is_refused_by_name(engine: PineconeEngine) -> None:
    spec = IndexSpec("tagged", 2, plainest(PineconeEngine), {"tags": FieldType.KEYWORDS, "brand": FieldType.KEYWORD})
    index = await engine.create(spec)
    key, vector = np.array([1]), np.array([[1.0, 0.0]], np.float32)
    much: Row = {"brand": "x", "tags": tuple(f"{n:050}" for n in range(900))}
    with pytest.raises(UnsupportedByEngine, match="40960 bytes") as refused:
        await index.upsert(key, vector, [much], [""])
    assert refused.value.field == "tags"
    long: Row = {"brand": "x" * 500_000, "tags": tuple(f"{n} " * 1_000 for n in range(900))}
    await index.upsert(key, vector, [long], [""])
    assert await index.count(Eq("brand", "x" * 500_000)) == 1
    assert await index.count(Eq("brand", "x" * 499_999)) == 0


async def test_a_vector_of_zeros_is_refused(engine: PineconeEngine) -> None:
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.IVF, metric=Metric.DOT)))
    with pytest.raises(InvalidVector, match="zeros"):
        await index.upsert(np.array([1]), np.zeros((1, bookshop.DIMENSION), np.float32), [{}], [""])


# -- searches --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("missing", list(Missing))
async def test_filters_do_not_rest_on_how_missing_fields_compare(
    stub: PineconeStub, books: PineconeIndex, missing: Missing
) -> None:
    stub.missing = missing
    native = [where for where in bookshop.FILTER_EXAMPLES if not books.unsupported(where)]
    assert len(native) > 30
    for where in native:
        assert await books.count(where) == sum(matches(where, bookshop.row(n)) for n in range(bookshop.ROWS)), where


async def test_more_rows_than_one_search_gives(
    engine: PineconeEngine, monkeypatch: pytest.MonkeyPatch, stub: PineconeStub
) -> None:
    for module in ("pinecone", "pinecone_namespace"):
        monkeypatch.setattr(f"nearfield.engines.{module}.MAX_HITS", 100)
    index = await engine.create(PLAIN)
    await bookshop.stock(index)
    assert len(await index.nearest(QUERY, limit=100)) == 100
    with pytest.raises(UnsupportedByEngine, match="at most 100 hits"):
        await index.nearest(QUERY, limit=101)
    assert len(await index.nearest(QUERY, limit=101, where=Eq("brand", "Acme"))) < 101
    assert await index.count() == bookshop.ROWS
    assert await index.count(Eq("used", False)) == sum(bookshop.row(n).get("used") is False for n in range(240))
    assert stub.asked("/vectors/update") == 2
    assert await index.count() == bookshop.ROWS  # counting changed nothing


# -- what goes wrong -------------------------------------------------------------------------------------------------
async def test_a_server_that_is_down_is_told() -> None:
    engine = PineconeEngine("http://127.0.0.1:9", KEY, "shop_", cloud="aws", region="us-east-1")
    with pytest.raises(EngineUnavailable, match="engine pinecone, listing indexes: ConnectError"):
        await engine.open(PLAIN)
    await engine.close()


async def test_a_connection_that_breaks_is_made_again(stub: PineconeStub, books: PineconeIndex) -> None:
    trouble(stub, Trouble("/query", times=1, cut=True))
    assert len(await books.nearest(QUERY, limit=3)) == 3


async def test_a_server_that_is_slow_is_not_waited_for(
    stub: PineconeStub, books: PineconeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books._records._rest._server.calls, "_timeout_s", 0.2)
    trouble(stub, Trouble("/query", delay_s=0.5))
    with pytest.raises(EngineUnavailable, match=r"searching: no answer within 0\.2 s"):
        await books.nearest(QUERY, limit=3)


async def test_throttling_is_waited_out(stub: PineconeStub, books: PineconeIndex) -> None:
    trouble(stub, Trouble("/query", times=1, status=429, headers={"retry-after": "0.3"}))
    started = asyncio.get_running_loop().time()
    assert len(await books.nearest(QUERY, limit=3)) == 3
    assert asyncio.get_running_loop().time() - started >= 0.3  # at least: never sooner than it asked
    trouble(stub, Trouble("/query", status=429, headers={"retry-after": "0"}))
    with pytest.raises(EngineUnavailable, match="HTTP 429"):
        await books.nearest(QUERY, limit=3)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"matches": [{"id": "x", "score": 1}]}',
        b'{"matches": [{"id": "1"}]}',
        b'{"matches": 3}',
    ],
)
async def test_garbage_is_told(stub: PineconeStub, books: PineconeIndex, garbage: bytes) -> None:
    trouble(stub, Trouble("/query", times=calls.TRIES, status=200, body=garbage))
    if garbage == b"":  # what a write answers, and a search with nothing to tell
        assert len(await books.nearest(QUERY, limit=3)) == 0
        return
    with pytest.raises(EngineUnavailable, match="an answer that"):
        await books.nearest(QUERY, limit=3)
    assert len(await books.nearest(QUERY, limit=3)) == 3


async def test_garbage_for_an_index_is_told(stub: PineconeStub, engine: PineconeEngine) -> None:
    trouble(stub, Trouble("/indexes", status=200, body=b'{"indexes": [{"name": "shop-64-cosine"}]}'))
    with pytest.raises(EngineUnavailable, match="an answer that"):
        await engine.open(PLAIN)


async def test_a_key_that_is_refused_is_told_but_never_shown(stub: PineconeStub) -> None:
    engine = engine_on(stub, key="pcsk_wrong_7")
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS") as refused:
        await engine.open(PLAIN)
    assert stub.asked("/indexes") == 1  # trying again would not help
    trouble(stub, Trouble("/indexes", status=403, body=b"pcsk_wrong_7 may not do this"))
    with pytest.raises(EngineUnavailable, match="may not do this") as forbidden:
        await engine.open(PLAIN)
    assert "pcsk_wrong_7" not in f"{refused.value} {forbidden.value}"
    await engine.close()


async def test_an_index_that_was_deleted_meanwhile_is_missing(stub: PineconeStub, books: PineconeIndex) -> None:
    stub.indexes.clear()
    with pytest.raises(IndexMissing, match="rebuilt"):
        await books.nearest(QUERY, limit=3)


async def test_a_server_that_failed_often_is_left_alone(stub: PineconeStub, books: PineconeIndex) -> None:
    trouble(stub, Trouble("/query", status=500))
    for _ in range(calls.FAILURES):
        with pytest.raises(EngineUnavailable, match="HTTP 500"):
            await books.nearest(QUERY, limit=3)
    before = len(stub.watched.seen)
    with pytest.raises(EngineUnavailable, match="left alone"):
        await books.nearest(QUERY, limit=3)
    assert len(stub.watched.seen) == before


# -- as a collection's engine ----------------------------------------------------------------------------------------
def test_a_collection_on_pinecone(stub: PineconeStub, tmp_path: Path) -> None:
    stub.lag = 1
    rows: list[dict[str, Any]] = [
        {"id": str(n), "name": f"lamp {n}", "price": float(n), "tags": ["old" if n % 2 else "new"]} for n in range(30)
    ]
    asked = {"environment": "test", "embedder": "hashing", "engine_keys": {"pinecone": KEY}}
    with nearfield.open(tmp_path / "data", engine=f"pinecone+{stub.url}?region=eu-west-1", **asked) as db:
        shop = db.collection("lamps", embed="{name}", fields={"price": float, "tags": list[str], "name": str})
        shop.upsert(rows)
        found = shop.search("lamp 7", limit=3)
        assert found.hits[0].id == "7"
        cheap = shop.search("lamp", limit=10, where={"price": {"$lt": 6}, "tags": "new"})
        assert {hit.id for hit in cheap.hits} == {"0", "2", "4"}
        beyond = shop.search("lamp", limit=50, where={"name": {"$gte": "lamp 8"}})  # decided by the plan
        assert {hit.id for hit in beyond.hits} == {"8", "9"}
        shop.delete(["7"])
        assert "7" not in {hit.id for hit in shop.search("lamp 7", limit=50).hits}
    with nearfield.open(tmp_path / "data", engine=f"pinecone+{stub.url}?region=eu-west-1", **asked) as db:
        assert len(db.collection("lamps").search("lamp", limit=50).hits) == 29
