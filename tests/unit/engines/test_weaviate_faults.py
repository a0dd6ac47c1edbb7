"""A Weaviate server that is down, slow, busy, half failing or no Weaviate at all: each is told, and nothing hangs."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from weaviate.proto.v1 import aggregate_pb2, batch_pb2, search_get_pb2, weaviate_pb2_grpc

from nearfield.domain.errors import EngineUnavailable, IndexMissing
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines.calls import Fault
from nearfield.engines.weaviate import WeaviateEngine, WeaviateIndex
from nearfield.engines.weaviate_schema import class_of, uuid_of
from nearfield.engines.weaviate_wire import AnsweredWrongly, Endpoint, RowsFailed, meaning
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import spec_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))
QUERY = bookshop.vectors(1)[0]
CLASS = class_of("x_", FLAT, made="now", shards=None, replication_factor=None)


@dataclass
class Scripted(weaviate_pb2_grpc.WeaviateServicer):  # type: ignore[misc]
    """Both sides of a server. Each call takes the next step of its script; past its end, all is well."""

    rest: deque[bytes] = field(default_factory=deque)
    rpc: deque[Any] = field(default_factory=deque)
    batches: list[list[str]] = field(default_factory=list)
    asked: int = 0
    answering: set[asyncio.Task[None]] = field(default_factory=set)

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            step = self.rest.popleft() if self.rest else http(200, json.dumps(CLASS))
            if step == b"slow":
                await asyncio.sleep(5)
            writer.write(step)
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client gave up, or the test is over
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _step(self, context: Any) -> Any:
        self.asked += 1
        step = self.rpc.popleft() if self.rpc else None
        if step == "slow":
            await asyncio.sleep(5)
        if isinstance(step, tuple):
            code, said, trailing = step
            context.set_trailing_metadata(trailing)
            await context.abort(code, said)
        return step

    async def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        step = await self._step(context)
        return step or aggregate_pb2.AggregateReply(single_result={"objects_count": 7})

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        step = await self._step(context)
        if step is not None:
            return step
        ids = request.filters.value_text_array.values or [uuid_of(5)]
        results = [
            {"metadata": {"id_as_bytes": bytes.fromhex(each.replace("-", "")), "distance": 0.25}} for each in ids
        ]
        return search_get_pb2.SearchReply(results=results)

    async def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.batches.append([each.uuid for each in request.objects])
        return await self._step(context) or batch_pb2.BatchObjectsReply()


def http(status: int, body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n{body}".encode()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Scripted, Endpoint]]:
    script = Scripted()
    rest = await asyncio.start_server(script.http, "127.0.0.1", 0)
    rpc = grpc.aio.server()
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(script, rpc)
    port = rpc.add_insecure_port("127.0.0.1:0")
    await rpc.start()
    yield script, Endpoint(f"http://127.0.0.1:{rest.sockets[0].getsockname()[1]}", f"127.0.0.1:{port}", secure=False)
    rest.close()
    for task in script.answering:
        task.cancel()
    await asyncio.gather(*script.answering, return_exceptions=True)
    await rpc.stop(None)


@pytest.fixture
async def index(server: tuple[Scripted, Endpoint]) -> AsyncIterator[WeaviateIndex]:
    engine = WeaviateEngine(server[1], prefix="x_", timeout_s=0.5)
    yield await engine.open(FLAT)
    await engine.close()


# -- down, slow --------------------------------------------------------------------------------------------------------
async def test_a_server_that_is_down_is_told() -> None:
    engine = WeaviateEngine(Endpoint("http://127.0.0.1:9", "127.0.0.1:9", secure=False), prefix="x_", timeout_s=2.0)
    with pytest.raises(EngineUnavailable, match="opening an index"):
        await engine.open(FLAT)
    with pytest.raises(EngineUnavailable, match="dropping an index"):
        await engine.create(FLAT)
    await engine.close()


async def test_rows_of_a_server_that_is_down_are_told(server: tuple[Scripted, Endpoint]) -> None:
    half = Endpoint(server[1].url, "127.0.0.1:9", secure=False)
    engine = WeaviateEngine(half, prefix="x_", timeout_s=2.0)
    index = await engine.open(FLAT)
    with pytest.raises(EngineUnavailable, match="searching: gRPC UNAVAILABLE"):
        await index.nearest(QUERY, limit=1)
    await engine.close()


async def test_a_slow_server_is_given_up(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script, endpoint = server
    script.rpc.extend(["slow"] * 4)
    with pytest.raises(EngineUnavailable, match=r"counting: no answer within 0\.5 s"):
        await index.count()
    script.rest.extend([b"slow"] * 4)
    engine = WeaviateEngine(endpoint, prefix="x_", timeout_s=0.2)
    with pytest.raises(EngineUnavailable, match=r"opening an index: no answer within 0\.2 s"):
        await engine.open(FLAT)
    await engine.close()


async def test_a_call_that_was_slow_once_succeeds(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    server[0].rpc.append("slow")
    assert await index.count() == 7


# -- busy --------------------------------------------------------------------------------------------------------------
async def test_a_busy_server_is_asked_again(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script, endpoint = server
    script.rpc.extend([(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", (("retry-after", "0.1"),))] * 2)
    assert (await index.nearest(QUERY, limit=1)).keys.tolist() == [5]
    assert script.asked == 3
    script.rest.extend([http(429, "", "Retry-After: 0.1\r\n")] * 2)
    engine = WeaviateEngine(endpoint, prefix="x_")
    await engine.open(FLAT)
    assert not script.rest
    await engine.close()


async def test_what_it_asks_for_with_retry_after_is_heard(
    server: tuple[Scripted, Endpoint], index: WeaviateIndex
) -> None:
    server[0].rpc.append((grpc.StatusCode.RESOURCE_EXHAUSTED, "later", (("retry-after", "3"),)))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await index._wire.count("Index_x_books", None)
    assert meaning(raised.value) == Fault("gRPC RESOURCE_EXHAUSTED: later", passing=True, wait_s=3.0)
    server[0].rest.append(http(503, "later", "Retry-After: 4\r\n"))
    with pytest.raises(AnsweredWrongly) as answered:
        await index._wire.rest("GET", "/meta")
    assert meaning(answered.value) == Fault("HTTP 503: later", passing=True, wait_s=4.0)


# -- half a batch ------------------------------------------------------------------------------------------------------
def refused(said: str, *places: int) -> Any:
    return batch_pb2.BatchObjectsReply(errors=[{"index": place, "error": said} for place in places])


async def test_only_rows_that_failed_are_sent_again(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script = server[0]
    script.rpc.extend([refused("cannot reach enough replicas", 1, 3), refused("cannot reach enough replicas", 1)])
    keys = np.arange(5, dtype=np.int64)
    await index.upsert(keys, bookshop.vectors(5), [{}] * 5, [""] * 5)
    sent = [uuid_of(key) for key in range(5)]
    assert script.batches == [sent, [sent[1], sent[3]], [sent[3]]]


async def test_rows_that_cannot_be_taken_are_counted(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script = server[0]
    script.rpc.append(refused("invalid object: no vector", 0, 4))
    with pytest.raises(EngineUnavailable, match="2 of 5 rows failed, the first with: invalid object"):
        await index.upsert(np.arange(5, dtype=np.int64), bookshop.vectors(5), [{}] * 5, [""] * 5)
    assert len(script.batches) == 1
    assert isinstance(meaning(RowsFailed(1, 2, "read-only")), Fault)


# -- no Weaviate -------------------------------------------------------------------------------------------------------
async def test_garbage_is_told(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script, endpoint = server
    engine = WeaviateEngine(endpoint, prefix="x_")
    for page in ("<html>welcome</html>", "[]"):
        script.rest.extend([http(200, page)] * 4)
        with pytest.raises(EngineUnavailable, match="is this a Weaviate server"):
            await engine.open(FLAT)
        script.rest.clear()
    await engine.close()
    script.rpc.extend([search_get_pb2.SearchReply(results=[{"metadata": {"id_as_bytes": b"short"}}])] * 4)
    with pytest.raises(EngineUnavailable, match="searching"):
        await index.nearest(QUERY, limit=1)


async def test_a_grpc_port_that_speaks_http_is_told(server: tuple[Scripted, Endpoint]) -> None:
    endpoint = Endpoint(server[1].url, server[1].url.removeprefix("http://"), secure=False)
    engine = WeaviateEngine(endpoint, prefix="x_", timeout_s=2.0)
    index = await engine.open(FLAT)
    with pytest.raises(EngineUnavailable, match="counting"):
        await index.count()
    await engine.close()


async def test_refusals_and_losses_are_not_tried_again(server: tuple[Scripted, Endpoint], index: WeaviateIndex) -> None:
    script = server[0]
    script.rpc.append((grpc.StatusCode.UNAUTHENTICATED, "no", ()))
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS"):
        await index.count()
    script.rpc.append((grpc.StatusCode.UNKNOWN, "could not find class Index_x_books in schema", ()))
    with pytest.raises(IndexMissing):
        await index.count()
    assert script.asked == 2
