"""From the record of a generation to the thing itself: engine, index, embedder, and an indexer that keeps it true."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from nearfield.domain.collections import Collection
from nearfield.domain.errors import IndexDamaged, InvalidSetting
from nearfield.indexing.embedding import Embedding
from nearfield.indexing.indexer import Indexer
from nearfield.indexing.lexical_text import lexical_recipe
from nearfield.protocols.engine import IndexSpec, check_spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.collections import Generation
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import EngineCapabilities, VectorEngine, VectorIndex
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.indexing")


@dataclass(slots=True, eq=False)
class OpenGeneration:
    """A generation that is open: index, embedder, indexer. collection: as it is where this generation is live.

    closed: no search can use it any more.
    """

    collection: Collection
    generation: Generation
    index: VectorIndex
    capabilities: EngineCapabilities
    embedder: Embedder
    indexer: Indexer
    closed: bool = field(default=False)

    @property
    def applied_seq(self) -> int:
        return self.indexer.progress.applied

    @property
    def latest_seq(self) -> int:
        return self.indexer.progress.latest

    @property
    def mended(self) -> int:
        return self.indexer.progress.mended

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        await self.indexer.progress.wait_for(seq, timeout_s=timeout_s)

    async def close(self) -> None:
        """Stop following the log, flush, and let go of the index. Idempotent."""
        if self.closed:
            return
        self.closed = True
        try:
            await self.indexer.close()
        except Exception:
            log.exception("closing %s: the last changes will be applied again", self.collection.name)
        await self.index.close()


class Opener:
    """Opens generations, building anew what is of no use. A collection's generations share what is embedded."""

    def __init__(
        self,
        store: Store,
        *,
        engine: Callable[[str], VectorEngine],
        embedder: Callable[[str], Awaitable[Embedder]],
        index_batch: int,
        optimize_after: int,
        on_damage: Callable[[Collection, Generation], None],
    ) -> None:
        """on_damage: told of an index found lost or damaged only after it was opened, since its engine was down."""
        self._on_damage = on_damage
        self._store, self.engine, self.embedder = store, engine, embedder
        self._index_batch, self._optimize_after = index_batch, optimize_after
        self._embeddings: dict[tuple[int, str], Embedding] = {}

    async def validate(self, spec: CollectionSpec) -> Embedder:
        """The embedder of a collection to be, once its engine was found to hold what is asked.

        Raises UnsupportedByEngine, ModelUnknown, ModelUnreachable, InvalidSetting.
        """
        engine = self.engine(spec.engine)
        embedder = await self.embedder(spec.embedder)
        check_spec(spec.engine, engine.capabilities, index_spec("new", embedder.dimension, spec))
        return embedder

    async def open(self, collection: Collection, generation: Generation, *, share: float = 1.0) -> OpenGeneration:
        """Open a generation and have it follow the log; one whose index is lost or damaged is filled anew.

        share: of the time it works while it has much to apply. Raises EngineUnavailable, EmbedderUnavailable,
        ModelUnreachable, InvalidSetting, CollectionNotFound.
        """
        latest = await self._store.last_seq(collection)  # first, since it refuses a collection that was dropped
        shaped = Collection(collection.id, generation.shape(collection.spec))
        embedder = await self.embedder(generation.embedder)
        if embedder.fingerprint != generation.fingerprint:
            raise InvalidSetting(
                f"collection {collection.name} was indexed with {generation.fingerprint} and the embedder is now "
                f"{embedder.fingerprint}, whose vectors do not compare; use the settings it was made with",
                field="embedder",
            )
        engine = self.engine(generation.engine)
        spec = index_spec(generation.index_name, generation.dimension, shaped.spec)
        index, generation = await self._open_index(engine, spec, generation)
        indexer = Indexer(
            self._store,
            shaped,
            generation,
            index,
            embedder,
            embedding=self._embeddings.setdefault(
                (collection.id, embedder.fingerprint), Embedding(self._store, embedder)
            ),
            batch=self._index_batch,
            optimize_after=self._optimize_after,
            share=share,
        )
        indexer.notify(latest)
        indexer.start(on_damage=partial(self._on_damage, collection, generation))
        return OpenGeneration(shaped, generation, index, engine.capabilities, embedder, indexer)

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


def index_spec(name: str, dimension: int, spec: CollectionSpec) -> IndexSpec:
    """What the index of a collection with these settings is to be."""
    return IndexSpec(
        name=name,
        dimension=dimension,
        settings=spec.index,
        fields=spec.fields,
        language=spec.search.language,
        texts=lexical_recipe(spec),
        words_beside=spec.degraded is not None,
    )
