"""Open generations: which index answers for a collection, and the indexer that keeps it true."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nearfield.domain.collections import GenerationState
from nearfield.domain.errors import IndexDamaged, InvalidSetting, NearfieldError, ShuttingDown
from nearfield.indexing.indexer import Indexer
from nearfield.indexing.lexical_text import lexical_recipe
from nearfield.protocols.engine import IndexSpec, check_spec
from nearfield.protocols.store import NewGeneration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.schema import CollectionSpec, IndexSettings
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import EngineCapabilities, VectorEngine, VectorIndex
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.indexing")


@dataclass(frozen=True, slots=True, eq=False)
class OpenGeneration:
    """The live generation of a collection: index, embedder, indexer."""

    collection: Collection
    generation: Generation
    index: VectorIndex
    capabilities: EngineCapabilities
    embedder: Embedder
    indexer: Indexer

    @property
    def applied_seq(self) -> int:
        return self.indexer.progress.applied

    @property
    def latest_seq(self) -> int:
        return self.indexer.progress.latest

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        await self.indexer.progress.wait_for(seq, timeout_s=timeout_s)


class Generations:
    """Makes, opens and drops generations. Each collection's live one is opened once and shared."""

    def __init__(
        self,
        store: Store,
        *,
        engine: Callable[[str], VectorEngine],
        embedder: Callable[[str], Awaitable[Embedder]],
        index_batch: int,
        optimize_after: int,
    ) -> None:
        self._store, self._engine, self._embedder = store, engine, embedder
        self._index_batch, self._optimize_after = index_batch, optimize_after
        self._open: dict[int, OpenGeneration] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._closed = False

    async def validate(self, spec: CollectionSpec) -> Embedder:
        """The embedder of a collection to be, once its engine was found to hold what is asked.

        Raises UnsupportedByEngine, ModelUnknown, ModelUnreachable, InvalidSetting.
        """
        engine = self._engine(spec.engine)
        embedder = await self._embedder(spec.embedder)
        check_spec(spec.engine, engine.capabilities, _index_spec("new", embedder.dimension, spec, spec.index))
        return embedder

    async def live(self, collection: Collection) -> OpenGeneration:
        """The open live generation; made empty when the collection has none yet.

        An index whose files are gone or damaged is built again from the store and its cached vectors.
        Raises EngineUnavailable, EmbedderUnavailable, ModelUnreachable, InvalidSetting, CollectionNotFound,
        ShuttingDown.
        """
        found = self._open.get(collection.id)
        if found is not None:
            return found
        async with self._locks.setdefault(collection.id, asyncio.Lock()):
            if collection.id not in self._open:
                if self._closed:
                    raise ShuttingDown("the data directory is being closed")
                self._open[collection.id] = await self._open_live(collection)
            return self._open[collection.id]

    def opened(self, collection: Collection) -> OpenGeneration | None:
        """The live generation where it is open already."""
        return self._open.get(collection.id)

    def notify(self, collection: Collection, seq: int) -> None:
        """Tell the collection's indexer that the log has grown; open the collection where nobody has yet."""
        found = self._open.get(collection.id)
        if found is not None:
            found.indexer.notify(seq)
        elif collection.id not in self._opening and not self._closed:
            task = asyncio.create_task(self._open_quietly(collection), name=f"opening {collection.name}")
            self._opening[collection.id] = task
            task.add_done_callback(lambda _: self._opening.pop(collection.id, None))

    async def _open_quietly(self, collection: Collection) -> None:
        """Open what was written to. The write is safe whatever comes of it: who searches next is told."""
        try:
            await self.live(collection)
        except NearfieldError as exc:
            log.warning("collection %s cannot be opened, its changes wait: %s", collection.name, exc)

    async def rebuild(self, collection: Collection) -> OpenGeneration:
        """Empty the live index and fill it again from the store; vectors come from the cache."""
        async with self._locks.setdefault(collection.id, asyncio.Lock()):
            await self._close_one(collection.id)
            generation = await self._live_record(collection)
            await self._store.set_watermark(generation, 0)
            await self._engine(generation.engine).drop(generation.index_name)
            self._open[collection.id] = await self._open_live(collection)
            return self._open[collection.id]

    async def reopen(self, collection: Collection) -> OpenGeneration:
        """Close the live index and open it for the collection as it is now, building it again where it differs."""
        async with self._locks.setdefault(collection.id, asyncio.Lock()):
            await self._close_one(collection.id)
            self._open[collection.id] = await self._open_live(collection)
            return self._open[collection.id]

    async def drop(self, collection: Collection) -> None:
        """Close the collection, remove the indexes of all its generations, and have the store forget it.

        Who asks for it meanwhile waits, and finds it gone, instead of opening it anew.
        """
        async with self._locks.setdefault(collection.id, asyncio.Lock()):
            await self._close_one(collection.id)
            for generation in await self._store.generations(collection):
                await self._engine(generation.engine).drop(generation.index_name)
            await self._store.drop_collection(collection)
        self._locks.pop(collection.id, None)

    async def close(self) -> None:
        """Stop every indexer, flush and close every index. Idempotent."""
        self._closed = True
        await asyncio.gather(*self._opening.values())
        for collection_id, lock in list(self._locks.items()):
            async with lock:  # one that is being opened is closed after
                await self._close_one(collection_id)

    async def _close_one(self, collection_id: int) -> None:
        found = self._open.pop(collection_id, None)
        if found is None:
            return
        try:
            await found.indexer.close()
        except Exception:
            log.exception("closing %s: the last changes will be applied again", found.collection.name)
        await found.index.close()

    async def _open_live(self, collection: Collection) -> OpenGeneration:
        latest = await self._store.last_seq(collection)  # first, since it refuses a collection that was dropped
        embedder = await self._embedder(collection.spec.embedder)
        generation = await self._live_record(collection, embedder)
        if embedder.fingerprint != generation.fingerprint:
            raise InvalidSetting(
                f"collection {collection.name} was indexed with {generation.fingerprint} and the embedder is now "
                f"{embedder.fingerprint}, whose vectors do not compare; use the settings it was made with",
                field="embedder",
            )
        engine = self._engine(generation.engine)
        spec = _index_spec(generation.index_name, generation.dimension, collection.spec, generation.index)
        index, generation = await self._open_index(engine, spec, generation)
        indexer = Indexer(
            self._store,
            collection,
            generation,
            index,
            embedder,
            batch=self._index_batch,
            optimize_after=self._optimize_after,
        )
        indexer.notify(latest)
        indexer.start()
        return OpenGeneration(collection, generation, index, engine.capabilities, embedder, indexer)

    async def _open_index(
        self, engine: VectorEngine, spec: IndexSpec, generation: Generation
    ) -> tuple[VectorIndex, Generation]:
        """Open, or build anew where nothing was flushed yet or the files are of no use."""
        if generation.applied_seq > 0:
            try:
                return await engine.open(spec), generation
            except IndexDamaged as exc:
                log.warning("index %s cannot be opened (%s); building it again from the store", spec.name, exc)
                await self._store.set_watermark(generation, 0)
        index = await engine.create(spec)
        return index, replace(generation, applied_seq=0)

    async def _live_record(self, collection: Collection, embedder: Embedder | None = None) -> Generation:
        generations = await self._store.generations(collection)
        live = next((g for g in generations if g.state is GenerationState.LIVE), None)
        if live is not None:
            return live
        embedder = embedder or await self._embedder(collection.spec.embedder)
        spec = collection.spec
        made = await self._store.create_generation(
            collection,
            NewGeneration(
                spec.engine, spec.index, embedder.fingerprint, embedder.dimension, spec.embedder, spec.search
            ),
        )
        return await self._store.set_state(made, GenerationState.LIVE)


def _index_spec(name: str, dimension: int, spec: CollectionSpec, settings: IndexSettings) -> IndexSpec:
    return IndexSpec(
        name=name,
        dimension=dimension,
        settings=settings,
        fields=spec.fields,
        language=spec.search.language,
        texts=lexical_recipe(spec),
    )
