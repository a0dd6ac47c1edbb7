"""Suggestions for a search box."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from nearfield.api.answers import SuggestAnswer
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.state import Running

router = APIRouter(route_class=JsonRoute, tags=["search"])


@router.get("/v1/collections/{name}/suggest", responses={200: {"model": SuggestAnswer}})
async def suggest(
    name: str,
    backend: Running,
    q: Annotated[str, Query(description="What is typed so far.", examples=["wirel"])] = "",
    limit: Annotated[int, Query(description="Suggestions wanted, 1 to 100.")] = 10,
) -> Response:
    """Complete what is typed, from titles of documents and from queries asked before; typing errors are forgiven."""
    found = await backend.suggester.suggest(name, q, limit=limit)
    told = [{"text": one.text, "kind": one.kind, "count": one.count} for one in found.suggestions]
    return await json_response({"suggestions": told, "ready": found.ready})
