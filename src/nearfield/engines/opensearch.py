"""OpenSearch, and Amazon's: k-NN by Lucene or Faiss, BM25, filters inside both.

Writes go by bulk requests and end with a refresh; searches are the business of `opensearch_search`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import orjson

from nearfield.domain.errors import EngineUnavailable, IndexMissing, UnsupportedByEngine
from nearfield.domain.schema import IndexKind
from nearfield.engines.calls import Calls
from nearfield.engines.opensearch_filters import compile_filter
from nearfield.engines.opensearch_http import AlreadyThere, Door, Operation, auth_of
from nearfield.engines.opensearch_schema import (
    CAPABILITIES,
    LAYOUT,
    MAX_HITS,
    checked_options,
    document,
    index_body,
    index_name,
)
from nearfield.engines.opensearch_search import Searcher
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, refuses
from nearfield.engines.spec_file import compare_spec
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.engines.opensearch_http import Guard
    from nearfield.protocols.engine import IndexSpec

    Query = dict[str, Any]

MAX_EFFORT: Final = 10_000
_CREATE_S: Final = 40.0  # the server itself waits up to 30 s for the first shards
_POLL_S: Final = 0.5
_MERGE_POLLS: Final = 7_200  # an hour


class OpenSearchEngine:
    """Keeps one index of the server per index.

    key: `user:password`, or `ACCESS:SECRET` where the address names a region. Needs OpenSearch 2.17 or later with the
    k-NN plugin, which every distribution but the minimal one has. Tested on a real server, 2.19.1, except for graphs by
    Faiss and Amazon's signed requests: these were tested on a stand-in validated by the vendor's OpenAPI document.
    """

    name: ClassVar[str] = "opensearch"
    capabilities: ClassVar[EngineCapabilities] = CAPABILITIES

    def __init__(self, address: EngineAddress, *, prefix: str, key: str | None, guard: Guard | None = None) -> None:
        """guard: makes what limits and repeats calls, `Calls` with its defaults unless said otherwise."""
        self._options = checked_options(address.options)
        self._prefix = prefix
        auth = auth_of(self._options, key)
        self._door = Door(str(address.url), auth=auth, guard=guard or partial(Calls, self.name))
        self._open: dict[str, OpenSearchIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        return cls(address, prefix=prefix, key=key)

    async def create(self, spec: IndexSpec) -> OpenSearchIndex:
        check_spec(self.name, self.capabilities, spec)
        body, path = index_body(spec, self._options), self._path(spec.name)
        await self._shut(spec.name)

        await self._remove(path)
        with suppress(AlreadyThere):  # made by a try that was not answered
            there: bool = await self._door.ask(
                "creating an index", "PUT", path, body, read=itemgetter("shards_acknowledged"), timeout_s=_CREATE_S
            )
            if not there:
                raise EngineUnavailable("engine opensearch, creating an index: no node has room for its shards")
        return self._hand_out(spec)

    async def open(self, spec: IndexSpec) -> OpenSearchIndex:
        check_spec(self.name, self.capabilities, spec)
        await self._shut(spec.name)
        mappings: dict[str, Any] = await self._door.ask(
            "opening an index", "GET", f"{self._path(spec.name)}/_mapping", read=_mappings
        )
        compare_spec(mappings.get("_meta", {}).get("nearfield"), spec, layout=LAYOUT)
        return self._hand_out(spec)

    async def drop(self, name: str) -> None:
        await self._shut(name)
        await self._remove(self._path(name))

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._door.close()

    async def _remove(self, path: str) -> None:
        with suppress(IndexMissing):
            await self._door.ask("dropping an index", "DELETE", path, read=itemgetter("acknowledged"))

    async def _shut(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()

    def _path(self, name: str) -> str:
        return f"/{index_name(self._prefix + name)}"

    def _hand_out(self, spec: IndexSpec) -> OpenSearchIndex:
        index = self._open[spec.name] = OpenSearchIndex(self._door, self._path(spec.name), spec)
        return index


class OpenSearchIndex:
    """One index of the server. Writes end with a refresh, so that searches find them when they return."""

    def __init__(self, door: Door, path: str, spec: IndexSpec) -> None:
        self._door, self._path, self._spec = door, path, spec
        self._search = Searcher(door, path, spec)
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return refuses(compile_filter, where, self._spec.fields)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)

        def operations() -> list[Operation]:
            told = zip(keys.tolist(), vectors, rows, texts, strict=True)
            return [_put(key, document(key, vector, row, text, self._spec)) for key, vector, row, text in told]

        await self._write(operations)

    async def delete(self, keys: Int64Array) -> None:
        await self._write(lambda: [_remove(key) for key in keys.tolist()])

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. effort: ef_search; Lucene then looks for that many of each shard."""
        self._alive()
        _admit_hits(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        settings = self._spec.settings
        if effort is not None and not exact:
            if settings.kind is IndexKind.FLAT:
                raise UnsupportedByEngine("a flat index compares every row; it has no effort", field="effort")
            if not 1 <= effort <= MAX_EFFORT:
                raise UnsupportedByEngine(f"effort is {effort}; opensearch takes 1 to {MAX_EFFORT}", field="effort")
        if not exact and settings.kind is not IndexKind.FLAT:
            effort = effort or settings.ef_search
            found = await self._search.by_graph(vector, limit=limit, where=where, effort=effort)
            if len(found) == limit:
                return found
        # also where a graph gave up before it had found enough
        return await self._search.by_comparing(vector, limit=limit, where=where)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        self._alive()
        _admit_hits(limit)
        return await self._search.lexical(text, limit=limit, where=where)

    async def count(self, where: Filter | None = None) -> int:
        self._alive()
        return await self._search.count(where)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, bit by bit, under every quantization: the server keeps the documents as they were sent."""
        self._alive()
        return await self._search.vectors(keys)

    async def keys(self) -> AsyncIterator[Int64Array]:
        self._alive()
        async with aclosing(self._search.keys()) as pages:
            async for page in pages:
                yield page

    async def flush(self) -> None:
        """Nothing is left to do: `translog.durability` is `request`, so a write that returned is on disk."""
        self._alive()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Merge each shard into one segment, whose graph is one. Searches and writes go on meanwhile."""
        self._alive()
        path, how = f"{self._path}/_forcemerge", {"max_num_segments": "1", "wait_for_completion": "false"}
        task: str = await self._door.ask("optimizing", "POST", path, read=itemgetter("task"), query=how)
        for _ in range(_MERGE_POLLS):
            if await self._door.ask("optimizing", "GET", f"/_tasks/{task}", read=_is_completed):
                return
            await asyncio.sleep(_POLL_S)
        raise EngineUnavailable("engine opensearch, optimizing: the merge goes on after an hour")

    async def stats(self) -> IndexStats:
        """bytes: of all copies. unindexed: 0, each segment is written with its graph."""
        self._alive()
        size = await self._door.ask("reading statistics", "GET", f"{self._path}/_stats/store", read=_size)
        return IndexStats(await self.count(), size, unindexed=0)

    async def close(self) -> None:
        self._closed = True

    # -- within --------------------------------------------------------------------------------------------------
    def _alive(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")

    async def _write(self, operations: Callable[[], list[Operation]]) -> None:
        self._alive()
        made = await asyncio.to_thread(operations)
        if made:
            await self._door.write(self._path, made)
            await self._door.ask("writing rows", "POST", f"{self._path}/_refresh", read=itemgetter("_shards"))


def _admit_hits(limit: int) -> None:
    admit_limit(limit)
    if limit > MAX_HITS:
        raise UnsupportedByEngine(f"engine opensearch gives {MAX_HITS} hits to one search, not {limit}", field="limit")


def _put(key: int, kept: Mapping[str, Any]) -> Operation:
    action = orjson.dumps({"index": {"_id": str(key)}}, option=orjson.OPT_APPEND_NEWLINE)
    return Operation(key, action + orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))


def _remove(key: int) -> Operation:
    return Operation(key, orjson.dumps({"delete": {"_id": str(key)}}, option=orjson.OPT_APPEND_NEWLINE))


def _size(answer: Any) -> int:
    return int(answer["_all"]["total"]["store"]["size_in_bytes"])


def _mappings(answer: Any) -> dict[str, Any]:
    (index,) = answer.values()
    mappings: dict[str, Any] = index["mappings"]
    return mappings


def _is_completed(answer: Any) -> bool:
    if "error" in answer:
        raise EngineUnavailable("engine opensearch, optimizing: the merge failed; see the server's log")
    return bool(answer["completed"])
