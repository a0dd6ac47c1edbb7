"""The parts that indexing is made of, real ones, over a folder; with an embedder and an engine that can be watched."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nearfield.domain.documents import chunk_key
from nearfield.domain.schema import CollectionSpec, IndexKind, IndexSettings
from nearfield.domain.templates import Template
from nearfield.embedders.given import GivenVectors
from nearfield.embedders.hashing import HashingEmbedder
from nearfield.engines.exact import ExactEngine
from nearfield.engines.local import LocalEngine
from nearfield.indexing.catalog import Catalog
from nearfield.indexing.chunking import Chunker
from nearfield.indexing.documents import Documents
from nearfield.indexing.generations import Generations
from nearfield.indexing.moves import Moves
from nearfield.protocols.source import SourceRow
from nearfield.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Rejection
    from nearfield.domain.reports import UpsertResult
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.embedder import Embedder, Role
    from nearfield.protocols.engine import IndexSpec, VectorEngine, VectorIndex

FLAT = IndexSettings(kind=IndexKind.FLAT)
PASSAGE_WORDS = 10
"""Words in one passage of the rig's embedder: its 12 tokens without the two special ones."""


def spec(name: str = "books", *, engine: str = "exact", **other: Any) -> CollectionSpec:
    """A collection that embeds `text` with the hashing embedder."""
    settings: dict[str, Any] = {"embedder": "hashing", "index": FLAT, "engine": engine} | other
    return CollectionSpec(name, Template("{text}"), **settings)


def words(count: int, seed: str = "w") -> str:
    """A text of so many different words: one passage for every PASSAGE_WORDS of them."""
    return " ".join(f"{seed}{number}" for number in range(count))


class WatchedEmbedder(HashingEmbedder):
    """Keeps every document text it embeds; raises `failing`, and waits for `gate`, when there is one."""

    def __init__(self, dimension: int = 32, words: int = PASSAGE_WORDS) -> None:
        super().__init__(dimension=dimension, max_tokens=words + 2)
        self.embedded: list[str] = []
        self.failing: Exception | None = None
        self.gate: asyncio.Semaphore | None = None
        self.waiting = 0

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        if role == "document":
            if self.gate is not None:
                self.waiting += 1
                await self.gate.acquire()
                self.waiting -= 1
            if self.failing is not None:
                raise self.failing
            self.embedded += texts
        return await super().embed(texts, role=role)


class WatchedIndex:
    """An index whose writes raise `failing`, or wait for `gate`, of its engine."""

    def __init__(self, inner: VectorIndex, engine: WatchedEngine) -> None:
        self._inner, self._engine = inner, engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def upsert(self, *given: Any) -> None:
        await self._engine.admit("upsert")
        await self._inner.upsert(*given)
        self._engine.done.append("upsert")

    async def delete(self, keys: Any) -> None:
        await self._engine.admit("delete")
        await self._inner.delete(keys)
        self._engine.done.append("delete")

    async def flush(self) -> None:
        await self._engine.admit("flush")
        await self._inner.flush()

    async def optimize(self, *, all_cores: bool = False) -> None:
        await self._engine.admit("optimize")
        await self._inner.optimize(all_cores=all_cores)
        self._engine.done.append("optimize")
        if self._engine.optimizing is not None:
            await self._engine.optimizing.wait()


class WatchedEngine:
    """A real engine, with what is done to its indexes on record, and made to fail or wait on request."""

    def __init__(self, inner: VectorEngine) -> None:
        self._inner = inner
        self.failing: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None
        self.optimizing: asyncio.Event | None = None  # an optimize ends when it is set
        self.write_s = 0.0
        self.begun: list[str] = []
        self.done: list[str] = []
        self.created = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def admit(self, what: str) -> None:
        self.begun.append(what)
        await asyncio.sleep(self.write_s)
        if self.gate is not None and what != "flush":
            await self.gate.wait()
        if what in self.failing:
            raise self.failing[what]

    async def create(self, spec: IndexSpec) -> VectorIndex:
        self.created += 1
        return cast("VectorIndex", WatchedIndex(await self._inner.create(spec), self))

    async def open(self, spec: IndexSpec) -> VectorIndex:
        return cast("VectorIndex", WatchedIndex(await self._inner.open(spec), self))


