"""Chroma, in the process or on a server: each index is a collection of its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, TypeVar

import numpy as np

from nearfield.domain.errors import EngineUnavailable, IndexDamaged, IndexMissing, InvalidSetting, UnsupportedByEngine
from nearfield.domain.schema import IndexKind, Metric
from nearfield.engines.chroma_embedded import ChromaFolder
from nearfield.engines.chroma_filters import CLAIMED, compile_filter, metadata_of
from nearfield.engines.chroma_rest import ChromaServer
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, no_matches, ranked, refuses
from nearfield.engines.spec_file import compare_spec, spec_json
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.engines.chroma_filters import Where
    from nearfield.protocols.engine import IndexSpec

    Found = tuple[Int64Array, Float32Array]

T = TypeVar("T")
LAYOUT: Final = 1
SPEC: Final = "nearfield"  # under which a collection's metadata holds its spec
_SPACES: Final = {Metric.COSINE: "cosine", Metric.DOT: "ip", Metric.EUCLIDEAN: "l2"}
_BATCH: Final = 1_000  # rows
_BATCH_COMPONENTS: Final = 1_000_000  # 12 MB as JSON; the server takes 40
_PAGE: Final = 500
_KEY_BATCH: Final = 8_192
_SPARE: Final = 8
_MAX_TIES: Final = 1_024
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.HNSW}),
    filters=CLAIMED,
    durable=True,
    remote=True,
    options={
        "tenant": "Chroma's tenant (default_tenant)",
        "database": "Chroma's database, which must exist (default_database)",
        "timeout_s": "seconds for one try of a search (10)",
    },
)


class _Chroma(Protocol):
    """What both ways to Chroma do."""

    async def create(self, name: str, metadata: Mapping[str, Any], configuration: Mapping[str, Any]) -> str: ...
    async def find(self, name: str) -> tuple[str, Mapping[str, Any]]: ...
    async def remove(self, name: str) -> None: ...
    async def call(
        self, doing: str, collection: str, verb: str, body: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T: ...
    async def close(self) -> None: ...


class ChromaEngine:
    """Keeps one collection per index. Tested against Chroma 1.5.9 itself, in the process and as `chroma run`."""

    name: ClassVar[str] = "chroma"
    capabilities: ClassVar[EngineCapabilities] = _CAPABILITIES

    def __init__(self, chroma: _Chroma, prefix: str) -> None:
        self._chroma, self._prefix = chroma, prefix
        self._open: dict[str, ChromaIndex] = {}

    @classmethod
    def at(cls, folder: Path) -> Self:
        return cls(ChromaFolder(folder), "nearfield_")

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        if address.url is None or not address.url.startswith(("http://", "https://")):
            raise InvalidSetting("engine chroma takes http:// or https:// URLs", field="engine")
        tenant = _named(address, "tenant", "default_tenant")
        database = _named(address, "database", "default_database")
        try:
            timeout_s = float(address.options.get("timeout_s", 10))
        except ValueError as exc:
            raise InvalidSetting("engine chroma: timeout_s is no number", field="engine") from exc
        if not 0 < timeout_s <= 600:
            raise InvalidSetting(f"engine chroma: timeout_s is {timeout_s:g}; expected up to 600", field="engine")
        server = ChromaServer(address.url, tenant=tenant, database=database, key=key, timeout_s=timeout_s)
        return cls(server, prefix)

    async def create(self, spec: IndexSpec) -> ChromaIndex:
        check_spec(self.name, self.capabilities, spec)
        await self.drop(spec.name)
        settings = spec.settings
        hnsw = {
            "space": _SPACES[settings.metric],
            "max_neighbors": settings.m,
            "ef_construction": settings.ef_construction,
            "ef_search": settings.ef_search,
        }
        metadata = {SPEC: json.dumps(spec_json(spec, layout=LAYOUT))}
        return self._hand_out(spec, await self._chroma.create(self._prefix + spec.name, metadata, {"hnsw": hnsw}))

    async def open(self, spec: IndexSpec) -> ChromaIndex:
        check_spec(self.name, self.capabilities, spec)
        collection, metadata = await self._chroma.find(self._prefix + spec.name)
        try:
            stored = json.loads(metadata[SPEC])
        except (KeyError, TypeError, ValueError) as exc:
            raise IndexDamaged(f"index {spec.name!r} does not tell what it is; rebuild it") from exc
        compare_spec(stored, spec, layout=LAYOUT)
        return self._hand_out(spec, collection)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        try:
            await self._chroma.remove(self._prefix + name)
        except IndexMissing:
            return

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._chroma.close()

    def _hand_out(self, spec: IndexSpec, collection: str) -> ChromaIndex:
        index = self._open[spec.name] = ChromaIndex(self._chroma, collection, spec)
        return index


class ChromaIndex:
    """One collection."""

    def __init__(self, chroma: _Chroma, collection: str, spec: IndexSpec) -> None:
        self._chroma, self._collection, self._spec = chroma, collection, spec
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return refuses(compile_filter, where, self._spec.fields)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        size = max(1, min(_BATCH, _BATCH_COMPONENTS // self._spec.dimension))
        for start in range(0, len(keys), size):
            part = slice(start, start + size)
            body = {
                "ids": _ids(keys[part]),
                "embeddings": vectors[part],
                "metadatas": [metadata_of(row, self._spec.fields) for row in rows[part]],
            }
            await self._call("writing rows", "upsert", body, _nothing)

    async def delete(self, keys: Int64Array) -> None:
        for start in range(0, len(keys), _BATCH):
            await self._call("deleting rows", "delete", {"ids": _ids(keys[start : start + _BATCH])}, _nothing)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        if effort is not None or exact:
            field = "exact" if exact else "effort"
            raise UnsupportedByEngine(
                f"engine chroma searches with the ef_search of its index; no {field}", field=field
            )
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        compiled = self._compiled(where)
        if compiled is False:
            return no_matches()

        async def ask(hits: int) -> Found:
            body = {"query_embeddings": vector[None], "n_results": hits, "include": ["distances"], **_where(compiled)}
            return await self._call("searching", "query", body, self._read)

        hits, most = limit + _SPARE, limit + _MAX_TIES
        while True:
            keys, scores = await ask(hits)
            if len(keys) < hits:
                return await self._whole((keys, scores), compiled, vector, limit)
            found = ranked(keys, scores, limit)
            if hits == most or scores.min() < found.scores[-1]:
                return found
            hits = min(4 * hits, most)  # the last place is tied: keys are to decide

    async def _whole(self, found: Found, compiled: Where, vector: Float32Array, limit: int) -> Matches:
        """The best of what was found where it is all there is.

        Chroma's graph leaves out rows that no other leads to, among equal vectors one in 200. Then all that pass, which
        are few, are compared. Keys are looked at, not their number: another row may have been deleted meanwhile.
        """
        passing = await self._passing(compiled)
        if np.isin(passing, found[0]).all():
            return ranked(*found, limit)
        here, stored = await self.vectors(passing)
        return ranked(here, self._compared(stored, vector), limit)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        raise UnsupportedByEngine("engine chroma has no BM25; it has no lexical search", field="mode")

    async def count(self, where: Filter | None = None) -> int:
        compiled = self._compiled(where)
        if compiled is True:
            return await self._call("counting", "count", {}, int)
        return len(await self._passing(compiled))

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        stored: dict[int, Float32Array] = {}
        for start in range(0, len(keys), _PAGE):
            body = {"ids": _ids(keys[start : start + _PAGE]), "include": ["embeddings"]}
            stored |= await self._call("reading vectors", "get", body, _embeddings)
        here = [key for key in keys.tolist() if key in stored]
        found = np.array([stored[key] for key in here], np.float32).reshape(len(here), self._spec.dimension)
        return np.array(here, np.int64), found

    async def keys(self) -> AsyncIterator[Int64Array]:
        every = await self._passing(True)
        for start in range(0, len(every), _KEY_BATCH):
            yield every[start : start + _KEY_BATCH]

    async def flush(self) -> None:
        """Nothing to do: Chroma has written each batch to its log, and synced it, when it answers."""
        self._admit()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Nothing to do: Chroma takes rows into its graph by itself."""
        self._admit()

    async def stats(self) -> IndexStats:
        """bytes: of the vectors alone; Chroma tells no more."""
        rows = await self._call("counting", "count", {}, int)
        return IndexStats(rows, rows * 4 * self._spec.dimension, unindexed=0)

    async def close(self) -> None:
        self._closed = True

    async def _passing(self, compiled: Where) -> Int64Array:
        if compiled is False:
            return np.empty(0, np.int64)
        body = {"include": [], **_where(compiled)}
        return await self._call("listing keys", "get", body, lambda answer: _keys(answer["ids"]))

    async def _call(self, doing: str, verb: str, body: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        self._admit()
        return await self._chroma.call(doing, self._collection, verb, body, read)

    def _admit(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")

    def _compiled(self, where: Filter | None) -> Where:
        return True if where is None else compile_filter(where, self._spec.fields)

    def _read(self, answer: Any) -> Found:
        keys, distances = _keys(answer["ids"][0]), np.asarray(answer["distances"][0], np.float32)
        if len(keys) != len(distances):
            raise ValueError(f"{len(keys)} ids and {len(distances)} distances")
        return keys, self._similarities(distances)

    def _similarities(self, distances: Float32Array) -> Float32Array:
        if self._spec.settings.metric is Metric.EUCLIDEAN:  # Chroma gives the square
            return -np.sqrt(np.maximum(distances, 0))
        return np.asarray(1 - distances.astype(np.float64), np.float32)

    def _compared(self, stored: Float32Array, vector: Float32Array) -> Float32Array:
        wide = stored.astype(np.float64)
        if self._spec.settings.metric is Metric.EUCLIDEAN:
            return np.asarray(-np.linalg.norm(wide - vector, axis=1), np.float32)
        return np.asarray(wide @ vector, np.float32)


def _nothing(_: Any) -> None:
    """Of an answer that tells nothing."""


def _embeddings(answer: Any) -> dict[int, Float32Array]:
    vectors = np.asarray(answer["embeddings"], np.float32)
    return dict(zip(_keys(answer["ids"]).tolist(), vectors, strict=True))


def _where(compiled: Where) -> dict[str, Any]:
    return {} if compiled is True else {"where": compiled}


def _ids(keys: Int64Array) -> list[str]:
    return [str(key) for key in keys.tolist()]


def _keys(ids: Sequence[str]) -> Int64Array:
    return np.fromiter(map(int, ids), np.int64, len(ids))


def _named(address: EngineAddress, option: str, usual: str) -> str:
    given = address.options.get(option, usual)
    if not _NAME.match(given):
        raise InvalidSetting(f"engine chroma: {option} holds more than letters, digits, '_' and '-'", field="engine")
    return given
