"""Chroma's server by its REST interface, version 2: requests, and what their answers mean.

The vendor's own client is not used for it: it waits for ever, and its errors do not tell a server that is busy from one
that refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.servers import key_setting
from nearfield.engines.http import SAID, Garbage, HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
_LONG_S: Final = 60.0
"""Of a write or of a list of every id: the server takes in some 2,000 rows a second, more slowly when it is busy."""
_TAKES_LONG: Final = frozenset({"upsert", "delete", "get"})


class ChromaServer:
    """One database of a server. Connects when first asked."""

    def __init__(self, url: str, *, tenant: str, database: str, key: str | None, timeout_s: float = 10.0) -> None:
        self._collections = f"{url}/api/v2/tenants/{tenant}/databases/{database}/collections"
        headers = {"Content-Type": "application/json", "User-Agent": "nearfield"}
        if key is not None:
            headers |= {"x-chroma-token": key, "Authorization": f"Bearer {key}"}
        wrong_key = f"check the key given as {key_setting('chroma')}"
        self._server = HttpServer(
            "chroma", headers, key=key, wrong_key=wrong_key, message=_message, timeout_s=timeout_s
        )
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
        await self._server.close()

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
            answer = await self._server.send(method, self._collections + path, content)
            try:
                return read(orjson.loads(answer.content))
            except (KeyError, IndexError, TypeError, ValueError) as exc:
                raise Garbage(f"an answer that makes no sense: {answer.text[:80]!r}") from exc

        return await self._server.calls.run(doing, once, timeout_s=max(_LONG_S, self._timeout_s) if long else None)


def _message(content: bytes) -> str:
    """The server's own words."""
    try:
        said = orjson.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        said = content.decode(errors="replace")
    return str(said).strip()[:SAID]