@dataclass(slots=True, eq=False)
class Rig:
    """Everything open over one folder."""

    store: SqliteStore
    engines: dict[str, WatchedEngine]
    embedder: WatchedEmbedder
    generations: Generations
    catalog: Catalog
    documents: Documents
    moves: Moves
    other: WatchedEmbedder

    @classmethod
    async def open(
        cls, folder: Path, *, index_batch: int = 2048, optimize_after: int = 20_000, wait_timeout_s: float = 20.0
    ) -> Rig:
        store = await SqliteStore.open(folder / "nearfield.db")
        engines = {
            engine.name: WatchedEngine(cast("VectorEngine", engine.at(folder / "engines" / engine.name)))
            for engine in (ExactEngine, LocalEngine)
        }
        embedder = WatchedEmbedder()

        other = WatchedEmbedder(dimension=16, words=2 * PASSAGE_WORDS)

        async def embedder_of(name: str) -> Embedder:
            known = {"hashing": embedder, "other": other}
            return known[name] if name in known else GivenVectors.named(name)

        generations = Generations(
            store,
            engine=lambda name: cast("VectorEngine", engines[name]),
            embedder=embedder_of,
            index_batch=index_batch,
            optimize_after=optimize_after,
        )
        catalog = Catalog(store, generations, wait_timeout_s=wait_timeout_s)
        documents = Documents(store, catalog, generations, max_text_length=100_000, wait_timeout_s=wait_timeout_s)
        moves = Moves(store, catalog, generations, wait_timeout_s=wait_timeout_s)
        return cls(store, engines, embedder, generations, catalog, documents, moves, other)

    @property
    def exact(self) -> WatchedEngine:
        return self.engines["exact"]

    async def close(self) -> None:
        await self.generations.close()
        await self._close_parts()

    async def abandon(self) -> None:
        """As if the process were gone: nothing more is applied and nothing is flushed."""
        for collection in await self.catalog.list():
            for record in await self.generations.records(collection):
                opened = self.generations.found(collection, record)
                if opened is not None:
                    opened.indexer.progress.fail("the process is gone")  # an indexer that stands still does not flush
        await self.close()

    async def _close_parts(self) -> None:
        for engine in self.engines.values():
            await engine.close()
        await self.store.close()

    async def put(self, *bodies: Mapping[str, Any], name: str = "books", id_field: str | None = "id") -> UpsertResult:
        rows: list[SourceRow | Rejection] = [SourceRow(line, body) for line, body in enumerate(bodies, start=1)]
        return await self.documents.upsert(name, rows, id_field=id_field)

    async def text(self, id: str, text: str, name: str = "books") -> int:
        """Write one document; its seq."""
        return (await self.put({"id": id, "text": text}, name=name)).receipt.seq

    async def live(self, name: str = "books") -> OpenGeneration:
        return await self.generations.live(await self.catalog.get(name))

    async def held(self, name: str = "books") -> list[int]:
        """The keys in the index, sorted."""
        index = (await self.live(name)).index
        return sorted([key async for batch in index.keys() for key in batch.tolist()])  # noqa: SIM118 - no dict

    async def passages(self, name: str = "books") -> dict[int, str]:
        """What must be in the index: the text of every passage by its key, reckoned from the documents alone."""
        found: dict[int, str] = {}
        embedder = (await self.live(name)).embedder
        async for document in self.documents.export(name):
            [pieces] = Chunker(embedder).split([document.body["text"]])
            found.update({chunk_key(document.key, ordinal): piece for ordinal, piece in enumerate(pieces)})
        return found

    async def assert_true(self, name: str = "books") -> None:
        """The index holds exactly the passages of the documents as they are now, each with its own vector."""
        await self.documents.wait(name)
        wanted = await self.passages(name)
        assert await self.held(name) == sorted(wanted)
        report = await self.catalog.check(name)
        assert report.clean, report
        assert report.rows == report.passages == len(wanted)
        if wanted:
            keys, vectors = await (await self.live(name)).index.vectors(np.array(list(wanted), dtype=np.int64))
            embedder = cast("HashingEmbedder", (await self.live(name)).embedder)
            again = await HashingEmbedder.embed(embedder, [wanted[key] for key in keys.tolist()], role="document")
            assert len(keys) == len(wanted)
            assert np.abs(vectors - again).max() < 1e-3  # kept as float16


def numbered(count: int, text: str = "document number") -> Iterable[dict[str, Any]]:
    """Small documents, one passage each."""
    return ({"id": str(number), "text": f"{text} {number}"} for number in range(count))


async def until(condition: Any, *, seconds: float = 20.0) -> None:
    """Wait until `condition()` holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
