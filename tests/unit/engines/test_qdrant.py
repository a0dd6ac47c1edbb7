"""Qdrant over its REST API and by gRPC, spoken by the engine's own code; see tests/vendors/qdrant_server.py."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.vendors.qdrant_process import QDRANT_KEY, QdrantProcess

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import (
    DiskFull,
    EngineUnavailable,
    IndexDamaged,
    IndexMissing,
    InvalidSetting,
    UnsupportedByEngine,
)
from nearfield.domain.filters import Eq, GeoPoint, GeoRadius, Or, matches
from nearfield.domain.schema import IndexKind, IndexSettings, Quantization
from nearfield.engines import qdrant, qdrant_schema
from nearfield.engines.qdrant import QdrantEngine
from nearfield.engines.qdrant_schema import QdrantOptions
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of, truly_nearest
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """In memory where there is room: no disk is on trial."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def server(qdrant_server: QdrantProcess) -> Iterator[QdrantProcess]:
    yield qdrant_server
    qdrant_server.reset()


@pytest.fixture
async def engine(server: QdrantProcess, request: pytest.FixtureRequest) -> AsyncIterator[QdrantEngine]:
    engine = reach(server.address, prefix=f"{request.node.name.split('[')[0]}_")
    yield engine
    await engine.close()


def reach(address: str, *, prefix: str = "test_", key: str | None = QDRANT_KEY) -> QdrantEngine:
    return QdrantEngine.reach(EngineAddress.parse(address), prefix=prefix, key=key)


@pytest.mark.heavy
@pytest.mark.servers
class TestQdrantEngine(EngineSuite):
    engine_type = QdrantEngine

    @pytest.fixture
    def address(self, server: QdrantProcess) -> str:
        return server.address

    @pytest.fixture
    def key(self) -> str:
        return QDRANT_KEY

    @pytest.fixture
    def against(self, shared_schemas: Path) -> str:
        return f"qdrant-edge {version('qdrant-edge-py')} as a server, every exchange held against the vendor's schema"


@pytest.mark.heavy
@pytest.mark.servers
class TestQdrantByGrpc(EngineSuite):
    engine_type = QdrantEngine

    @pytest.fixture
    def address(self, server: QdrantProcess) -> str:
        return server.grpc_address

    @pytest.fixture
    def key(self) -> str:
        return QDRANT_KEY

    @pytest.fixture
    def against(self) -> str:
        return f"qdrant-edge {version('qdrant-edge-py')} as a server, spoken to by gRPC"


@pytest.mark.usefixtures("shared_schemas")
async def test_requests_are_held_against_the_published_schema(engine: QdrantEngine) -> None:
    client = engine._connected()
    wrong = {"vectors_config": {"dense": {"size": 0, "distance": "Dot"}}}
    with pytest.raises(Exception, match="against the schema"):
        await client.create_collection("wrong", **wrong)


# -- a server in trouble -----------------------------------------------------------------------------------------------
async def test_a_server_that_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = reach(f"qdrant+http://127.0.0.1:{port}")
    for _ in range(5):
        with pytest.raises(EngineUnavailable, match="ConnectError"):
            await engine.open(FLAT)
    with pytest.raises(EngineUnavailable, match="left alone"):
        await engine.open(FLAT)
    await engine.close()


async def test_a_server_that_is_slow(server: QdrantProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant, "_CALL_S", 0.2)
    engine = reach(server.address, prefix="slow_")
    index = await engine.create(FLAT)
    server.faults({"path": "/points/count", "times": 99, "delay_s": 1.0})
    with pytest.raises(EngineUnavailable, match=r"no answer within 0\.2 s"):
        await index.count()
    await engine.close()


async def test_throttling_is_waited_for(engine: QdrantEngine, server: QdrantProcess) -> None:
    index = await engine.create(FLAT)
    server.faults({"path": "/points/count", "times": 2, "status": 429, "headers": {"retry-after": "1"}})
    began = time.monotonic()
    assert await index.count() == 0
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_what_passes_is_tried_again(engine: QdrantEngine, server: QdrantProcess, status: int) -> None:
    index = await engine.create(FLAT)
    server.faults({"path": "/points", "times": 2, "status": status, "body": "overloaded"})
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS


@pytest.mark.parametrize(
    "body", ["<html>a proxy</html>", "", '{"result": 5, "status": "ok", "time": 0}', '{"result": {"points']
)
async def test_garbage(engine: QdrantEngine, server: QdrantProcess, body: str) -> None:
    index = await engine.create(FLAT)
    for path in ("/points/query", "/points/count"):
        server.faults({"path": path, "times": 1, "body": body})
        with pytest.raises(EngineUnavailable, match="not one of Qdrant"):
            await (index.count() if path.endswith("count") else index.nearest(bookshop.vectors()[0], limit=1))
    assert await index.count() == 0


