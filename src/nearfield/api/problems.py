"""What an error looks like over HTTP: one table from error class to status, one handler, one form (RFC 9457)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from nearfield.domain import errors
from nearfield.domain.errors import CallerError, NearfieldError
from nearfield.observe.logging import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

log = logging.getLogger("nearfield.api")

MEDIA_TYPE: Final = "application/problem+json"


class RouteNotFound(CallerError):
    """No endpoint at this path."""

    code = "route_not_found"


class MethodNotAllowed(CallerError):
    """The endpoint exists and does not know this method; `Allow` lists those it knows."""

    code = "method_not_allowed"


class UnsupportedMediaType(CallerError):
    """The body's Content-Type is not one this endpoint reads."""

    code = "unsupported_media_type"


class InvalidJson(CallerError):
    """The body is not JSON; the message says where it stops being so."""

    code = "invalid_json"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one error class is answered.

    title: the same for every occurrence. told: whether the error's own text is written for the caller; where it is not,
    the answer holds the title alone and the text goes to the log. retry_after_s: whole seconds, sent where the class is
    retryable.
    """

    status: HTTPStatus
    title: str
    told: bool = True
    retry_after_s: int = 1


_HIDDEN: Final = False

STATUS: Final[Mapping[type[NearfieldError], Kind]] = {
    NearfieldError: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error", _HIDDEN),
    CallerError: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid request"),
    errors.InvalidRequest: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid request"),
    errors.InvalidDocument: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid document"),
    errors.InvalidSchema: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid collection schema"),
    errors.InvalidFilter: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid filter"),
    errors.InvalidVector: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid vector"),
    errors.DimensionMismatch: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "vector of another dimension"),
    errors.InvalidSetting: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid setting"),
    errors.InvalidFile: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid file"),
    errors.UnsupportedByEngine: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "not supported by the engine"),
    errors.InvalidCursor: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid cursor"),
    errors.CursorExpired: Kind(HTTPStatus.GONE, "cursor expired"),
    errors.ModelUnknown: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown model"),
    errors.MissingDependency: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "optional part not installed"),
    InvalidJson: Kind(HTTPStatus.BAD_REQUEST, "body is not JSON"),
    errors.Unauthorized: Kind(HTTPStatus.UNAUTHORIZED, "API key needed"),
    errors.CollectionNotFound: Kind(HTTPStatus.NOT_FOUND, "collection not found"),
    errors.DocumentNotFound: Kind(HTTPStatus.NOT_FOUND, "document not found"),
    errors.GenerationNotFound: Kind(HTTPStatus.NOT_FOUND, "generation not found"),
    RouteNotFound: Kind(HTTPStatus.NOT_FOUND, "no such endpoint"),
    MethodNotAllowed: Kind(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed"),
    errors.CollectionConflict: Kind(HTTPStatus.CONFLICT, "collection exists with other settings"),
    errors.GenerationNotReady: Kind(HTTPStatus.CONFLICT, "generation not verified"),
    errors.MoveUnderWay: Kind(HTTPStatus.CONFLICT, "another move is under way"),
    errors.TooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "larger than a limit allows"),
    UnsupportedMediaType: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported media type"),
    errors.DataDirInUse: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "data directory in use", _HIDDEN),
    errors.ModelDamaged: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "model files damaged", _HIDDEN),
    errors.ModelUnreachable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "model weights out of reach", _HIDDEN, 10),
    errors.IndexDamaged: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "index damaged", _HIDDEN),
    errors.IndexMissing: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "index missing", _HIDDEN),
    errors.EngineUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "engine unavailable", _HIDDEN),
    errors.EmbedderUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "embedder unavailable", _HIDDEN),
    errors.RerankerUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "reranker unavailable", _HIDDEN),
    errors.StoreUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "store unavailable", _HIDDEN),
    errors.DiskFull: Kind(HTTPStatus.INSUFFICIENT_STORAGE, "disk full", _HIDDEN, 60),
    errors.IndexLagging: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "index still catching up"),
    errors.TimedOut: Kind(HTTPStatus.GATEWAY_TIMEOUT, "timed out"),
    errors.Overloaded: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded"),
    errors.ShuttingDown: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "shutting down", retry_after_s=5),
}
"""The one table. Every error class the API can meet has its own line; a subclass never borrows its parent's."""

