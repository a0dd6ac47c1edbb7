"""Requests that no route takes: unknown paths, methods a path does not know, and OPTIONS."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from nearfield.api.problems import problem

if TYPE_CHECKING:
    from starlette.requests import Request

_METHODS: Final = ("GET", "PUT", "POST", "PATCH", "DELETE")


async def answer_unrouted(request: Request, exc: Exception) -> Response:
    """404 and 405 as problems; `Allow` lists what the path knows, over all its routes; OPTIONS answers with that."""
    if not isinstance(exc, HTTPException) or exc.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return problem(exc)
    known = [method for method in _METHODS if _matched(request, method)]
    allowed = [*known, *(["HEAD"] if "GET" in known else []), "OPTIONS"]
    response = Response(status_code=HTTPStatus.NO_CONTENT) if request.method == "OPTIONS" else problem(exc)
    response.headers["Allow"] = ", ".join(allowed)
    return response


def _matched(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
