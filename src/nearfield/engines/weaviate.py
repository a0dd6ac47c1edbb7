"""Weaviate, a server or a cluster of them: each index is a class of its own there.

Tested against the real server, 1.35.2: one node, and three of which one is killed.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np

from nearfield.domain.errors import EngineUnavailable, IndexMissing, InvalidSetting, UnsupportedByEngine
from nearfield.domain.schema import IndexKind, Quantization
from nearfield.engines.calls import Calls
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, no_matches
from nearfield.engines.weaviate_filters import Clause, Columns, Op, compile_filter
from nearfield.engines.weaviate_schema import (
    CAPABILITIES,
    TRAINED_FROM,
    check_stored,
    class_name,
    class_of,
    stored_rows,
    uuid_of,
    vector_config,
)
from nearfield.engines.weaviate_search import Searcher
from nearfield.engines.weaviate_wire import AnsweredWrongly, Endpoint, RowsFailed, Wire, meaning, sdk
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.engines.weaviate_schema import StoredRow
    from nearfield.protocols.engine import IndexSpec

T = TypeVar("T")
CONSISTENCIES: Final = ("one", "quorum", "all")
_WRITE_S: Final = 60.0
"""Of one batch: a graph takes in some 1,000 rows a second, and a cluster has to agree on classes."""
_BATCH_BYTES: Final = 8 << 20
_BATCH: Final = 500  # rows
_PAGE: Final = 1_000  # rows read or deleted by key at once
_KEY_PAGE: Final = 5_000
_VISIBLE_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.02
_TRAINING_S: Final = 600.0


class WeaviateEngine:
    """Keeps one class per index on a server. Tested against the real server 1.35.2, alone and as three nodes."""

    name: ClassVar[str] = "weaviate"
    capabilities: ClassVar[EngineCapabilities] = CAPABILITIES

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        prefix: str,
        key: str | None = None,
        shards: int | None = None,
        replication_factor: int | None = None,
        consistency: str = "quorum",
        timeout_s: float = 10.0,
    ) -> None:
        sdk()
        self._prefix, self._shards, self._replication_factor = prefix, shards, replication_factor
        self._wire = Wire(endpoint, key, consistency)
        self._calls = Calls(self.name, meaning, timeout_s=timeout_s)
        self._open: dict[str, WeaviateIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        url = urlsplit(address.url or "")
        if url.scheme not in ("http", "https"):
            raise InvalidSetting(f"engine weaviate: the URL begins with {url.scheme}; expected http(s)", field="engine")
        options = address.options
        consistency = options.get("consistency", "quorum")
        if consistency not in CONSISTENCIES:
            raise InvalidSetting(
                f"engine weaviate: consistency is {consistency!r}; expected {', '.join(CONSISTENCIES)}", field="engine"
            )
        secure = url.scheme == "https"
        port = _whole(address, "grpc_port", most=65_535) or (443 if secure else 50051)
        host = options.get("grpc_host") or url.hostname or ""
        return cls(
            Endpoint(address.url or "", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", secure),
            prefix=prefix,
            key=key,
            shards=_whole(address, "shards", most=1_024),
            replication_factor=_whole(address, "replication_factor", most=64),
            consistency=consistency,
        )

    async def create(self, spec: IndexSpec) -> WeaviateIndex:
        check_spec(self.name, self.capabilities, spec)
        await self.drop(spec.name)
        body = class_of(
            self._prefix,
            spec,
            made=secrets.token_hex(8),
            shards=self._shards,
            replication_factor=self._replication_factor,
        )

        async def make() -> None:
            try:
                await self._wire.rest("POST", "/schema", body)
            except AnsweredWrongly as exc:
                # told twice, since the first answer was lost: it is there, and ours
                there = await self._described(spec.name) if exc.status == 422 else None
                if there is None or there.get("description") != body["description"]:
                    raise

        await self._calls.run("making an index", make, timeout_s=_WRITE_S)
        return self._hand_out(spec)

    async def open(self, spec: IndexSpec) -> WeaviateIndex:
        check_spec(self.name, self.capabilities, spec)
        found = await self._calls.run("opening an index", lambda: self._described(spec.name))
        if found is None:
            raise IndexMissing(f"no index {spec.name!r} on the server; it has to be rebuilt from the store")
        check_stored(spec, found)
        return self._hand_out(spec)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        path = f"/schema/{class_name(self._prefix, name)}"
        # of a class that is not there Weaviate says the same
        await self._calls.run("dropping an index", lambda: self._wire.rest("DELETE", path), timeout_s=_WRITE_S)

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._wire.close()

    async def _described(self, name: str) -> dict[str, Any] | None:
        """What the server says of a class; None where there is none."""
        try:
            found = await self._wire.rest("GET", f"/schema/{class_name(self._prefix, name)}")
        except AnsweredWrongly as exc:
            if exc.status == 404:
                return None
            raise
        if not isinstance(found, dict):
            raise AnsweredWrongly("it described a class by no object; is this a Weaviate server?", status=502)
        return found

    def _hand_out(self, spec: IndexSpec) -> WeaviateIndex:
        index = self._open[spec.name] = WeaviateIndex(self._wire, self._calls, self._prefix, spec)
        return index


class WeaviateIndex:
    """One class of a server."""

    def __init__(self, wire: Wire, calls: Calls, prefix: str, spec: IndexSpec) -> None:
        self._wire, self._calls, self._spec = wire, calls, spec
        self._name = class_name(prefix, spec.name)
        self._columns = Columns.of(spec.fields)
        self._search = Searcher(wire, calls, self._name, spec)
        self._writing = asyncio.Lock()  # training product codes makes a class read-only; writes wait
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        try:
            compile_filter(where, self._columns)
        except UnsupportedByEngine:
            return True
        return False

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """As the protocol says. A row that is not taken is sent again alone; what remains is told."""
        self._admit()
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        size = max(1, min(_BATCH, _BATCH_BYTES // (4 * self._spec.dimension)))
        async with self._writing:
            for start in range(0, len(keys), size):
                part = slice(start, start + size)
                pending = await asyncio.to_thread(
                    stored_rows, keys[part], vectors[part], rows[part], texts[part], self._spec
                )
                await self._put(pending)
                await self._until_visible(keys[part], vectors[start])

    async def delete(self, keys: Int64Array) -> None:
        self._admit()
        every = keys.tolist()
        async with self._writing:
            for start in range(0, len(every), _PAGE):
                part = every[start : start + _PAGE]
                await self._run("deleting rows", partial(self._wire.remove, self._name, part), _WRITE_S)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. Exact search compares parts of the index one after another, at full precision."""
        self._admit()
        if effort is not None:
            raise UnsupportedByEngine(
                "engine weaviate takes its effort from index.ef_search, not from a search", field="effort"
            )
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        clause = await self._compiled(where)
        if clause is False:
            return no_matches()
        return await self._search.nearest(vector, limit=limit, where=clause, exact=exact)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """As the protocol says; words are stemmed here, as when they were stored. Each shard weighs words by itself."""
        self._admit()
        admit_limit(limit)
        clause = await self._compiled(where)
        if clause is False:
            return no_matches()
        return await self._search.lexical(text, limit=limit, where=clause)

    async def count(self, where: Filter | None = None) -> int:
        self._admit()
        clause = await self._compiled(where)
        return 0 if clause is False else await self._search.count(clause)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, under every quantization: Weaviate keeps the vectors beside their codes."""
        self._admit()
        found: dict[int, Float32Array] = {}
        every = keys.tolist()
        for start in range(0, len(every), _PAGE):
            part = every[start : start + _PAGE]
            here, vectors = await self._run(
                "reading vectors", partial(self._wire.vectors, self._name, part, self._spec.dimension)
            )
            found.update(zip(here.tolist(), vectors, strict=True))
        held = [key for key in every if key in found]
        stacked = np.array([found[key] for key in held], np.float32).reshape(len(held), self._spec.dimension)
        return np.array(held, np.int64), stacked

    async def keys(self) -> AsyncIterator[Int64Array]:
        self._admit()
        after = "00000000-0000-0000-0000-000000000000"
        while after:
            page, after = await self._run("listing keys", partial(self._wire.page, self._name, after, _KEY_PAGE))
            if len(page):
                yield page

    async def flush(self) -> None:
        """Nothing is left to do: Weaviate writes to its log before it answers. See the guide on losing power."""
        self._admit()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Train product codes once there are enough rows. All else Weaviate does by itself."""
        self._admit()
        settings = self._spec.settings
        if settings.kind is not IndexKind.HNSW or settings.quantization is not Quantization.PRODUCT:
            return
        async with self._writing:
            rows = await self._search.count(None)
            described = await self._run("optimizing", lambda: self._wire.rest("GET", f"/schema/{self._name}"))
            if rows < TRAINED_FROM or described["vectorIndexConfig"].get("pq", {}).get("enabled"):
                return
            described["vectorIndexConfig"] |= vector_config(settings, train=min(rows, 100_000))
            path = f"/schema/{self._name}"
            await self._run("optimizing", lambda: self._wire.rest("PUT", path, described), _WRITE_S)
            await self._until_writable()

    async def stats(self) -> IndexStats:
        """bytes: of the vectors and their graph; Weaviate does not tell what an index takes."""
        self._admit()
        rows = await self._search.count(None)
        links = 8 * self._spec.settings.m if self._spec.settings.kind is IndexKind.HNSW else 0
        return IndexStats(rows, rows * (4 * self._spec.dimension + links), unindexed=0)

    async def close(self) -> None:
        self._closed = True

    async def _put(self, pending: list[StoredRow]) -> None:
        """Write rows; those that were not taken are tried again, the others are not."""

        async def put() -> None:
            nonlocal pending
            sent = len(pending)
            failed = await self._wire.put(self._name, pending)
            pending = [pending[place] for place, _ in failed]
            if failed:
                raise RowsFailed(len(failed), sent, failed[0][1])

        await self._run("writing rows", put, _WRITE_S)

    async def _until_visible(self, keys: Int64Array, vector: Float32Array) -> None:
        """Wait until searches find some rows: a server with ASYNC_INDEXING, or another copy, lags behind."""
        among = Clause(Op.ANY, "_id", tuple(uuid_of(key) for key in keys.tolist()))
        try:
            async with asyncio.timeout(_VISIBLE_S):
                while True:
                    found, _ = await self._run(
                        "writing rows", lambda: self._wire.near(self._name, vector, len(keys), among)
                    )
                    if len(found) >= len(keys):
                        return
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError as exc:
            raise EngineUnavailable(
                f"engine weaviate took {len(keys)} rows and did not show all of them within {_VISIBLE_S:g} s"
            ) from exc

    async def _until_writable(self) -> None:
        """Wait for the end of a training, during which the class is read-only."""
        path = f"/schema/{self._name}/shards"
        try:
            async with asyncio.timeout(_TRAINING_S):
                while True:
                    shards = await self._run("optimizing", lambda: self._wire.rest("GET", path))
                    if all(shard["status"] != "READONLY" for shard in shards):
                        return
                    await asyncio.sleep(10 * _LOOK_AGAIN_S)
        except TimeoutError as exc:
            raise EngineUnavailable(f"engine weaviate did not train its codes within {_TRAINING_S:g} s") from exc

    async def _compiled(self, where: Filter | None) -> Clause | Literal[False] | None:
        """False where nothing can pass, None where everything does. In a thread: long lists take their time."""
        said = True if where is None else await asyncio.to_thread(compile_filter, where, self._columns)
        return None if said is True else said

    def _admit(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")

    async def _run(self, doing: str, call: Callable[[], Awaitable[T]], timeout_s: float | None = None) -> T:
        return await self._calls.run(doing, call, timeout_s=timeout_s)


def _whole(address: EngineAddress, option: str, *, most: int) -> int | None:
    text = address.options.get(option)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidSetting(f"engine weaviate: {option} is {text!r}; expected 1 to {most}", field="engine")
    return int(text)
