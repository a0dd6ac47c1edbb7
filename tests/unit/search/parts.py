"""Real parts for the tests of search, and thin doors in front of them that count, forget or stand still."""

from __future__ import annotations

import asyncio
import csv
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.domain.binding import bind
from nearfield.domain.documents import document_keys
from nearfield.domain.filters import matches, walk
from nearfield.domain.hits import Matches
from nearfield.domain.rows import row_of
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.search.cursors import Cursors
from nearfield.search.fuse import DENSE_DEPTH, HYBRID_DEPTHS, unit_similarity
from nearfield.search.fusion import FULL_MATCH, JUDGES, LEAN, REACH, UNSEEN
from nearfield.search.service import SearchService
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.documents import Float32Array, Int64Array, StoredDocument
    from nearfield.domain.filters import Filter
    from nearfield.domain.hits import Answer
    from nearfield.domain.queries import Search, Similar
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import EngineCapabilities, IndexSpec, IndexStats, VectorIndex
    from nearfield.wiring import Backend

CATALOGUE = Path(__file__).parents[3] / "examples" / "products" / "catalogue.csv"
FIELDS = {"price": "float", "category": "keyword", "brand": "keyword", "in_stock": "bool", "at": "geo"}


def products(count: int) -> list[dict[str, Any]]:
    """Products of the catalogue, each at a place of its own on the map."""
    with CATALOGUE.open(newline="") as file:
        rows = list(csv.DictReader(file))[:count]
    return [
        row
        | {
            "price": float(row["price"]),
            "in_stock": row["in_stock"] == "true",
            "at": {"lat": -60 + 120 * i / count, "lon": -170 + 340 * (i * 7 % count) / count},
        }
        for i, row in enumerate(rows)
    ]


@dataclass(slots=True)
class CountingIndex:
    """An index that counts its calls, and may say fewer filters or lose rows, as engines of others do.

    cannot_say: node types it refuses. keeps: the share of rows its approximate search still finds.
    """

    inner: VectorIndex
    cannot_say: tuple[type[Filter], ...] = ()
    keeps: float = 1.0
    delay_s: float = 0.0
    longest: int | None = None
    calls: Counter[str] = field(default_factory=Counter)
    asked_exact: list[bool] = field(default_factory=list)
    asked_limits: list[int] = field(default_factory=list)

    @property
    def spec(self) -> IndexSpec:
        return self.inner.spec

    def unsupported(self, where: Filter) -> bool:
        nodes = list(walk(where))
        too_long = self.longest is not None and len(nodes) > self.longest
        return too_long or any(type(node) in self.cannot_say for node in nodes) or self.inner.unsupported(where)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        self.calls["nearest"] += 1
        self.asked_exact.append(exact)
        self.asked_limits.append(limit)
        assert where is None or not self.unsupported(where)
        await asyncio.sleep(self.delay_s)
        found = await self.inner.nearest(vector, limit=limit, where=where, effort=effort, exact=exact)
        kept = len(found) if exact else int(len(found) * self.keeps)
        return Matches(found.keys[:kept], found.scores[:kept])

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        self.calls["lexical"] += 1
        assert where is None or not self.unsupported(where)
        return await self.inner.lexical(text, limit=limit, where=where)

    async def count(self, where: Filter | None = None) -> int:
        self.calls["count"] += 1
        return await self.inner.count(where)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        self.calls["vectors"] += 1
        assert len(keys)
        return await self.inner.vectors(keys)

    async def keys(self) -> AsyncIterator[Int64Array]:
        self.calls["keys"] += 1
        async for batch in self.inner.keys():
            yield batch

    async def upsert(self, *given: Any) -> None:
        await self.inner.upsert(*given)

    async def delete(self, keys: Int64Array) -> None:
        await self.inner.delete(keys)

    async def flush(self) -> None:
        await self.inner.flush()

    async def optimize(self, *, all_cores: bool = False) -> None:
        await self.inner.optimize(all_cores=all_cores)

    async def stats(self) -> IndexStats:
        self.calls["stats"] += 1
        return await self.inner.stats()

    async def close(self) -> None:
        await self.inner.close()


@dataclass(slots=True)
class CountingEmbedder:
    """An embedder that counts its calls."""

    inner: Embedder
    calls: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def embed(self, texts: Sequence[str], *, role: Any) -> Float32Array:
        self.calls += 1
        return await self.inner.embed(texts, role=role)


@dataclass(slots=True)
class CountingStore:
    """A store that counts its calls by name."""

    inner: Any
    calls: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.inner, name)


