"""Rules of a collection: read, written, taken back to an earlier version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import WithJsonSchema
from starlette.responses import Response

from nearfield.api.answers import RulesAnswer, RulesHistoryAnswer, rules_history_json, rules_json
from nearfield.api.bodies import RestoreBody
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.state import Running
from nearfield.domain.rules import Rules
from nearfield.domain.rules_json import rules_from_json

router = APIRouter(route_class=JsonRoute, tags=["rules"])

_Given = Annotated[Any, Body(), WithJsonSchema({"$ref": "#/components/schemas/RulesSchema"})]
"""Read by the domain, so that a wrong one is refused in the same words as in the library."""
_Version = Annotated[int | None, Query(description="An earlier version; the latest when absent.", ge=1)]


@router.get("/v1/collections/{name}/rules", responses={200: {"model": RulesAnswer}})
async def show_rules(name: str, backend: Running, version: _Version = None) -> Response:
    """The rules in force, or an earlier version."""
    return await json_response(rules_json(await backend.rules.read(name, version)))


@router.put("/v1/collections/{name}/rules", responses={200: {"model": RulesAnswer}})
async def put_rules(name: str, body: _Given, backend: Running) -> Response:
    """Put rules in place of all there were: a new version, effective for every search that starts after the answer."""
    return await json_response(rules_json(await backend.rules.write(name, rules_from_json(body))))


@router.delete("/v1/collections/{name}/rules", responses={200: {"model": RulesAnswer}})
async def clear_rules(name: str, backend: Running) -> Response:
    """Have no rules: a new version without any. The earlier ones stay in the history."""
    return await json_response(rules_json(await backend.rules.write(name, Rules())))


@router.get("/v1/collections/{name}/rules/history", responses={200: {"model": RulesHistoryAnswer}})
async def rules_history(name: str, backend: Running) -> Response:
    """The versions kept, latest first; the last 100."""
    return await json_response(rules_history_json(await backend.rules.history(name)))


@router.post("/v1/collections/{name}/rules/restore", responses={200: {"model": RulesAnswer}})
async def restore_rules(name: str, body: RestoreBody, backend: Running) -> Response:
    """Write an earlier version again, as a new one."""
    return await json_response(rules_json(await backend.rules.restore(name, body.version)))
