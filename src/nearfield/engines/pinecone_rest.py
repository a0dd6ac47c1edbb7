"""Pinecone's REST interface: requests, what their answers mean, and what is wrong when there is none.

Written against the published description of version 2026-04. The vendor's own client is not used: it would bring 8 MB
of gRPC for ten requests, and it hides the headers that tell when a write can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.servers import key_setting
from nearfield.engines.http import SAID, Garbage, HttpServer, sense_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

T = TypeVar("T")

VERSION: Final = "2026-04"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was expected. body: {} where there is none.

    written: the number this write has in its namespace's log. indexed: the number up to which what was read is
    current. Both from headers, None where the server does not send them (dedicated read nodes do not).
    """

    status: int
    body: dict[str, Any]
    written: int | None = None
    indexed: int | None = None


class Unfinished(Garbage):
    """An answer that says that a part of what was asked was not done."""


class Rest:
    """Asks one Pinecone project. Made without connecting; its connections are of the loop that first asks."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 10.0) -> None:
        """url: of the control plane. timeout_s: of one try."""
        self._url, self._scheme = url, url.partition("://")[0]
        headers = {
            "Api-Key": key,
            "X-Pinecone-Api-Version": VERSION,
            "Content-Type": "application/json",
            "User-Agent": "nearfield",
        }
        wrong_key = f"check the key given as {key_setting('pinecone')} and what it may do"
        self._server = HttpServer(
            "pinecone", headers, key=key, wrong_key=wrong_key, message=_message, timeout_s=timeout_s
        )

    def data_plane(self, host: object) -> str:
        """The URL of an index's host, which the control plane names without a scheme: it is spoken to as that is."""
        if not isinstance(host, str) or not host:
            raise Garbage(f"an index without a host: {host!r}")
        return host if "://" in host else f"{self._scheme}://{host}"

    async def ask(
        self,
        doing: str,
        method: str,
        path: str,
        read: Callable[[Reply], T],
        *,
        host: str | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        params: Mapping[str, Any] | None = None,
        expected: Collection[int] = (),
        timeout_s: float | None = None,
    ) -> T:
        """Ask until it is answered, and read the answer.

        doing: for errors. host: of `data_plane`, None for the control plane. read: may raise KeyError, TypeError or
        ValueError, which mean an answer that makes no sense. expected: refusals that are answers too. timeout_s: of
        one try, where it takes long by its nature.
        Raises IndexMissing for what is not there, EngineUnavailable.
        """
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)

        async def once() -> T:
            reply = await self._send(method, (host or self._url) + path, content, params, expected)
            return sense_of(read, reply, reply.body)

        return await self._server.calls.run(doing, once, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connections; they are opened again when next needed."""
        await self._server.close()

    async def _send(
        self, method: str, url: str, content: bytes | None, params: Mapping[str, Any] | None, expected: Collection[int]
    ) -> Reply:
        answer = await self._server.send(method, url, content, params=params, expected=expected)
        try:
            body = orjson.loads(answer.content) if answer.is_success and answer.content else {}
        except ValueError as exc:
            raise Garbage(f"an answer that is no JSON: {answer.text[:80]!r}") from exc
        if not isinstance(body, dict):
            raise Garbage(f"an answer that is no JSON object: {answer.text[:80]!r}")
        numbers = (answer.headers.get(f"x-pinecone-{name}-lsn", "") for name in ("request", "max-indexed"))
        written, indexed = (int(number) if number.isdecimal() else None for number in numbers)
        return Reply(answer.status_code, body, written, indexed)


def _message(content: bytes) -> str:
    """The server's own words, from either plane's way to say them."""
    try:
        told = orjson.loads(content)
        told = told.get("error", told) if isinstance(told, dict) else told
        said = told["message"] if isinstance(told, dict) else told
    except (ValueError, KeyError):
        said = content.decode(errors="replace")
    return str(said).strip()[:SAID]
