"""A server asked over plain HTTP: its connections, and what it means when there is no answer to use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nearfield.domain.errors import IndexMissing, NearfieldError
from nearfield.domain.servers import may_pass
from nearfield.engines.calls import Calls, Fault, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import httpx2

R = TypeVar("R")
T = TypeVar("T")

SAID: Final = 300
"""Characters of a server's own words that go into an error."""


class Refused(Exception):
    """An answer with a status that was not expected."""

    def __init__(self, status: int, said: str, wait_s: float | None) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status, self.wait_s = status, wait_s


class Garbage(Exception):
    """An answer that is not what the interface promises."""


def sense_of(read: Callable[[R], T], reply: R, body: object) -> T:
    """What `read` makes of a reply, whose body is shown where it makes no sense. Raises Garbage then."""
    try:
        return read(reply)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Garbage(f"an answer that makes no sense ({type(exc).__name__}): {str(body)[:SAID]}") from exc


class HttpServer:
    """One server. Made without connecting; its connections are of the loop that first asks."""

    def __init__(
        self,
        engine: str,
        headers: Mapping[str, str],
        *,
        key: str | None,
        wrong_key: str,
        message: Callable[[bytes], str],
        timeout_s: float,
        auth: httpx2.Auth | None = None,
    ) -> None:
        """engine: its name, for errors. key: kept out of errors. wrong_key: what to do where it is refused.

        message: the server's own words in a refusal's body. timeout_s: of one try. auth: what is added to each request
        where that is not the same for all.
        """
        self._engine, self._headers, self._key = engine, headers, key
        self._wrong_key, self._message, self._auth = wrong_key, message, auth
        self._client: httpx2.AsyncClient | None = None
        self.calls = Calls(engine, self._meaning, timeout_s=timeout_s)
        """To run `send` in, with the reading of its answer: there each of their exceptions gets its meaning."""

    async def send(
        self,
        method: str,
        url: str,
        content: bytes | None,
        *,
        params: Mapping[str, Any] | None = None,
        expected: Collection[int] = (),
    ) -> httpx2.Response:
        """One request, tried once. expected: refusals that are answers too. Raises Refused, and what httpx2 raises."""
        client = await self._connected()
        answer = await client.request(method, url, content=content, params=params)
        if not answer.is_success and answer.status_code not in expected:
            said = self._message(answer.content)
            said = said if self._key is None else said.replace(self._key, "***")
            raise Refused(answer.status_code, said, retry_after_s(answer.headers.get("retry-after")))
        return answer

    async def close(self) -> None:
        """Close the connections; they are opened again when next needed."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2  # noqa: PLC0415 - loaded by those who use a server

            # certificates are read from disk; `Calls` keeps the time
            made = await asyncio.to_thread(httpx2.AsyncClient, headers=self._headers, timeout=None, auth=self._auth)
            if self._client is None:
                self._client = made
            else:
                await made.aclose()
        return self._client

    def _meaning(self, exc: Exception) -> Fault | NearfieldError:
        import httpx2  # noqa: PLC0415

        match exc:
            case Refused(status=404):
                return IndexMissing(f"engine {self._engine}: {exc}; it has to be rebuilt from the store")
            case Refused(status=401 | 403):
                return Fault(f"{exc}; {self._wrong_key}", passing=False)
            case Refused(status=status):
                return Fault(str(exc), passing=may_pass(status), wait_s=exc.wait_s)
            case Garbage():
                return Fault(str(exc), passing=True)
            case httpx2.HTTPError() | httpx2.InvalidURL():
                lasting = isinstance(exc, httpx2.InvalidURL | httpx2.UnsupportedProtocol)
                return Fault(f"{type(exc).__name__}: {exc}", passing=not lasting)
        raise exc