_INTERNAL: Final = STATUS[NearfieldError]


async def answer_problem(_: Request, exc: Exception) -> Response:
    """The one handler: any exception to its answer. Logs what the caller is not told, with the request id."""
    return problem(exc)


def problem(exc: Exception, **more: Any) -> Response:
    """The answer to an error: `{type, title, status, code, detail, field, request_id}` and any `more` members.

    An exception that is none of ours is a defect: 500, without its text, which is logged.
    """
    if isinstance(exc, ClientDisconnect):
        log.info("client went away before its request was read")
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    kind, body = problem_json(exc)
    headers = {"Content-Type": MEDIA_TYPE}
    error = translated(exc)
    if error is not None and error.retryable:
        told = error.retry_after_s if isinstance(error, errors.Overloaded) else kind.retry_after_s
        headers["Retry-After"] = str(told)
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(_dumps(body | more), kind.status, headers)


def problem_json(exc: Exception) -> tuple[Kind, dict[str, Any]]:
    """How an exception is answered, and the answer's body. What the caller is not told is logged."""
    error = translated(exc)
    kind = _INTERNAL if error is None else STATUS.get(type(error), _INTERNAL)
    if error is None or not kind.told:
        if isinstance(error, errors.EngineUnavailable):  # every search meets it while a server is down
            log.error("%s: %s", kind.title, error, extra={"status": kind.status.value})
        else:
            log.error(kind.title, exc_info=exc, extra={"status": kind.status.value})
    code = NearfieldError.code if error is None else error.code
    return kind, {
        "type": f"urn:nearfield:error:{code}",
        "title": kind.title,
        "status": kind.status.value,
        "code": code,
        "detail": str(error) if error is not None and kind.told else f"{kind.title}; the log has it by request_id",
        "field": error.field if error is not None and kind.told else None,
        "request_id": request_id.get(),
    }


def translated(exc: Exception) -> NearfieldError | None:
    """The error of ours that an exception means: itself, or what the framework's own errors say; None for a defect."""
    match exc:
        case NearfieldError():
            return exc
        case RequestValidationError():
            return _refused(exc)
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return RouteNotFound("no endpoint at this path; /openapi.json lists them all")
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            return MethodNotAllowed("this endpoint does not know the method; the Allow header lists those it knows")
        case HTTPException():
            return errors.InvalidRequest(str(exc.detail).lower())
    return None


def _refused(exc: RequestValidationError) -> NearfieldError:
    """The first part of the request that a model refused, told as we tell it, and the names of the other parts.

    A union is refused once per branch: the branch that got furthest into the value is the one that was meant.
    """
    parts: dict[object, list[Mapping[str, Any]]] = {}
    for each in exc.errors():
        parts.setdefault(each["loc"][1:2], []).append(each)
    first, *others = parts.values()
    meant = max(first, key=lambda each: len(each["loc"]))
    field = _field(meant["loc"])
    detail = _told(meant, field)
    if others:
        detail += f" (also at fault: {', '.join(str(_field(each[0]['loc'])) for each in others[:5])})"
    return errors.InvalidRequest(detail, field=field)


def _told(found: Mapping[str, Any], field: str | None) -> str:
    match found["type"]:
        case "extra_forbidden":
            return f"unknown field {found['loc'][-1]!r}"
        case "missing" if field is None:
            return "the request has no body; expected a JSON object"
        case "missing":
            return f"{field} is missing"
    message = str(found["msg"]).removeprefix("Value error, ")
    return f"{field or 'body'}: {message[:1].lower()}{message[1:]}"


def _field(loc: tuple[str | int, ...]) -> str | None:
    """`("body", "ids", 3)` → `ids[3]`. What names a branch of a union, `list[str]`, is left out."""
    path = ""
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "int", "float", "bool", "list", "dict"):
            path += f".{part}" if path else part
    return path or None


def _dumps(body: dict[str, Any]) -> bytes:
    """JSON even where the request put a lone surrogate or another thing JSON cannot hold into a message."""
    try:
        return orjson.dumps(body, default=str)
    except orjson.JSONEncodeError:
        safe = {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in body.items()}
        return orjson.dumps(safe, default=str)
