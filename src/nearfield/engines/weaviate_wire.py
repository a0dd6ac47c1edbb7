"""The wire to a Weaviate server: REST for what an index is, gRPC for rows and searches.

The messages are the vendor's own, from weaviate-client. Its client class is not used: it waits up to a minute of its
own when a server is down and hides what the server said, and `Calls` already does better at both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import IndexMissing, MissingDependency, NearfieldError
from nearfield.engines.calls import Fault, retry_after_s
from nearfield.engines.channels import RECONNECTING, authorities
from nearfield.engines.weaviate_filters import Clause, Op
from nearfield.engines.weaviate_schema import WORDS, StoredRow, keys_of, uuid_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array

WRONG_KEY: Final = "it refused the API key; give the right one in NEARFIELD_ENGINE_KEYS"
_MESSAGE_BYTES: Final = 100 << 20  # Weaviate's own bound
_CHANNEL: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    *RECONNECTING,
)
_PASSING: Final = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL"})
_FORBIDDEN: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_ABSENT: Final = ("could not find class", "class not found", "not found in schema")
_OURS: Final = ("invalid search", "invalid filter", "maximum results exceeded", "no such prop")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is. url: of REST, without `/v1`. grpc: host and port. secure: TLS for both."""

    url: str
    grpc: str
    secure: bool


