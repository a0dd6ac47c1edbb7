"""The gRPC face of the test server: messages become what REST says of the same, by the client's own conversions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import grpc
from qdrant_client import grpc as messages
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from tests.vendors.qdrant_edge_store import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.vendors.qdrant_edge_store import Collections

    Json = dict[str, Any]

CODES = {404: grpc.StatusCode.NOT_FOUND, 409: grpc.StatusCode.ALREADY_EXISTS, 400: grpc.StatusCode.INVALID_ARGUMENT}
KINDS = {
    messages.FieldType.FieldTypeKeyword: "keyword",
    messages.FieldType.FieldTypeInteger: "integer",
    messages.FieldType.FieldTypeFloat: "float",
    messages.FieldType.FieldTypeBool: "bool",
}
DONE = messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)


class GrpcServer:
    """Answers from its making on, for as long as it is held."""

    def __init__(
        self,
        every: Collections,
        *,
        key: str | None,
        due: Callable[[str], Json | None],
        tls: tuple[Path, Path] | None,
        port: int,
    ) -> None:
        """due: the fault that the next call of a method meets, if any. tls: certificate and key. port: 0 for any."""
        self._server = grpc.server(ThreadPoolExecutor(8), interceptors=[_Gate(key, due)])
        messages.add_PointsServicer_to_server(Points(every), self._server)  # type: ignore[no-untyped-call]
        messages.add_CollectionsServicer_to_server(CollectionCalls(every), self._server)  # type: ignore[no-untyped-call]
        place = f"127.0.0.1:{port}"
        if tls is None:
            self.port = int(self._server.add_insecure_port(place))
        else:
            chain, private = (part.read_bytes() for part in tls)
            self.port = int(self._server.add_secure_port(place, grpc.ssl_server_credentials([(private, chain)])))
        self._server.start()


class _Gate(grpc.ServerInterceptor):  # type: ignore[misc]
    """Asks for the key, and makes the trouble that is due."""

    def __init__(self, key: str | None, due: Callable[[str], Json | None]) -> None:
        self._key, self._due = key, due

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if self._key is not None and ("api-key", self._key) not in details.invocation_metadata:
            return _refusing(grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key", ())
        fault = self._due(details.method)
        if fault is None:
            return continuation(details)
        time.sleep(fault.get("delay_s", 0))
        told = tuple(fault.get("headers", {}).items())
        return _refusing(grpc.StatusCode[fault.get("code", "UNAVAILABLE")], fault.get("body", "no such luck"), told)


def _refusing(code: grpc.StatusCode, text: str, told: tuple[tuple[str, str], ...]) -> Any:
    def refuse(_: Any, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(told)
        context.abort(code, text)

    return grpc.unary_unary_rpc_method_handler(refuse)


def _answering(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any, grpc.ServicerContext], Any]:
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(self, request)
        except Refused as exc:
            return context.abort(CODES[exc.status], str(exc))

    return answer


class CollectionCalls(messages.CollectionsServicer):
    """What is asked of collections."""

    def __init__(self, every: Collections) -> None:
        self._every = every

    @_answering
    def Create(self, request: Any) -> Any:  # noqa: N802
        body: Json = {"vectors": _jsons(GrpcToRest.convert_vectors_config(request.vectors_config))}
        sparse = GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config)
        body["sparse_vectors"] = _jsons(sparse)
        for name in ("shard_number", "replication_factor", "write_consistency_factor"):
            if request.HasField(name):
                body[name] = getattr(request, name)
        self._every.create(request.collection_name, body)
        return messages.CollectionOperationResponse(result=True)

    @_answering
    def Delete(self, request: Any) -> Any:  # noqa: N802
        return messages.CollectionOperationResponse(result=self._every.drop(request.collection_name))

    @_answering
    def Update(self, request: Any) -> Any:  # noqa: N802
        self._every.get(request.collection_name).change({"metadata": GrpcToRest.convert_payload(request.metadata)})
        return messages.CollectionOperationResponse(result=True)

    @_answering
    def Get(self, request: Any) -> Any:  # noqa: N802
        info = models.CollectionInfo.model_validate(self._every.get(request.collection_name).info())
        return messages.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    @_answering
    def CollectionExists(self, request: Any) -> Any:  # noqa: N802
        there = request.collection_name in self._every.names()
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=there))


class Points(messages.PointsServicer):
    """What is asked of points."""

    def __init__(self, every: Collections) -> None:
        self._every = every

    @_answering
    def CreateFieldIndex(self, request: Any) -> Any:  # noqa: N802
        self._every.get(request.collection_name).index(request.field_name, KINDS[request.field_type])
        return messages.PointsOperationResponse(result=DONE)

    @_answering
    def Upsert(self, request: Any) -> Any:  # noqa: N802
        self._every.get(request.collection_name).upsert(
            [_json(GrpcToRest.convert_point_struct(point)) for point in request.points]
        )
        return messages.PointsOperationResponse(result=DONE)

    @_answering
    def Delete(self, request: Any) -> Any:  # noqa: N802
        ids = _ids(request.points.points.ids)
        self._every.get(request.collection_name).delete(ids)
        return messages.PointsOperationResponse(result=DONE)

    @_answering
    def Query(self, request: Any) -> Any:  # noqa: N802
        body = {**_asked(request), "using": request.using, "query": _json(GrpcToRest.convert_query(request.query))}
        if request.HasField("params"):
            body["params"] = _json(GrpcToRest.convert_search_params(request.params))
        found = self._every.get(request.collection_name).query(body)
        scored = [models.ScoredPoint.model_validate(point) for point in found]
        return messages.QueryResponse(result=[RestToGrpc.convert_scored_point(point) for point in scored])

    @_answering
    def Count(self, request: Any) -> Any:  # noqa: N802
        count = self._every.get(request.collection_name).count(_asked(request))
        return messages.CountResponse(result=messages.CountResult(count=count))

    @_answering
    def Scroll(self, request: Any) -> Any:  # noqa: N802
        body = _asked(request)
        if request.HasField("offset"):
            body["offset"] = GrpcToRest.convert_point_id(request.offset)
        page = self._every.get(request.collection_name).scroll(body)
        after = page["next_page_offset"]
        return messages.ScrollResponse(
            result=[_record(record) for record in page["points"]],
            **({} if after is None else {"next_page_offset": RestToGrpc.convert_extended_point_id(after)}),
        )

    @_answering
    def Get(self, request: Any) -> Any:  # noqa: N802
        body = {
            "ids": _ids(request.ids),
            "with_vector": GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        }
        found = self._every.get(request.collection_name).retrieve(body)
        return messages.GetResponse(result=[_record(record) for record in found])


def _ids(points: Any) -> list[int]:
    return [cast("int", GrpcToRest.convert_point_id(point)) for point in points]


def _asked(request: Any) -> Json:
    body: Json = {}
    if request.HasField("filter"):
        body["filter"] = _said(_json(GrpcToRest.convert_filter(request.filter)))
    if "limit" in request.DESCRIPTOR.fields_by_name and request.HasField("limit"):
        body["limit"] = request.limit
    return body


def _said(part: Any) -> Any:
    """A filter without the empty lists that a message cannot tell from absent ones, as the server reads it."""
    if isinstance(part, list):
        return [_said(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {name: _said(value) for name, value in part.items() if value != []}


def _record(record: Json) -> Any:
    return RestToGrpc.convert_record(models.Record.model_validate({"payload": {}, **record}))


def _json(model: Any) -> Json:
    read: Json = model.model_dump(mode="json", exclude_none=True)
    return read


def _jsons(many: Any) -> Json:
    return {name: _json(model) for name, model in many.items()}
