"""Collections: listed, made, shown, dropped."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import WithJsonSchema
from starlette.responses import Response

from nearfield.api.answers import (
    CollectionAnswer,
    CollectionsAnswer,
    CollectionStatusAnswer,
    collection_json,
    status_json,
)
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.state import Running
from nearfield.domain.spec_json import spec_from_json, spec_to_json

router = APIRouter(route_class=JsonRoute, tags=["collections"])

_Given = Annotated[Any, Body(), WithJsonSchema({"$ref": "#/components/schemas/CollectionSchema"})]
_Changes = Annotated[Any, Body(), WithJsonSchema({"$ref": "#/components/schemas/CollectionChanges"})]
"""Read by the domain, so that a wrong one is refused in the same words as in the library."""


@router.get("/v1/collections", responses={200: {"model": CollectionsAnswer}})
async def list_collections(backend: Running) -> Response:
    """All collections, in order of name."""
    return await json_response({"collections": [collection_json(each) for each in await backend.catalog.list()]})


@router.put(
    "/v1/collections/{name}",
    responses={
        200: {"model": CollectionAnswer, "description": "It was there, with the same settings."},
        201: {"model": CollectionAnswer, "description": "Made."},
    },
)
async def put_collection(name: str, body: _Given, backend: Running) -> Response:
    """Make a collection; sending the same settings again changes nothing, other settings are a conflict."""
    spec_from_json(name, body)  # a wrong one is refused as it was sent, before defaults are put in
    given = {key: value for key, value in body.items() if value is not None}
    existed = await backend.catalog.exists(name)
    if existed:  # where it lives may have been moved since: what is not said of that is no conflict
        there = spec_to_json((await backend.catalog.get(name)).spec)
        given = {key: there[key] for key in ("embedder", "engine", "index")} | given
    spec = spec_from_json(name, backend.with_defaults(given))
    collection = await backend.catalog.create(spec)
    return await json_response(collection_json(collection), status=200 if existed else 201)


@router.get("/v1/collections/{name}", responses={200: {"model": CollectionStatusAnswer}})
async def show_collection(name: str, backend: Running) -> Response:
    """A collection's settings and how it is."""
    return await json_response(status_json(await backend.catalog.status(name)))


@router.patch("/v1/collections/{name}", responses={200: {"model": CollectionAnswer}})
async def change_collection(name: str, body: _Changes, backend: Running) -> Response:
    """Change how a collection is searched; the next search goes by it.

    Where `search` changes, another index is filled beside the live one and takes its place once it has caught up; the
    answer shows the settings in force by then.
    """
    return await json_response(collection_json(await backend.catalog.configure(name, body)))


@router.delete("/v1/collections/{name}", status_code=204)
async def drop_collection(name: str, backend: Running) -> Response:
    """Remove a collection with its documents and its indexes. This cannot be undone."""
    await backend.catalog.drop(name)
    return Response(status_code=204)