async def test_a_wrong_key_is_told_without_it(server: QdrantProcess) -> None:
    engine = reach(server.address, key="wrong-key")
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS") as refused:
        await engine.create(FLAT)
    assert "wrong-key" not in str(refused.value)
    await engine.close()


async def test_rows_that_failed_are_counted(
    engine: QdrantEngine, server: QdrantProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_schema, "_BATCH_BYTES", 100_000)
    index = await engine.create(FLAT)
    server.faults({"path": "/points", "times": 1, "status": 400, "body": "no such luck"})
    with pytest.raises(EngineUnavailable, match=r"of 240 rows were not written: .*no such luck"):
        await bookshop.stock(index)
    assert 0 < await index.count() < bookshop.ROWS
    await bookshop.stock(index)  # as the indexer does
    assert sorted(await listed_keys(index)) == bookshop.keys().tolist()


async def test_a_write_is_done_when_it_can_be_found(engine: QdrantEngine, server: QdrantProcess) -> None:
    index = await engine.create(FLAT)
    taken = '{"result": {"operation_id": 7, "status": "acknowledged"}, "status": "ok", "time": 0.1}'
    server.faults({"path": "/points", "times": 1, "body": taken})
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS
    server.faults({"path": "/points", "times": 99, "body": taken})
    with pytest.raises(EngineUnavailable, match=r"240 of 240 rows were not written: .* not applied"):
        await bookshop.stock(index)


async def test_a_full_disk_is_told(engine: QdrantEngine, server: QdrantProcess) -> None:
    index = await engine.create(FLAT)
    server.faults({"path": "/points", "times": 1, "status": 500, "body": "No space left on device (os error 28)"})
    with pytest.raises(DiskFull, match="no space left"):
        await bookshop.stock(index)


async def test_what_somebody_else_removed_is_missing(engine: QdrantEngine) -> None:
    index = await engine.create(FLAT)
    await engine._connected().delete_collection(index._place)
    for call in (index.count(), index.nearest(bookshop.vectors()[0], limit=1), bookshop.stock(index)):
        with pytest.raises(IndexMissing):
            await call


async def test_an_index_that_was_never_finished(engine: QdrantEngine) -> None:
    await engine.create(FLAT)
    await engine._connected().delete_collection(engine._place(FLAT.name))
    await engine._connected().create_collection(engine._place(FLAT.name), **qdrant_schema.collection_config(FLAT))
    with pytest.raises(IndexDamaged, match="never finished"):
        await engine.open(FLAT)


@pytest.mark.parametrize("wire", ["http", pytest.param("grpc", marks=pytest.mark.heavy)])
async def test_acknowledged_rows_outlive_a_killed_server(folder: Path, wire: str) -> None:
    with QdrantProcess(folder / f"killed_{wire}") as server:
        engine = reach(server.grpc_address if wire == "grpc" else server.address, key=None)
        index = await engine.create(FLAT)
        await bookshop.stock(index, stop=100)
        await index.flush()
        await bookshop.stock(index, start=100)
        await index.delete(bookshop.keys()[:7])
        await index.flush()
        await asyncio.to_thread(server.kill)
        with pytest.raises(EngineUnavailable):
            await index.count()
        await asyncio.to_thread(server.restart)
        assert sorted(await listed_keys(index)) == bookshop.keys()[7:].tolist()
        query = bookshop.vectors(1, seed=3)[0]
        found = await index.nearest(query, limit=20)
        assert found.keys.tolist() == truly_nearest(query, 20, range(7, bookshop.ROWS))
        again = await engine.open(FLAT)
        assert (await again.lexical("number17", limit=3)).keys.tolist() == bookshop.keys()[17:18].tolist()
        await engine.close()


# -- the same by gRPC --------------------------------------------------------------------------------------------------
@pytest.fixture
async def by_grpc(server: QdrantProcess) -> AsyncIterator[QdrantEngine]:
    engine = reach(server.grpc_address, prefix="grpc_")
    yield engine
    await engine.close()


