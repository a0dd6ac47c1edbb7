"""The REST interface of Vertex AI Vector Search 2.0: requests, what their answers mean, and operations that take long.

Written against version 1 as the vendor's protocol buffers describe it. The vendor's own client is not used: it would
bring gRPC for a dozen requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.servers import key_setting
from nearfield.engines.calls import retry_after_s
from nearfield.engines.http import SAID, Garbage, HttpServer, Refused, sense_of
from nearfield.engines.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nearfield.engines.vertex_auth import Tokens

T = TypeVar("T")

OK: Final = "OK"
NOT_FOUND: Final = "NOT_FOUND"
ALREADY_EXISTS: Final = "ALREADY_EXISTS"
INVALID_ARGUMENT: Final = "INVALID_ARGUMENT"
FAILED_PRECONDITION: Final = "FAILED_PRECONDITION"
LONGEST_LOOK_S: Final = 2.0
"""Between two looks at something that takes long."""
_ABORTED: Final = "ABORTED"

_REFUSALS: Final = range(300, 600)
_BY_STATUS: Final = {400: INVALID_ARGUMENT, 404: NOT_FOUND, 409: ALREADY_EXISTS}  # where the body does not say it


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was expected. code: of google.rpc.Code, OK or one of those expected. body: of OK, else {}."""

    code: str
    body: dict[str, Any]
    said: str = ""


class Contended(Garbage):
    """A request that lost against another one and may be sent again."""


class Rest:
    """Asks one location of one project. Made without connecting; its connections are of the loop that first asks."""

    def __init__(self, url: str, project: str, location: str, tokens: Tokens, *, timeout_s: float = 10.0) -> None:
        """url: of the service, without a version. timeout_s: of one try."""
        self._root = f"{url}/v1/"
        self.parent = f"projects/{project}/locations/{location}"
        headers = {"Content-Type": "application/json", "User-Agent": "nearfield"}
        wrong_key = f"check the service account given as {key_setting('vertex', 'PATH')} and what it may do"
        self._server = HttpServer(
            "vertex", headers, key=None, wrong_key=wrong_key, message=_message, timeout_s=timeout_s, auth=tokens
        )

    async def ask(
        self,
        doing: str,
        method: str,
        path: str,
        read: Callable[[Reply], T],
        *,
        body: Mapping[str, Any] | bytes | None = None,
        params: Mapping[str, Any] | None = None,
        expected: Collection[str] = (),
        timeout_s: float | None = None,
    ) -> T:
        """Ask until it is answered, and read the answer.

        doing: for errors. path: a resource's name, with what is asked of it. read: may raise KeyError, TypeError or
        ValueError, which mean an answer that makes no sense. expected: refusals that are answers too. timeout_s:
        of one try, where it takes long by its nature.
        Raises IndexMissing for what is not there, EngineUnavailable.
        """
        content = body if isinstance(body, bytes) or body is None else encoded(body)

        async def once() -> T:
            reply = await self._send(method, self._root + path, content, params, expected)
            return sense_of(read, reply, reply.body)

        return await self._server.calls.run(doing, once, timeout_s=timeout_s)

    async def finish(self, doing: str, operation: Mapping[str, Any], *, patience_s: float) -> None:
        """Wait until an operation that takes long is done.

        operation: as the request that started it answered. Raises EngineUnavailable where it failed, or is not done in
        time.
        """
        held = dict(operation)

        async def done() -> bool:
            nonlocal held
            if held.get("done") is not True:
                held = await self.ask(doing, "GET", self._named(held), _operation, expected={NOT_FOUND})
            return held.get("done") is True

        await until("vertex", done, f"{doing} is done", patience_s=patience_s, longest_pause_s=LONGEST_LOOK_S)
        error = held.get("error")
        if error:
            said = error.get("message") if isinstance(error, dict) else error
            raise EngineUnavailable(f"engine vertex, {doing}: {str(said)[:SAID]}")

    async def close(self) -> None:
        """Close the connections; they are opened again when next needed."""
        await self._server.close()

    def _named(self, operation: Mapping[str, Any]) -> str:
        name = operation.get("name")
        if not isinstance(name, str) or not name.startswith("projects/") or "?" in name or ".." in name:
            raise EngineUnavailable(f"engine vertex: an operation called {str(name)[:SAID]!r}")
        return name

    async def _send(
        self, method: str, url: str, content: bytes | None, params: Mapping[str, Any] | None, expected: Collection[str]
    ) -> Reply:
        answer = await self._server.send(method, url, content, params=params, expected=_REFUSALS)
        if answer.is_success:
            return Reply(OK, _object(answer.content))
        error = _error(answer.content)
        code, said = str(error.get("status") or _BY_STATUS.get(answer.status_code, "")), _message(answer.content)
        if code in expected:
            return Reply(code, {}, said)
        if code == _ABORTED:
            raise Contended(f"HTTP {answer.status_code} {code}: {said}")
        wait_s = retry_after_s(answer.headers.get("retry-after"))
        raise Refused(answer.status_code, said, _retry_delay_s(error) if wait_s is None else wait_s)


def encoded(body: Mapping[str, Any]) -> bytes:
    """A request's body, arrays of numbers included."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _operation(reply: Reply) -> dict[str, Any]:
    """What is known of an operation; one that is forgotten is done."""
    return {"done": True} if reply.code == NOT_FOUND else reply.body


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(content) if content else {}
    except ValueError as exc:
        raise Garbage(f"an answer that is no JSON: {content[:80]!r}") from exc
    if not isinstance(body, dict):
        raise Garbage(f"an answer that is no JSON object: {content[:80]!r}")
    return body


def _error(content: bytes) -> dict[str, Any]:
    """The google.rpc.Status of a refusal, {} where it holds none."""
    try:
        told = orjson.loads(content)
    except ValueError:
        return {}
    error = told.get("error") if isinstance(told, dict) else None
    return error if isinstance(error, dict) else {}


def _message(content: bytes) -> str:
    """The server's own words."""
    said = _error(content).get("message") or content.decode(errors="replace")
    return str(said).strip()[:SAID]


def _retry_delay_s(error: Mapping[str, Any]) -> float | None:
    """The seconds of a google.rpc.RetryInfo, None where there is none."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return retry_after_s(delay.removesuffix("s"))
    return None
