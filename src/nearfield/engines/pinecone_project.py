"""Which Pinecone indexes and namespaces hold this installation's indexes.

A namespace for each of ours, in a Pinecone index for each dimension and metric. A Pinecone index for each of ours would
be worse in every respect: a project may have 5 to 200 of them, an index 100 to 100,000 namespaces; an index takes up to
a minute to be made, a namespace none; and either costs what is stored and read in it, nothing when empty.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from nearfield.domain.errors import InvalidSetting
from nearfield.domain.schema import Metric
from nearfield.engines.http import Garbage
from nearfield.engines.spec_file import spec_json
from nearfield.engines.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.engines.pinecone_rest import Reply, Rest
    from nearfield.protocols.engine import IndexSpec

LAYOUT: Final = 1
"""Of the records' metadata; another one is another index."""
METRICS: Final = {Metric.COSINE: "cosine", Metric.DOT: "dotproduct", Metric.EUCLIDEAN: "euclidean"}

_LONGEST_NAME: Final = 45
_INDEX_TIMEOUT_S: Final = 60.0  # of one request to make an index
_GONE: Final = frozenset({404})
_THERE: Final = frozenset({409})


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace. host: of `Rest.data_plane`."""

    host: str
    namespace: str


class Project:
    """The part of a Pinecone project that belongs to one installation."""

    def __init__(self, rest: Rest, prefix: str, *, cloud: str, region: str, patience_s: float) -> None:
        """patience_s: how long a thing may take to be made, or to be gone, before that is an error."""
        self._rest, self._cloud, self._region, self._patience_s = rest, cloud, region, patience_s
        self._base = _base(prefix)
        self._ours = re.compile(re.escape(self._base) + r"-\d+-(cosine|dotproduct|euclidean)\Z")

    async def make(self, spec: IndexSpec) -> Place:
        """An empty namespace for an index, which must not exist."""
        host = await self._index(spec.dimension, METRICS[spec.settings.metric])
        place = Place(host, namespace_of(spec))
        await self._rest.ask(
            "making a namespace",
            "POST",
            "/namespaces",
            lambda reply: reply.status,
            host=host,
            body={"name": place.namespace},
            expected=_THERE,
        )
        await self._until(lambda: self._is_there(place), f"namespace {place.namespace} is made")
        return place

    async def places(self, name: str) -> list[Place]:
        """Where an index of this name is, made with whatever spec: none or one, unless a `create` was cut short."""
        found = []
        for host in await self._hosts():
            token: str | None = None
            while True:
                names, token = await self._namespaces(host, f"{name}-", token)
                found += [Place(host, namespace) for namespace in names]
                if token is None:
                    break
        return found

    async def remove(self, place: Place) -> None:
        """Delete a namespace with all that is in it; returns when it is gone."""
        path = f"/namespaces/{quote(place.namespace, safe='')}"
        await self._rest.ask(
            "dropping a namespace", "DELETE", path, lambda reply: reply.status, host=place.host, expected=_GONE
        )

        async def gone() -> bool:
            return not await self._is_there(place)

        await self._until(gone, f"namespace {place.namespace} is gone")

    async def _index(self, dimension: int, metric: str) -> str:
        """The host of the Pinecone index for some dimension and metric, which is made when first needed."""
        name = f"{self._base}-{dimension}-{metric}"
        where = {"cloud": self._cloud, "region": self._region}
        host = ""

        def described(reply: Reply) -> tuple[str, dict[str, Any], bool] | None:
            if reply.status == 404:
                return None
            serverless = reply.body["spec"].get("serverless", {})
            held = {key: serverless.get(key) for key in where}
            return self._rest.data_plane(reply.body["host"]), held, reply.body["status"]["ready"] is True

        async def ready() -> bool:
            nonlocal host
            told = await self._rest.ask("describing an index", "GET", f"/indexes/{name}", described, expected=_GONE)
            if told is None:
                await self._make_index(name, dimension, metric, where)
                return False
            host, held, is_ready = told
            if held != where:
                raise InvalidSetting(
                    f"engine pinecone: index {name} is in {held['cloud']} {held['region']}, not in "
                    f"{self._cloud} {self._region}; name these as options cloud and region, or delete it first",
                    field="engine",
                )
            return is_ready

        await self._until(ready, f"index {name} is ready")
        return host

    async def _make_index(self, name: str, dimension: int, metric: str, where: dict[str, str]) -> None:
        def made(reply: Reply) -> int:
            return reply.status

        body = {"name": name, "dimension": dimension, "metric": metric, "spec": {"serverless": where}}
        status = await self._rest.ask(
            "making an index", "POST", "/indexes", made, body=body, expected=_THERE | _GONE, timeout_s=_INDEX_TIMEOUT_S
        )
        if status == 404:
            raise InvalidSetting(
                f"engine pinecone: there is no cloud {self._cloud!r} with region {self._region!r}", field="engine"
            )

    async def _hosts(self) -> list[str]:
        def ours(reply: Reply) -> list[str]:
            return [
                self._rest.data_plane(index["host"])
                for index in reply.body.get("indexes") or []
                if self._ours.match(index["name"]) and index["status"]["ready"]
            ]

        return await self._rest.ask("listing indexes", "GET", "/indexes", ours)

    async def _namespaces(self, host: str, prefix: str, token: str | None) -> tuple[list[str], str | None]:
        """A page of names, and the token of the next."""

        def page(reply: Reply) -> tuple[list[str], str | None]:
            names = [item["name"] for item in reply.body.get("namespaces") or []]
            return [name for name in names if name.startswith(prefix)], next_page(reply, token)

        params = {"prefix": prefix, "limit": 100} | ({"paginationToken": token} if token else {})
        return await self._rest.ask("listing namespaces", "GET", "/namespaces", page, host=host, params=params)

    async def _is_there(self, place: Place) -> bool:
        path = f"/namespaces/{quote(place.namespace, safe='')}"
        status = await self._rest.ask(
            "describing a namespace", "GET", path, lambda reply: reply.status, host=place.host, expected=_GONE
        )
        return status != 404

    async def _until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        await until("pinecone", holds, what, patience_s=self._patience_s)


def next_page(reply: Reply, token: str | None) -> str | None:
    """The token of the page after this one, None after the last. token: of this page."""
    after = (reply.body.get("pagination") or {}).get("next") or None
    if after is not None and after == token:
        raise Garbage("a page that is followed by itself")
    return after


def namespace_of(spec: IndexSpec) -> str:
    """A namespace's name: the index's, and a fingerprint of the spec, so that one request tells whether it is there
    and made as asked."""
    told = json.dumps(spec_json(spec, layout=LAYOUT), sort_keys=True).encode()
    return f"{spec.name}-{hashlib.sha256(told).hexdigest()[:16]}"


def _base(prefix: str) -> str:
    """What the names of Pinecone indexes begin with: they are short, in lower case, with hyphens."""
    plain = prefix.strip("_").replace("_", "-")
    longest = _LONGEST_NAME - len("-20000-dotproduct")
    if plain == plain.lower() and plain and plain.isascii() and len(plain) <= longest:
        return plain
    return f"nearfield-{hashlib.sha256(prefix.encode()).hexdigest()[:16]}"