async def test_what_is_asked_by_grpc_goes_that_way(by_grpc: QdrantEngine, server: QdrantProcess) -> None:
    index = await by_grpc.create(spec_of(IndexSettings(kind=IndexKind.HNSW, quantization=Quantization.INT8)))
    by_http = ("/points", "/points/query", "/points/count", "/points/scroll", "/points/delete")
    server.faults(*({"path": path, "times": 99, "status": 400} for path in by_http))
    await bookshop.stock(index)
    await index.delete(bookshop.keys()[:7])
    await index.optimize()
    assert (await index.stats()).unindexed == 0
    assert len(await index.nearest(bookshop.vectors()[0], limit=10, effort=16)) == 10
    used = sum(matches(Eq("used", True), bookshop.row(number)) for number in range(7, bookshop.ROWS))
    assert await index.count(Eq("used", True)) == used
    assert sorted(await listed_keys(index)) == bookshop.keys()[7:].tolist()
    with pytest.raises(EngineUnavailable, match="400"):  # a radius by HTTP, whose float64 keeps it as it is
        await index.count(Or((Eq("used", True), GeoRadius("shop", GeoPoint(0.0, 0.0), 1000.0))))
    found, stored = await index.vectors(bookshop.keys())
    assert found.tolist() == bookshop.keys()[7:].tolist()
    np.testing.assert_array_equal(stored, bookshop.vectors()[7:])  # bit by bit
    again = await by_grpc.open(index.spec)
    assert (await again.lexical("number17", limit=3)).keys.tolist() == bookshop.keys()[17:18].tolist()
    await by_grpc.drop(index.spec.name)
    with pytest.raises(IndexMissing):
        await by_grpc.open(index.spec)


async def test_what_passes_is_tried_again_by_grpc(by_grpc: QdrantEngine, server: QdrantProcess) -> None:
    index = await by_grpc.create(FLAT)
    server.faults(*({"path": "/Upsert", "times": 1, "code": code} for code in ("UNAVAILABLE", "INTERNAL")))
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS


# the client raises its own error inside gRPC's task, which gRPC does not expect when it lets go of the call
@pytest.mark.filterwarnings("ignore:Exception ignored in.*InterceptedCall:pytest.PytestUnraisableExceptionWarning")
async def test_throttling_is_waited_for_by_grpc(by_grpc: QdrantEngine, server: QdrantProcess) -> None:
    index = await by_grpc.create(FLAT)
    server.faults({"path": "/Count", "times": 1, "code": "RESOURCE_EXHAUSTED", "headers": {"retry-after": "1"}})
    began = time.monotonic()
    assert await index.count() == 0
    assert time.monotonic() - began >= 1
    gc.collect()


async def test_trouble_by_grpc(by_grpc: QdrantEngine, server: QdrantProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_grpc._calls, "_timeout_s", 0.4)
    index = await by_grpc.create(FLAT)
    server.faults({"path": "/Count", "times": 1, "code": "INVALID_ARGUMENT"})
    with pytest.raises(EngineUnavailable, match="INVALID_ARGUMENT: no such luck"):
        await index.count()
    server.faults({"path": "/Upsert", "times": 1, "code": "INTERNAL", "body": "No space left on device (os error 28)"})
    with pytest.raises(DiskFull, match="no space left"):
        await bookshop.stock(index)
    server.faults({"path": "/Count", "times": 9, "delay_s": 0.8})
    with pytest.raises(EngineUnavailable, match=r"no answer within 0\.4 s"):
        await index.count()
    server.faults()
    await by_grpc._connected().delete_collection(index._place)
    with pytest.raises(IndexMissing):
        await index.count()


async def test_a_wrong_key_is_told_by_grpc_too(server: QdrantProcess) -> None:
    engine = reach(server.grpc_address, key="wrong-key")
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS") as refused:
        await engine.create(FLAT)
    assert "wrong-key" not in str(refused.value)
    await engine.close()


async def test_a_grpc_port_that_speaks_http_is_told(server: QdrantProcess) -> None:
    engine = reach(f"{server.address}?grpc_port={server.port}")
    with pytest.raises(EngineUnavailable, match=r"gRPC \w+"):
        await engine.open(FLAT)
    await engine.close()


# -- what the server is asked ------------------------------------------------------------------------------------------
async def test_shards_and_copies_are_asked_for(server: QdrantProcess) -> None:
    engine = reach(f"{server.address}?shard_number=3&replication_factor=2&write_consistency_factor=2", prefix="many_")
    index = await engine.create(FLAT)
    params = (await index._info()).config.params
    assert (params.shard_number, params.replication_factor, params.write_consistency_factor) == (3, 2, 2)
    await engine.close()


@pytest.mark.parametrize(
    "asked",
    ["shard_number=0", "shard_number=two", "write_consistency_factor=2", "grpc_port=70000", "replication_factor=-1"],
)
def test_impossible_options_are_refused(asked: str) -> None:
    with pytest.raises(InvalidSetting, match=asked.split("=", maxsplit=1)[0]):
        reach(f"qdrant+http://localhost:6333?{asked}")


