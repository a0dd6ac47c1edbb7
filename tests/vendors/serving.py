"""Runs a stand-in for a vendor's server on a port of this machine, holds each exchange against the vendor's contract,
and makes trouble on request."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import uvicorn
from tests.vendors.schema import Answer, Contract, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

START_S: Final = 20.0


@dataclass(slots=True)
class Trouble:
    """What is to go wrong with requests whose method and path begin as `on` says, `times` times.

    status: answered in place of the real answer, with `headers` and `body`. delay_s: waited before anything else.
    cut: the connection ends in the middle of the answer. after: whether the request takes effect all the same.
    """

    on: str = ""
    times: int = 1_000_000
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    cut: bool = False
    after: bool = False


class Watched:
    """An ASGI application with a watch before it.

    forgiven: what a contract is known to say wrongly of the vendor's own server, as regular expressions.
    wrong: what else the contract did not allow, request or answer; a test is to end with it empty. seen: every request.
    troubles: asked in order, the first that fits is made.
    """

    def __init__(self, app: ASGIApp, contract: Contract | None, *, forgiven: Sequence[str] = ()) -> None:
        self._app, self._contract = app, contract
        self._forgiven = [re.compile(pattern) for pattern in forgiven]
        self.wrong: list[str] = []
        self.seen: list[Request] = []
        self.troubles: list[Trouble] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        self.seen.append(request)
        if self._contract is not None:
            self._note(self._contract.wrong_request(request))
        trouble = self._next_trouble(request)
        if trouble is not None and trouble.delay_s:
            await asyncio.sleep(trouble.delay_s)
        if trouble is None or trouble.after or (trouble.status is None and not trouble.cut):
            answer = await self._ask(scope, body)
            if self._contract is not None:
                self._note(self._contract.wrong_answer(request, answer))
        else:
            answer = Answer(200)
        if trouble is not None and trouble.status is not None:
            answer = Answer(trouble.status, dict(trouble.headers), trouble.body)
        await _send(send, answer, cut=trouble is not None and trouble.cut)

    def _note(self, told: list[str]) -> None:
        self.wrong += [wrong for wrong in told if not any(pattern.search(wrong) for pattern in self._forgiven)]

    def _next_trouble(self, request: Request) -> Trouble | None:
        asked = f"{request.method} {request.path}"
        for trouble in self.troubles:
            if trouble.times > 0 and (asked.startswith(trouble.on) or request.path.endswith(trouble.on)):
                trouble.times -= 1
                return trouble
        return None

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        start: Message = {}
        parts: list[bytes] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in start.get("headers", [])}
        return Answer(start["status"], headers, b"".join(parts))


async def _send(send: Send, answer: Answer, *, cut: bool) -> None:
    headers = {**answer.headers, "content-length": str(len(answer.body) + (10 if cut else 0))}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if cut:
        raise ConnectionAbortedError("cut, as the test asked")
    await send({"type": "http.response.body", "body": answer.body})


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The URL of an application that runs in a thread with a loop of its own, until the block ends."""
    place = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", ws="none", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([place])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)
        place.close()
