"""What surrounds every request: its id, its count, its log line, its metrics, and the answer when something raised."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from nearfield.api.problems import problem
from nearfield.domain.errors import ShuttingDown
from nearfield.observe import metrics
from nearfield.observe.logging import request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("nearfield.api")

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a bounded label
_ALWAYS: Final = frozenset({"/healthz", "/metrics"})  # answered while shutting down as well


class Traffic:
    """The requests in flight, and whether new ones are taken."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Count one request in."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """Count one request out."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    def close(self) -> None:
        """Take nothing new from now on: ShuttingDown is the answer. Idempotent."""
        self.closing = True

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no request is in flight. Returns whether that came within `timeout_s`."""
        _, waiting = await asyncio.wait([asyncio.ensure_future(self._idle.wait())], timeout=timeout_s)
        for each in waiting:
            each.cancel()
        return not waiting


class Gate:
    """The outermost ASGI middleware.

    A sane `X-Request-ID` (1 to 128 of letters, digits and `._:/+=-`) is taken over, else one is made; it is echoed in
    the answer and stands in every log line of the request. HEAD is served as GET without a body.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        token = request_id.set(exchange.id)
        self._traffic.enter()
        try:
            if self._traffic.closing and scope["path"] not in _ALWAYS:
                raise ShuttingDown("the service is shutting down and takes nothing new; try again shortly")
            await self._app(exchange.scope, receive, exchange.send)
        except Exception as exc:
            if exchange.status:  # too late for another answer: the server cuts the connection
                raise
            await problem(exc)(exchange.scope, receive, exchange.send)
        finally:
            self._traffic.leave()
            exchange.record()
            request_id.reset(token)


class _Exchange:
    """One request and its answer, as they pass."""

    __slots__ = ("_head", "_send", "_started", "id", "method", "scope", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._started = perf_counter()
        self._send = send
        self.method: str = scope["method"]
        self._head = self.method == "HEAD"
        self.scope: dict[str, Any] = {**scope, "method": "GET"} if self._head else dict(scope)
        self.id = _id_of(scope)
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    def record(self) -> None:
        """Count and log the exchange. An answer never begun, the client being gone, counts as 499."""
        seconds = perf_counter() - self._started
        route = getattr(self.scope.get("route"), "path", "none")
        status = self.status or 499
        method = self.method if self.method in _METHODS else "other"
        metrics.HTTP_REQUESTS.labels(method, route, str(status)).inc()
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
        if log.isEnabledFor(logging.INFO):
            log.info(
                "request",
                extra={
                    "method": self.method,
                    "path": self.scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                },
            )


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.match(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(16)
