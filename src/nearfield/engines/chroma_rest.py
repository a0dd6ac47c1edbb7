"""Chroma's server by its REST interface, version 2: requests, and what their answers mean.

The vendor's own client is not used for it: it waits for ever, and its errors do not tell a server that is busy from one
that refuses.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.errors import IndexMissing, NearfieldError
from nearfield.engines.calls import Calls, Fault, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

T = TypeVar("T")
_PASSING: Final = frozenset({408, 425, 429})
_SAID: Final = 300
_LONG_S: Final = 60.0
"""Of a write or of a list of every id: the server takes in some 2,000 rows a second, more slowly when it is busy."""
_TAKES_LONG: Final = frozenset({"upsert", "delete", "get"})


class _Refused(Exception):
    def __init__(self, status: int, said: str, wait_s: float | None) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status, self.wait_s = status, wait_s


class _Garbage(Exception):
    """An answer that is not what the interface promises."""


class ChromaServer:
    """One database of a server. Connects when first asked."""

    def __init__(self, url: str, *, tenant: str, database: str, key: str | None, timeout_s: float = 10.0) -> None:
        self._collections = f"{url}/api/v2/tenants/{tenant}/databases/{database}/collections"
        self._headers = {"Content-Type": "application/json", "User-Agent": "nearfield"}
        if key is not None:
            self._headers |= {"x-chroma-token": key, "Authorization": f"Bearer {key}"}
        self._key = key
        self._client: httpx2.AsyncClient | None = None
        self._calls = Calls("chroma", self._meaning, timeout_s=timeout_s)
        self._timeout_s = timeout_s

    async def create(self, name: str, metadata: Mapping[str, Any], configuration: Mapping[str, Any]) -> str:
        """Make a collection; its id. One of that name that is there, from an earlier try, is taken."""
        body = {"name": name, "metadata": metadata, "configuration": configuration, "get_or_create": True}
        return await self._ask("making an index", "POST", "", lambda made: str(made["id"]), body)

    async def find(self, name: str) -> tuple[str, Mapping[str, Any]]:
        """A collection's id and metadata. Raises IndexMissing."""

        def read(found: Any) -> tuple[str, Mapping[str, Any]]:
            return str(found["id"]), dict(found["metadata"] or {})

        return await self._ask("opening an index", "GET", f"/{name}", read)

    async def remove(self, name: str) -> None:
        """Remove a collection. Raises IndexMissing."""
        await self._ask("dropping an index", "DELETE", f"/{name}", lambda _: None)

    async def call(
        self, doing: str, collection: str, verb: str, body: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T:
        """Do to a collection, by its id, what its methods of the same names do, and read the answer.

        read: may raise KeyError, IndexError, TypeError or ValueError, which mean an answer that makes no sense.
        """
        if verb == "count":
            return await self._ask(doing, "GET", f"/{collection}/count", read)
        return await self._ask(doing, "POST", f"/{collection}/{verb}", read, body, long=verb in _TAKES_LONG)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(
        self,
        doing: str,
        method: str,
        path: str,
        read: Callable[[Any], T],
        body: Mapping[str, Any] | None = None,
        *,
        long: bool = False,
    ) -> T:
        content = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)

        async def once() -> T:
            client = await self._connected()
            answer = await client.request(method, self._collections + path, content=content)
            if not answer.is_success:
                said = _message(answer.content)
                said = said if self._key is None else said.replace(self._key, "***")
                raise _Refused(answer.status_code, said, retry_after_s(answer.headers.get("retry-after")))
            try:
                return read(orjson.loads(answer.content))
            except (KeyError, IndexError, TypeError, ValueError) as exc:
                raise _Garbage(f"an answer that makes no sense: {answer.text[:80]!r}") from exc

        return await self._calls.run(doing, once, timeout_s=max(_LONG_S, self._timeout_s) if long else None)

    async def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2  # noqa: PLC0415

            # certificates are read from disk; `Calls` keeps the time
            made = await asyncio.to_thread(httpx2.AsyncClient, headers=self._headers, timeout=None)
            if self._client is None:
                self._client = made
            else:
                await made.aclose()
        return self._client

    def _meaning(self, exc: Exception) -> Fault | NearfieldError:
        import httpx2  # noqa: PLC0415

        match exc:
            case _Refused(status=404):
                return IndexMissing(f"engine chroma: {exc}; it has to be rebuilt from the store")
            case _Refused(status=401 | 403):
                fix = 'check the key given as NEARFIELD_ENGINE_KEYS=\'{"chroma": "..."}\''
                return Fault(f"{exc}; {fix}", passing=False)
            case _Refused(status=status):
                return Fault(str(exc), passing=status in _PASSING or status >= 500, wait_s=exc.wait_s)
            case _Garbage():
                return Fault(str(exc), passing=True)
            case httpx2.HTTPError() | httpx2.InvalidURL():
                lasting = isinstance(exc, httpx2.InvalidURL | httpx2.UnsupportedProtocol)
                return Fault(f"{type(exc).__name__}: {exc}", passing=not lasting)
        raise exc


def _message(content: bytes) -> str:
    """The server's own words."""
    try:
        said = orjson.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        said = content.decode(errors="replace")
    return str(said).strip()[:_SAID]