class AnsweredWrongly(Exception):
    """An answer by HTTP that is none of Weaviate's, or one of its errors.

    status: HTTP's. wait_s: what it said in Retry-After.
    """

    def __init__(self, reason: str, *, status: int, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.wait_s = status, wait_s


class RowsFailed(Exception):
    """Some rows of a batch were not taken. passing: whether they may be the next time."""

    def __init__(self, failed: int, rows: int, first: str) -> None:
        super().__init__(f"{failed} of {rows} rows failed, the first with: {first[:200]}")
        self.passing = not any(sign in first.lower() for sign in ("invalid", "no such prop", "lengths don't match"))


@cache
def sdk() -> SimpleNamespace:
    """The vendor's messages and gRPC. Raises MissingDependency."""
    try:
        import grpc  # noqa: PLC0415 - loaded when first needed
        from google.protobuf.struct_pb2 import Struct  # noqa: PLC0415
        from weaviate.proto.v1 import (  # noqa: PLC0415
            aggregate_pb2,
            base_pb2,
            base_search_pb2,
            batch_delete_pb2,
            batch_pb2,
            search_get_pb2,
            weaviate_pb2_grpc,
        )
    except ImportError as exc:
        raise MissingDependency(
            "engine weaviate needs weaviate-client: pip install 'nearfield[weaviate]'", field="engine"
        ) from exc
    return SimpleNamespace(
        grpc=grpc,
        Struct=Struct,
        aggregate=aggregate_pb2,
        base=base_pb2,
        near=base_search_pb2,
        removal=batch_delete_pb2,
        batch=batch_pb2,
        search=search_get_pb2,
        Stub=weaviate_pb2_grpc.WeaviateStub,
    )


class Wire:
    """Connections to one server, made when first used, on the event loop that uses them."""

    def __init__(self, endpoint: Endpoint, key: str | None, consistency: str) -> None:
        """consistency: one, quorum or all, of writes and of rows read by key."""
        self._endpoint, self._key = endpoint, key
        self._level = getattr(sdk().base, f"CONSISTENCY_LEVEL_{consistency.upper()}")
        self._http: Any = None
        self._channel: Any = None
        self._stub: Any = None

    async def rest(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON; None where it has none. Raises AnsweredWrongly, and what httpx2 raises."""
        if self._http is None:
            import httpx2  # noqa: PLC0415 - slow to load, and the gRPC side is used far more

            bearer = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            # times are limited by Calls, in one place
            self._http = httpx2.AsyncClient(base_url=f"{self._endpoint.url}/v1", headers=bearer, timeout=None)
        answer = await self._http.request(method, path, json=body)
        if answer.status_code >= 400:
            raise AnsweredWrongly(
                f"HTTP {answer.status_code}: {answer.text[:200]}",
                status=answer.status_code,
                wait_s=retry_after_s(answer.headers.get("retry-after")),
            )
        try:
            return answer.json() if answer.content else None
        except ValueError as exc:
            raise AnsweredWrongly("it answered no JSON; is this a Weaviate server?", status=502) from exc

    async def put(self, name: str, rows: Sequence[StoredRow]) -> list[tuple[int, str]]:
        """Write rows, whole. Returns those not taken: the place of each, and why."""
        request = await asyncio.to_thread(_batch, name, rows, self._level)  # 20 microseconds a value
        answer = await self._call("BatchObjects", request)
        return [(error.index, error.error) for error in answer.errors]

    async def remove(self, name: str, keys: Sequence[int]) -> None:
        """Delete rows; those that are not there are passed over. Raises RowsFailed."""
        request = sdk().removal.BatchDeleteRequest(
            collection=name, filters=_message(_by_key(keys)), consistency_level=self._level, verbose=True
        )
        answer = await self._call("BatchDelete", request)
        if answer.failed:
            first = next((each.error for each in answer.objects if not each.successful), "it did not say why")
            raise RowsFailed(int(answer.failed), len(keys), first)

    async def count(self, name: str, where: Clause | None) -> int:
        """Rows that pass."""
        request = sdk().aggregate.AggregateRequest(collection=name, objects_count=True)
        if where is not None:
            request.filters.CopyFrom(_message(where))
        answer = await self._call("Aggregate", request)
        return int(answer.single_result.objects_count)

    async def near(
        self, name: str, vector: Float32Array, limit: int, where: Clause | None
    ) -> tuple[Int64Array, Float32Array]:
        """The nearest rows and their distances, nearest first."""
        given = sdk().base.Vectors(vector_bytes=vector.astype("<f4").tobytes(), type=1)
        request = _search(name, limit, where, distance=True)
        request.near_vector.CopyFrom(sdk().near.NearVector(vectors=[given]))
        found = (await self._call("Search", request)).results
        return _keys(found), np.fromiter((each.metadata.distance for each in found), np.float32, len(found))

    async def words(self, name: str, words: str, limit: int, where: Clause | None) -> tuple[Int64Array, Float32Array]:
        """The rows that hold any of some words and their BM25 scores, best first."""
        request = _search(name, limit, where, score=True)
        request.bm25_search.CopyFrom(sdk().near.BM25(query=words, properties=[WORDS]))
        found = (await self._call("Search", request)).results
        return _keys(found), np.fromiter((each.metadata.score for each in found), np.float32, len(found))

    async def vectors(self, name: str, keys: Sequence[int], dimension: int) -> tuple[Int64Array, Float32Array]:
        """The rows of some keys that are there, in no order, and their vectors."""
        request = _search(name, len(keys), _by_key(keys), vector=True)
        request.consistency_level = self._level
        found = (await self._call("Search", request)).results
        parts = [each.metadata.vector_bytes or bytes(np.array(each.metadata.vector, "<f4")) for each in found]
        return _keys(found), np.frombuffer(b"".join(parts), "<f4").reshape(len(found), dimension).astype(np.float32)

    async def page(self, name: str, after: str, limit: int) -> tuple[Int64Array, str]:
        """Some keys in the order of ids, beginning after one, and the last id of them."""
        request = _search(name, limit, None)
        request.after = after
        found = (await self._call("Search", request)).results
        return _keys(found), found[-1].metadata.id if found else ""

    async def close(self) -> None:
        """Let go of the connections."""
        if self._http is not None:
            await self._http.aclose()
        if self._channel is not None:
            await self._channel.close()
        self._http = self._channel = self._stub = None

    async def _call(self, method: str, request: Any) -> Any:
        if self._stub is None:
            grpc = sdk().grpc
            if self._endpoint.secure:
                credentials = grpc.ssl_channel_credentials(authorities())
                self._channel = grpc.aio.secure_channel(self._endpoint.grpc, credentials, options=_CHANNEL)
            else:
                self._channel = grpc.aio.insecure_channel(self._endpoint.grpc, options=_CHANNEL)
            self._stub = sdk().Stub(self._channel)
        bearer = (("authorization", f"Bearer {self._key}"),) if self._key else ()
        return await getattr(self._stub, method)(request, metadata=bearer)


def meaning(exc: Exception) -> Fault | NearfieldError:
    """What an exception of either side means."""
    if isinstance(exc, AnsweredWrongly):
        if exc.status in (401, 403):
            return Fault(WRONG_KEY, passing=False)
        return Fault(str(exc), passing=exc.status == 429 or exc.status >= 500, wait_s=exc.wait_s)
    if isinstance(exc, RowsFailed):
        return Fault(str(exc), passing=exc.passing)
    if isinstance(exc, sdk().grpc.aio.AioRpcError):
        return _grpc_meaning(exc)
    # httpx2's errors of transport; one of ours is a defect, and said as such
    return Fault(f"{type(exc).__name__}: {str(exc)[:200]}", passing=type(exc).__module__.startswith("httpx2"))


def _grpc_meaning(exc: Any) -> Fault | NearfieldError:
    code, said = exc.code().name, str(exc.details() or "")
    if code in _FORBIDDEN:
        return Fault(WRONG_KEY, passing=False)
    if code == "NOT_FOUND" or any(sign in said.lower() for sign in _ABSENT):
        return IndexMissing("the server holds this index no more; it has to be rebuilt from the store")
    # what it fails at itself, Weaviate tells as UNKNOWN; most of that is another node that went away
    passing = code in _PASSING or (code == "UNKNOWN" and not any(sign in said.lower() for sign in _OURS))
    trailing = {str(name).lower(): value for name, value in exc.trailing_metadata() or ()}
    return Fault(f"gRPC {code}: {said[:200]}", passing=passing, wait_s=retry_after_s(trailing.get("retry-after")))


def _search(name: str, limit: int, where: Clause | None, **metadata: bool) -> Any:
    search = sdk().search
    request = search.SearchRequest(
        collection=name,
        limit=limit,
        metadata=search.MetadataRequest(uuid=True, **metadata),
        properties=search.PropertiesRequest(),  # none
        uses_127_api=True,
    )
    if where is not None:
        request.filters.CopyFrom(_message(where))
    return request


def _by_key(keys: Sequence[int]) -> Clause:
    return Clause(Op.ANY, "_id", tuple(uuid_of(key) for key in keys))


def _message(clause: Clause) -> Any:
    base = sdk().base
    operator = getattr(base.Filters, f"OPERATOR_{clause.op.value}")
    if clause.parts:
        return base.Filters(operator=operator, filters=[_message(part) for part in clause.parts])
    target = base.FilterTarget(property=clause.column)
    value: dict[str, Any]
    match clause.value:
        case bool():
            value = {"value_boolean": clause.value}
        case str():
            value = {"value_text": clause.value}
        case float():
            value = {"value_number": clause.value}
        case (str(), *_):
            value = {"value_text_array": base.TextArray(values=clause.value)}
        case _:
            value = {"value_number_array": base.NumberArray(values=clause.value)}
    return base.Filters(operator=operator, target=target, **value)


def _batch(name: str, rows: Sequence[StoredRow], level: int) -> Any:
    return sdk().batch.BatchObjectsRequest(objects=[_object(name, row) for row in rows], consistency_level=level)


def _object(name: str, row: StoredRow) -> Any:
    base, batch = sdk().base, sdk().batch
    properties = batch.BatchObject.Properties(
        text_array_properties=[base.TextArrayProperties(prop_name=c, values=v) for c, v in row.texts.items()],
        number_array_properties=[
            base.NumberArrayProperties(prop_name=c, values_bytes=np.array(v, "<f8").tobytes())
            for c, v in row.numbers.items()
        ],
        boolean_array_properties=[base.BooleanArrayProperties(prop_name=c, values=v) for c, v in row.booleans.items()],
    )
    properties.non_ref_properties.update(row.values)
    return batch.BatchObject(uuid=uuid_of(row.key), collection=name, vector_bytes=row.vector, properties=properties)


def _keys(found: Sequence[Any]) -> Int64Array:
    return keys_of([each.metadata.id_as_bytes for each in found])
