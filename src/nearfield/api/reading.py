"""How a request's body and parameters are read, and how an answer is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from nearfield.api.limits import METER
from nearfield.api.problems import InvalidJson, UnsupportedMediaType
from nearfield.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

IN_THREAD_BYTES: Final = 256 * 1024
"""A body of more bytes is parsed in a thread: at some 300 MB/s the event loop would feel it."""

NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)


class JsonRequest(Request):
    """A request whose JSON is read by orjson, off the event loop when it is large."""

    @classmethod
    def of(cls, given: Request) -> JsonRequest:
        """The same request; what was read of it already is kept."""
        return given if isinstance(given, cls) else cls(given.scope, given.receive, given._send)

    async def json(self) -> Any:
        """The decoded body. Raises InvalidJson with the place of the fault, TooLarge."""
        if not hasattr(self, "_json"):
            self._json = await parse_json(await self.body())
        return self._json

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, lower case; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether the body calls itself JSON, `application/json` or any `+json`."""
        return self.media_type == "application/json" or self.media_type.endswith("+json")


class JsonRoute(APIRoute):
    """A route that refuses query parameters it does not know, and reads its body as a JsonRequest does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = frozenset(each.alias for each in self.dependant.query_params)
        wants_model = self.body_field is not None

        async def read_then_handle(given: Request) -> Response:
            request = JsonRequest.of(given)
            for name in request.query_params:
                if name not in known:
                    raise InvalidRequest(f"unknown query parameter {name!r}{_known(known)}", field=name)
            if wants_model:
                # Read here: an error raised while FastAPI reads the body would become its own, without our text.
                if not request.is_json:
                    raise not_json(request, "application/json")
                await request.json()
            return await handle(request)

        return read_then_handle


def not_json(request: JsonRequest, wanted: str) -> UnsupportedMediaType:
    """The refusal of a body that calls itself something else than `wanted`."""
    given = request.media_type or "absent"
    return UnsupportedMediaType(f"content-type is {given}; expected {wanted}", field="content-type")


async def parse_json(raw: bytes) -> Any:
    """Decode JSON, in a thread when it is large. Raises InvalidJson."""
    return await asyncio.to_thread(_loads, raw) if len(raw) > IN_THREAD_BYTES else _loads(raw)


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidJson(f"body is not JSON: {str(exc).lower()}" if raw else "the request has no body") from exc


async def json_response(content: Any, *, status: int = 200, large: bool = False) -> Response:
    """An answer as JSON. `large` says that writing it may take milliseconds: it is then written in a thread."""
    raw = await asyncio.to_thread(json_bytes, content) if large else json_bytes(content)
    return Response(raw, status, media_type="application/json")


def json_bytes(content: Any) -> bytes:
    """JSON of plain objects, mappings and arrays."""
    return orjson.dumps(content, default=dict, option=orjson.OPT_SERIALIZE_NUMPY)


async def line_batches(request: JsonRequest, *, max_line_bytes: int, batch_bytes: int) -> AsyncIterator[LineBatch]:
    """The body's lines as they arrive, in batches of about `batch_bytes`, the body's length being no matter.

    Holds at most one batch and one unfinished line. A line over `max_line_bytes` is passed on as None.
    """
    request.scope[METER].lift()
    cutter = _LineCutter(max_line_bytes)
    batch = LineBatch(1)
    async for piece in request.stream():
        batch.extend(cutter.cut(piece))
        if batch.size >= batch_bytes:
            yield batch
            batch = LineBatch(batch.first + len(batch.lines))
    batch.extend(cutter.rest())
    if batch.lines:
        yield batch


class LineBatch:
    """Consecutive lines. first: the 1-based number of the first. A line that was too long is None. size: bytes."""

    __slots__ = ("first", "lines", "size")

    def __init__(self, first: int) -> None:
        self.first = first
        self.lines: list[bytes | None] = []
        self.size = 0

    def extend(self, lines: Iterator[bytes | None]) -> None:
        for line in lines:
            self.lines.append(line)
            self.size += 64 + len(line or b"")  # 64: what an empty line costs in memory


class _LineCutter:
    """Cuts pieces of any size at line feeds, and throws away what is over the limit while it arrives."""

    __slots__ = ("_length", "_max", "_parts")

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._parts: list[bytes] = []
        self._length = 0

    def cut(self, piece: bytes) -> Iterator[bytes | None]:
        """The lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._take()
        self._add(rest)

    def rest(self) -> Iterator[bytes | None]:
        """The last line, when the body does not end in a line feed."""
        if self._length:
            yield self._take()

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > self._max:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _take(self) -> bytes | None:
        line = None if self._length > self._max else b"".join(self._parts)
        self._parts, self._length = [], 0
        return line


def _known(names: frozenset[str]) -> str:
    return f"; known: {', '.join(sorted(names))}" if names else "; this endpoint takes none"
