"""How much one request may ask: bytes of body, hits, documents at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nearfield.settings import Settings

METER: Final = "nearfield.body_meter"  # where a request's meter lies in its scope


class BodyMeter:
    """Counts the bytes of one body as they arrive, and refuses what is over the limit, announced or not."""

    __slots__ = ("_announced", "_limit", "_receive", "_seen")

    def __init__(self, receive: Receive, announced: int, limit: int) -> None:
        self._receive = receive
        self._announced = announced
        self._limit: int | None = limit
        self._seen = 0

    def lift(self) -> None:
        """Let any number of bytes pass: for a reader that keeps none of them."""
        self._limit = None

    async def receive(self) -> Message:
        """The next ASGI message. Raises TooLarge before a byte is read where the announced length is over the limit."""
        if self._limit is not None and self._announced > self._limit:
            raise _too_large(self._announced, self._limit)
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._limit is not None and self._seen > self._limit:
                raise _too_large(self._seen, self._limit)
        return message


class BodyLimit:
    """ASGI middleware: puts a BodyMeter between the server and whoever reads the body."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meter = BodyMeter(receive, _announced(scope), self._max_bytes)
        scope[METER] = meter
        await self._app(scope, meter.receive, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _too_large(given: int, limit: int) -> TooLarge:
    return TooLarge(
        f"body has {given} bytes or more; at most {limit} are read (NEARFIELD_MAX_BODY_BYTES). "
        "Many documents go in as a stream of lines: content-type application/x-ndjson"
    )


def check_window(limit: int, offset: int, settings: Settings) -> None:
    """Raise InvalidRequest unless 1 <= limit <= max_limit and 0 <= offset <= max_offset."""
    if not 1 <= limit <= settings.max_limit:
        raise InvalidRequest(f"limit is {limit}; expected 1 to {settings.max_limit}", field="limit")
    if not 0 <= offset <= settings.max_offset:
        raise InvalidRequest(f"offset is {offset}; expected 0 to {settings.max_offset}", field="offset")


def check_length(count: int, limit: int, what: str, setting: str, *, field: str | None = None) -> None:
    """Raise TooLarge when there are more than `limit` of something."""
    if count > limit:
        raise TooLarge(f"{count} {what}; at most {limit} are taken at once ({setting})", field=field)
