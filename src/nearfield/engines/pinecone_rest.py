"""Pinecone's REST interface: requests, what their answers mean, and what is wrong when there is none.

Written against the published description of version 2026-04. The vendor's own client is not used: it would bring 8 MB
of gRPC for ten requests, and it hides the headers that tell when a write can be seen.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.errors import IndexMissing, NearfieldError
from nearfield.engines.calls import Calls, Fault, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import httpx2

T = TypeVar("T")

VERSION: Final = "2026-04"
_PASSING: Final = frozenset({408, 425, 429})
_SAID: Final = 300  # characters of the server's own words that go into an error


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


class _Refused(Exception):
    """An answer that was not expected."""

    def __init__(self, status: int, said: str, wait_s: float | None) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status, self.wait_s = status, wait_s


class Garbage(Exception):
    """An answer that is not what the description promises."""


class Unfinished(Exception):
    """An answer that says that a part of what was asked was not done."""


class Rest:
    """Asks one Pinecone project. Made without connecting; its connections are of the loop that first asks."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 10.0) -> None:
        """url: of the control plane. timeout_s: of one try."""
        self._url, self._key = url, key
        self._scheme = url.partition("://")[0]
        self._client: httpx2.AsyncClient | None = None
        self._calls = Calls("pinecone", self._meaning, timeout_s=timeout_s)

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
            try:
                return read(reply)
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                raise Garbage(
                    f"an answer that makes no sense ({type(exc).__name__}): {str(reply.body)[:_SAID]}"
                ) from exc

        return await self._calls.run(doing, once, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connections; they are opened again when next needed."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _send(
        self, method: str, url: str, content: bytes | None, params: Mapping[str, Any] | None, expected: Collection[int]
    ) -> Reply:
        client = await self._connected()
        answer = await client.request(method, url, content=content, params=params)
        if not answer.is_success and answer.status_code not in expected:
            said = _message(answer.content).replace(self._key, "***")
            raise _Refused(answer.status_code, said, retry_after_s(answer.headers.get("retry-after")))
        try:
            body = orjson.loads(answer.content) if answer.is_success and answer.content else {}
        except ValueError as exc:
            raise Garbage(f"an answer that is no JSON: {answer.text[:80]!r}") from exc
        if not isinstance(body, dict):
            raise Garbage(f"an answer that is no JSON object: {answer.text[:80]!r}")
        numbers = (answer.headers.get(f"x-pinecone-{name}-lsn", "") for name in ("request", "max-indexed"))
        written, indexed = (int(number) if number.isdecimal() else None for number in numbers)
        return Reply(answer.status_code, body, written, indexed)

    async def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2  # noqa: PLC0415

            headers = {
                "Api-Key": self._key,
                "X-Pinecone-Api-Version": VERSION,
                "Content-Type": "application/json",
                "User-Agent": "nearfield",
            }
            # certificates are read from disk; `Calls` keeps the time
            made = await asyncio.to_thread(httpx2.AsyncClient, headers=headers, timeout=None)
            if self._client is None:
                self._client = made
            else:
                await made.aclose()
        return self._client

    def _meaning(self, exc: Exception) -> Fault | NearfieldError:
        import httpx2  # noqa: PLC0415

        match exc:
            case _Refused(status=404):
                return IndexMissing(f"engine pinecone: {exc}; it has to be rebuilt from the store")
            case _Refused(status=401 | 403):
                fix = 'check the key given as NEARFIELD_ENGINE_KEYS=\'{"pinecone": "..."}\' and what it may do'
                return Fault(f"{exc}; {fix}", passing=False)
            case _Refused(status=status):
                return Fault(str(exc), passing=status in _PASSING or status >= 500, wait_s=exc.wait_s)
            case Unfinished() | Garbage():
                return Fault(str(exc), passing=True)
            case httpx2.HTTPError() | httpx2.InvalidURL():
                lasting = isinstance(exc, httpx2.InvalidURL | httpx2.UnsupportedProtocol)
                return Fault(f"{type(exc).__name__}: {exc}", passing=not lasting)
        raise exc


def _message(content: bytes) -> str:
    """The server's own words, from either plane's way to say them."""
    try:
        told = orjson.loads(content)
        told = told.get("error", told) if isinstance(told, dict) else told
        said = told["message"] if isinstance(told, dict) else told
    except (ValueError, KeyError):
        said = content.decode(errors="replace")
    return str(said).strip()[:_SAID]
