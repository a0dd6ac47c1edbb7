"""Documents: taken in as JSON or as a stream of lines, read, patched, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from nearfield.api.answers import DeleteAnswer, DocumentAnswer, PatchAnswer, UpsertAnswer, document_json
from nearfield.api.bodies import DeleteBody
from nearfield.api.limits import check_length
from nearfield.api.reading import NDJSON, JsonRequest, JsonRoute, json_response, line_batches, not_json
from nearfield.api.state import Running, read_filter
from nearfield.api.uploads import Tally, rows_of_json, rows_of_lines
from nearfield.domain.errors import DocumentNotFound, InvalidRequest
from nearfield.observe import metrics

router = APIRouter(route_class=JsonRoute, tags=["documents"])

_BATCH_BYTES = 4 * 1024 * 1024

_OBJECT = {"type": "object", "additionalProperties": True}
_UPSERT_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [{"type": "array", "items": _OBJECT}, _OBJECT]},
            "example": [{"id": "1", "name": "Wireless Earbuds", "description": "Bluetooth headphones", "price": 50}],
        },
        "application/x-ndjson": {"schema": {"type": "string", "description": "One JSON object a line; any length."}},
    },
}


@router.post(
    "/v1/collections/{name}/documents",
    responses={200: {"model": UpsertAnswer}},
    openapi_extra={"requestBody": _UPSERT_BODY},
)
async def upsert_documents(
    name: str,
    request: JsonRequest,
    backend: Running,
    id_field: Annotated[str, Query(description="The field that holds the id.")] = "id",
) -> Response:
    """Insert or replace documents: a list, one object, or lines of NDJSON taken in as they arrive.

    A document that cannot be taken is told in `rejected`, the others go in; 422 when none could. Whatever is counted
    as accepted is durable. A stream that breaks off leaves the batches before it in place: send it again.
    """
    await backend.catalog.get(name)
    tally = Tally()
    if request.is_json:
        content = await request.json()
        rows = rows_of_json(content)
        check_length(len(rows), backend.settings.max_batch_documents, "documents", "NEARFIELD_MAX_BATCH_DOCUMENTS")
        tally.add(await backend.documents.upsert(name, rows, id_field=id_field))
    elif request.media_type in NDJSON:
        batches = line_batches(request, max_line_bytes=backend.settings.max_body_bytes, batch_bytes=_BATCH_BYTES)
        async for batch in batches:
            tally.add(await backend.documents.upsert(name, await rows_of_lines(batch), id_field=id_field))
        if not tally.seen:
            tally.add(await backend.documents.upsert(name, [], id_field=id_field))
    else:
        raise not_json(request, "application/json, or application/x-ndjson for a stream of lines")
    return await tally.response()


@router.post("/v1/collections/{name}/documents/delete", responses={200: {"model": DeleteAnswer}})
async def delete_documents(name: str, body: DeleteBody, backend: Running) -> Response:
    """Delete by ids, or everything that passes a filter; `{}` as filter deletes all."""
    if (body.ids is None) == (body.filter is None):
        raise InvalidRequest("give either ids or filter, one of them", field="ids")
    where = read_filter(body.filter, backend.settings)
    if where is not None:
        receipt = await backend.documents.delete_where(name, where)
    else:
        ids = body.ids or []
        check_length(
            len(ids), backend.settings.max_batch_documents, "ids", "NEARFIELD_MAX_BATCH_DOCUMENTS", field="ids"
        )
        receipt = await backend.documents.delete(name, ids)
    metrics.DOCUMENTS.labels("deleted").inc(receipt.deleted)
    return await json_response({"seq": receipt.seq, "deleted": receipt.deleted})


@router.get("/v1/collections/{name}/documents/{id:path}", responses={200: {"model": DocumentAnswer}})
async def get_document(name: str, id: str, backend: Running) -> Response:
    """A document as it was sent. The id may hold slashes; `?`, `#` and `%` in it are percent-encoded."""
    return await json_response(document_json(await backend.documents.get(name, id)))


@router.patch("/v1/collections/{name}/documents/{id:path}", responses={200: {"model": PatchAnswer}})
async def patch_document(
    name: str,
    id: str,
    changes: Annotated[dict[str, Any], Body(media_type="application/merge-patch+json")],
    backend: Running,
) -> Response:
    """Change some fields by JSON merge patch (RFC 7396): null removes a field, all else replaces."""
    receipt = await backend.documents.patch(name, id, changes)
    metrics.DOCUMENTS.labels("changed").inc(receipt.changed)
    return await json_response({"seq": receipt.seq, "changed": receipt.changed, "unchanged": receipt.unchanged})


@router.delete("/v1/collections/{name}/documents/{id:path}", responses={200: {"model": DeleteAnswer}})
async def delete_document(name: str, id: str, backend: Running) -> Response:
    """Delete one document."""
    receipt = await backend.documents.delete(name, [id])
    if not receipt.deleted:
        raise DocumentNotFound(f"no document {id!r} in {name}")
    metrics.DOCUMENTS.labels("deleted").inc()
    return await json_response({"seq": receipt.seq, "deleted": receipt.deleted})
