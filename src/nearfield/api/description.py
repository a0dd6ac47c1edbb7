"""The description of the API, OpenAPI 3.1: what FastAPI derives, with errors and keys told as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from nearfield.api.access import OPEN
from nearfield.api.answers import ProblemAnswer
from nearfield.api.bodies import CollectionChanges, CollectionSchema, RulesSchema
from nearfield.api.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_PROBLEM: Final = {
    "description": "Any error, told by its `code`.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}},
}
_KEYS: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def describe_api(app: FastAPI) -> None:
    """Serve the description at /openapi.json. It is built at the first request for it and kept."""
    written: list[bytes] = []

    async def show(_: Request) -> Response:
        if not written:
            written.append(openapi_json(app))
        return Response(written[0], media_type="application/json")

    app.add_route("/openapi.json", show, methods=["GET"], include_in_schema=False)


def openapi_json(app: FastAPI) -> bytes:
    """The description as JSON, indented, keys in a fixed order, ending in a line feed: the committed file."""
    return orjson.dumps(openapi(app), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def openapi(app: FastAPI) -> dict[str, Any]:
    """The description of every route."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.operation_id = route.name
    told = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _, extra = models_json_schema(
        [
            (ProblemAnswer, "serialization"),
            (CollectionSchema, "validation"),
            (CollectionChanges, "validation"),
            (RulesSchema, "validation"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(extra["$defs"])
    told["components"]["schemas"] = dict(sorted(schemas.items()))
    told["components"]["securitySchemes"] = _KEYS
    for path, methods in told["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _PROBLEM
            if path not in OPEN:
                operation["security"] = [{}, {"bearer": []}, {"header": []}]
    return told