def test_other_schemes_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="https"):
        reach("qdrant+ftp://localhost")


@pytest.mark.parametrize("quantization", [Quantization.NONE, Quantization.INT8, Quantization.PRODUCT])
async def test_the_graph_is_built_and_asked(engine: QdrantEngine, quantization: Quantization) -> None:
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.HNSW, quantization=quantization)))
    await bookshop.stock(index)
    await index.optimize()
    info = await index._info()
    assert info.indexed_vectors_count == 2 * bookshop.ROWS  # the sparse ones count as well
    assert (await index.stats()).unindexed == 0
    assert info.config.params.vectors["dense"].hnsw_config.m == 16
    query = bookshop.vectors(1, seed=4)[0]
    assert len(await index.nearest(query, limit=10, effort=16)) == 10
    found, stored = await index.vectors(bookshop.keys())
    assert found.tolist() == bookshop.keys().tolist()
    np.testing.assert_array_equal(stored, bookshop.vectors())  # bit by bit
    with pytest.raises(UnsupportedByEngine, match="effort"):
        await index.nearest(query, limit=10, effort=0)


async def test_a_long_write_goes_in_parts(engine: QdrantEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    index = await engine.create(FLAT)
    sizes: list[int] = []
    upsert = index._client.upsert

    async def counted(place: str, points: list[Any], **more: Any) -> Any:
        sizes.append(len(points))
        return await upsert(place, points, **more)

    monkeypatch.setattr(index._client, "upsert", counted)
    monkeypatch.setattr(qdrant_schema, "_BATCH_BYTES", 50_000)
    await bookshop.stock(index)
    assert sum(sizes) == bookshop.ROWS
    assert 1 < max(sizes) < 50


async def test_words_are_weighed_alike_after_reopening(engine: QdrantEngine) -> None:
    index = await engine.create(FLAT)
    await index.upsert(bookshop.keys()[:1], bookshop.vectors()[:1], [{}], [""])  # without a word: nothing to measure
    await bookshop.stock(index, start=1, stop=50)
    again = await engine.open(FLAT)
    assert again._words == index._words is not None
    await bookshop.stock(again, start=50)
    best = await again.lexical("wireless number5", limit=3)
    assert best.keys.tolist()[0] == bookshop.keys()[5]


def test_over_tls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    cert, keyfile = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    made = [*command.split(), "subjectAltName=IP:127.0.0.1", "-keyout", str(keyfile), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)

    async def create(address: str) -> None:
        engine = reach(address, key=None)
        try:
            await bookshop.stock(await engine.create(FLAT), stop=3)
        finally:
            await engine.close()

    with QdrantProcess(folder / "tls", "--tls", str(cert), str(keyfile)) as secured:
        addresses = (secured.address, secured.grpc_address)
        for address in addresses:
            with pytest.raises(EngineUnavailable, match="SSL_CERT_FILE"):
                asyncio.run(create(address))
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        for address in addresses:
            asyncio.run(create(address))


# -- a collection of it ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_a_collection_from_end_to_end(server: QdrantProcess, tmp_path: Path, wire: str) -> None:
    address = server.grpc_address if wire == "grpc" else server.address
    settings: dict[str, Any] = {"environment": "test", "embedder": "hashing", "engine_keys": {"qdrant": QDRANT_KEY}}
    with nearfield.open(tmp_path / "data", engine=address, **settings) as db:
        shop = db.collection("shop", embed="{name}", fields={"price": float, "brand": str})
        names = ("wireless earbuds", "garden chair", "wired earbuds", "teak table")
        shop.upsert([{"id": str(n), "name": name, "price": 10.0 * n, "brand": "Acme"} for n, name in enumerate(names)])
        assert {hit.id for hit in shop.search("earbuds", mode="lexical")} == {"0", "2"}
        answer = shop.search("earbuds", where="price > 5 AND brand = 'Acme'", limit=10)
        assert answer[0].id == "2"
        assert {hit.id for hit in answer} == {"1", "2", "3"}
        shop.delete(["2"])
        assert "2" not in {hit.id for hit in shop.search("earbuds", limit=10)}
    with nearfield.open(tmp_path / "data", engine=address, **settings) as db:
        assert {hit.id for hit in db.collection("shop").search("earbuds", mode="lexical")} == {"0"}


def test_options_left_out_leave_it_to_the_server() -> None:
    assert QdrantOptions.read({}).placement() == {}