@dataclass(slots=True)
class Live:
    """An open generation seen through the doors above. `seen`: what it claims to have applied, None for the truth."""

    real: OpenGeneration
    index: CountingIndex
    capabilities: EngineCapabilities
    embedder: CountingEmbedder
    seen: int | None = None
    heard: int | None = None

    @property
    def generation(self) -> Generation:
        return self.real.generation

    @property
    def applied_seq(self) -> int:
        return self.real.applied_seq if self.seen is None else self.seen

    @property
    def latest_seq(self) -> int:
        return self.real.latest_seq if self.heard is None else self.heard

    @property
    def mended(self) -> int:
        return self.real.mended

    @property
    def closed(self) -> bool:
        return self.real.closed

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        await self.real.wait_for(seq, timeout_s=timeout_s)


@dataclass(slots=True)
class World:
    """A backend with one collection of products, and a search service over the doors."""

    backend: Backend
    collection: Collection
    live: Live
    store: CountingStore
    service: SearchService

    @property
    def name(self) -> str:
        return self.collection.name

    @property
    def index(self) -> CountingIndex:
        return self.live.index

    async def search(self, ask: Search) -> Answer:
        return await self.service.search(self.name, ask)

    async def similar(self, ask: Similar) -> Answer:
        return await self.service.similar(self.name, ask)

    async def write(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Store documents and wait until they are indexed."""
        rows = [SourceRow(line, dict(body)) for line, body in enumerate(bodies, 1)]
        result = await self.backend.documents.upsert(self.name, rows)
        assert not result.rejected, result.rejected[0]
        await self.backend.documents.wait(self.name, result.receipt.seq)

    def claim(self, **capabilities: Any) -> None:
        """Let the engine claim other capabilities than it has."""
        self.live.capabilities = replace(self.live.capabilities, **capabilities)

    def forget_size(self) -> None:
        """Seem to have seen many changes, so that a plan takes the index for a large one."""
        self.live.seen = self.live.heard = 1_000_000

    def stand_still(self) -> None:
        """Apply no more changes: what is written to `backend.store` from here on is told to no indexer."""
        self.live.seen = self.live.real.applied_seq
        self.live.heard = self.live.seen + 1_000

    # -- the oracle ----------------------------------------------------------------------------------------------
    async def documents(self, where: Filter | None = None) -> list[StoredDocument]:
        """Those that pass a filter, in the order first stored."""
        fields = self.collection.spec.fields
        bound = None if where is None else bind(where, fields)
        found = await self.backend.store.scan(self.collection, limit=100_000)
        return [one for one in found if bound is None or matches(bound, row_of(one.body, fields))]

    async def similarities(self, vector: Float32Array, documents: Sequence[StoredDocument]) -> dict[int, float]:
        """The engine's own similarity of each document's best passage, by document key, from every vector."""
        everything = await self.index.inner.nearest(vector, limit=100_000, exact=True)
        best: dict[int, float] = {}
        for key, score in zip(document_keys(everything.keys).tolist(), everything.scores.tolist(), strict=True):
            best.setdefault(key, score)
        return {one.key: best[one.key] for one in documents}

    async def words(self, text: str, documents: Sequence[StoredDocument]) -> dict[int, float]:
        """BM25 of each document that holds a word, by document key."""
        everything = await self.index.inner.lexical(text, limit=100_000)
        wanted = {one.key for one in documents}
        best: dict[int, float] = {}
        for key, score in zip(document_keys(everything.keys).tolist(), everything.scores.tolist(), strict=True):
            if key in wanted:
                best.setdefault(key, score)
        return best

    async def expected(
        self, mode: str, *, text: str = "", vector: Float32Array | None = None, where: Filter | None = None
    ) -> list[tuple[str, float]]:
        """(id, score) of every document that can be a hit, best first, ties by key: the law of `search.fuse`."""
        documents = await self.documents(where)
        ids = {one.key: one.id for one in documents}
        words = await self.words(text, documents) if mode != "semantic" else {}
        full = FULL_MATCH * len(set(re.findall(r"\w+", text.lower())))
        if mode == "lexical":
            totals = {key: score / max(full, *words.values()) for key, score in words.items()}
        else:
            if vector is None:
                vector = (await self.live.embedder.inner.embed([text], role="query"))[0]
            raw = await self.similarities(vector, documents)
            if mode == "semantic":  # in the engine's order: scores below 0 are one
                ranked = sorted(raw, key=lambda key: (-raw[key], key))
                return [(ids[key], self._unit(raw[key])) for key in ranked]
            found = auto_in_steps({key: self._unit(score) for key, score in raw.items()}, words, full)
            return [(ids[key], score) for key, score in found]
        return [(ids[key], totals[key]) for key in sorted(totals, key=lambda key: (-totals[key], key))]

    def _unit(self, raw: float) -> float:
        metric = self.live.generation.index.metric
        return float(unit_similarity(np.array([raw], dtype=np.float32), metric)[0])


def by_score(scores: Mapping[int, float]) -> list[int]:
    """Keys, best first, ties by key."""
    return sorted(scores, key=lambda key: (-scores[key], key))


def auto_in_steps(unit: Mapping[int, float], words: Mapping[int, float], full: float) -> list[tuple[int, float]]:
    """(key, score) of every document in the order of the default fusion: the formula, written once more and plainly.

    unit: similarity 0..1 of every document. words: BM25 of those that hold a word.
    """
    told: list[tuple[int, float]] = []
    for step in (*HYBRID_DEPTHS, len(unit) + len(words)):
        near, said = by_score(unit)[: step * DENSE_DEPTH], by_score(words)[:step]
        seen = {key for key, _ in told}
        known = {key: unit[key] if key in near else UNSEEN * unit[near[-1]] for key in {*near, *said}}
        share = 1.0
        if said:
            heard = [known[key] for key in said[:JUDGES]]
            top = [unit[key] for key in near[:JUDGES]]
            agreed = min(1.0, sum(heard) / len(heard) / (sum(top) / len(top))) if sum(top) else 1.0
            flat = words[said[9]] / words[said[0]] if len(said) > 9 else 0.0
            share = 1 / (1 + LEAN * agreed ** (REACH * (1 + flat)))
        best = max(full, words[said[0]]) if said else 1.0
        totals = {
            key: share * known[key] + (1 - share) * (words[key] / best if key in said else 0.0)
            for key in known
            if key not in seen
        }
        ceiling = told[-1][1] if told else 1.0
        told += [(key, min(totals[key], ceiling)) for key in by_score(totals)]
    return told


async def open_world(
    folder: Path,
    engine: str,
    *,
    count: int = 150,
    embedder: str = "hashing",
    index: Mapping[str, Any] | None = None,
    bodies: Iterable[Mapping[str, Any]] | None = None,
    fields: Mapping[str, str] = MappingProxyType(FIELDS),
    search_timeout_s: float = 30.0,
    wait_timeout_s: float = 30.0,
) -> World:
    """A collection of products, or of `bodies`, written and indexed. Close it with `world.backend.close()`."""
    settings = load_settings(data_dir=folder, environment="test", embedder=embedder, engine=engine)
    backend = await open_backend(settings)
    body: dict[str, Any] = {"embed": "{name}: {description}", "fields": dict(fields)}
    if index is not None:
        body["index"] = index
    collection = await backend.catalog.create(spec_from_json("products", backend.with_defaults(body)))
    real = await backend.generations.live(collection)
    live = Live(real, CountingIndex(real.index), real.capabilities, CountingEmbedder(real.embedder))

    class Indexes:
        async def live(self, collection: Collection) -> Live:
            return live

    store = CountingStore(backend.store)
    service = SearchService(
        store,
        Indexes(),
        backend.catalog.get,
        search_timeout_s=search_timeout_s,
        wait_timeout_s=wait_timeout_s,
        cursors=Cursors(budget_bytes=64_000_000, idle_s=300),
    )
    world = World(backend, collection, live, store, service)
    await world.write(products(count) if bodies is None else bodies)
    return world


def told(answer: Answer) -> list[tuple[str, float]]:
    """(id, score rounded to 4 digits) of each hit, after checking what holds for every answer."""
    scores = [hit.score for hit in answer]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert len({hit.id for hit in answer}) == len(answer)
    return [(hit.id, round(hit.score, 4)) for hit in answer]


def assert_same(answer: Answer, expected: list[tuple[str, float]], limit: int, *, offset: int = 0) -> None:
    """The answer's ids are the oracle's in its order, where neighbours whose scores agree to 5 digits may swap."""
    wanted = expected[offset : offset + limit]
    assert len(answer) == len(wanted)
    scores = dict(expected)
    for hit, (name, score) in zip(answer, wanted, strict=True):
        assert abs(hit.score - score) < 2e-5, (hit.id, name)
        assert hit.id == name or abs(scores[hit.id] - score) < 2e-5, (hit.id, name)
    told(answer)
