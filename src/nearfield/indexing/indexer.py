"""Keeps one generation equal to the truth: change log → embed → engine → watermark.

The loop reads the log past what it applied, collapses changes by document, and applies the documents as they are *now*:
a document that changed twice ends as its last version in whatever order versions were seen. Applying is idempotent and
the watermark moves only after the engine was flushed, so that a crash anywhere replays and never skips.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import ChangeKind, chunk_key, text_hash
from nearfield.domain.errors import EngineUnavailable, IndexDamaged, NearfieldError
from nearfield.domain.rows import row_of
from nearfield.indexing.chunking import Chunker
from nearfield.indexing.embedding import stop
from nearfield.indexing.filling import fill_words
from nearfield.indexing.flushes import Flushes
from nearfield.indexing.lexical_text import lexical_texts
from nearfield.indexing.progress import Progress
from nearfield.protocols.engine import check_vectors, words_beside
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.documents import Float32Array, Int64Array, StoredDocument
    from nearfield.domain.filters import Row
    from nearfield.indexing.embedding import Embedding
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import VectorIndex, WordsBeside
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.indexing")

READ_DOCUMENTS = 256  # documents read and split at a time
MAX_CHARACTERS = 8_000_000  # of text in one batch, reached or not by the last documents read: memory, not speed
BATCHES_UNDER_WAY = 2
THROTTLED_BATCH = 256  # changes: the pauses of an indexer that leaves room to others come often
MOST_HASTE = 8  # times less room than asked, where the log grows as fast as it is applied
QUIET_UPKEEP_S = 1.0
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 30.0
_UPSERT = ChangeKind.UPSERT


@dataclass(slots=True)
class _Batch:
    """Changes on their way into the engine. `vectors` is filled once they are embedded."""

    last_seq: int
    keys: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # as embedded
    lexical: list[str] = field(default_factory=list)  # as searched by words
    hashes: list[bytes] = field(default_factory=list)
    passages: dict[int, int] = field(default_factory=dict)  # by document key; 0: the document is gone
    characters: int = 0
    vectors: Float32Array | None = None


class Indexer:
    """One background task per open generation. `notify` wakes it; `progress` tells and awaits how far it is."""

    def __init__(
        self,
        store: Store,
        collection: Collection,
        generation: Generation,
        index: VectorIndex,
        embedder: Embedder,
        *,
        embedding: Embedding,
        batch: int,
        optimize_after: int,
        share: float = 1.0,
    ) -> None:
        """share: of the time this indexer works while it has much to apply, 0 to 1; the rest is left to others, or less
        of it where that would never end."""
        self.progress = Progress(generation.applied_seq)
        self._store, self._collection, self._generation = store, collection, generation
        self._index, self._embedding = index, embedding
        self._chunker = Chunker(embedder)
        self._brings_vectors = collection.spec.brings_vectors
        self._batch, self._optimize_after, self._share, self._haste = batch, optimize_after, share, 1
        self._durable_seq = generation.applied_seq
        self._flushes = Flushes()
        self._spans: dict[int, int] = {}
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._optimizing = 0
        self._upkeep: asyncio.Task[None] | None = None
        self._writes = 0
        self._kept_up_to = -1  # of `_writes`, when the last upkeep began
        self._task: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._on_damage: Callable[[], None] | None = None

    def start(self, *, on_damage: Callable[[], None] | None = None) -> None:
        """Begin applying changes, from the watermark on.

        on_damage: called where the index turns out to be lost or damaged, once the engine answers; nothing more is
        applied then.
        """
        self._on_damage = on_damage
        self._task = asyncio.create_task(self._run(), name=f"indexer {self._generation.index_name}")
        beside = words_beside(self._index)
        if beside is not None and beside.unfilled:
            self._filling = asyncio.create_task(self._fill(beside), name=f"words {self._generation.index_name}")

    def notify(self, seq: int) -> None:
        """Tell that the log has grown to `seq`."""
        self.progress.latest = max(self.progress.latest, seq)
        self._wake.set()

    def pace(self, share: float) -> None:
        """Work another share of the time from now on."""
        self._share = share

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing is applied inside."""
        async with self._writing:
            yield

    async def close(self) -> None:
        """Stop between two steps, and make what was applied durable."""
        await stop(self._task)
        await stop(self._filling)
        await stop(self._upkeep)
        if self.progress.error is None:
            await self._flush()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Take every unindexed row into the index now, and drop from the log what no index needs any more."""
        self._optimizing += 1
        self._flushes.count = 0
        try:
            await self._index.optimize(all_cores=all_cores)
        finally:
            self._optimizing -= 1
            self._wake.set()  # rows written meanwhile may wait for a flush, and for an optimize of their own
        await self._store.compact_log(self._collection, self._durable_seq)
        if self._brings_vectors:
            await self._store.sweep_vectors(self._collection)

    async def mend(self, documents: Sequence[int], surplus: Int64Array) -> None:
        """Remove some rows, then apply some documents again as they are now. Durable on return.

        documents: by key. surplus: chunk keys no document accounts for; their documents must be among `documents`,
        lest a row that was surplus when it was looked at be missing now.
        """
        # the log's own batches wait meanwhile, so that what is read here cannot overwrite something newer
        async with self._writing:
            try:
                if len(surplus):
                    await _whole(self._index.delete(surplus))
                wanted = list(documents)
                for start in range(0, len(wanted), READ_DOCUMENTS):
                    part = dict.fromkeys(wanted[start : start + READ_DOCUMENTS], _UPSERT)
                    batch = _Batch(self.progress.applied)
                    await self._take_in(batch, part)
                    await self._embed(batch)
                    await _whole(self._write(batch))
            finally:
                self.progress.mended += 1
            await self._index.flush()

    async def _run(self) -> None:
        delay, failed_at = RETRY_FIRST_S, -1
        while True:
            try:
                await self._index.stats()  # an engine that is down is met before anything is embedded for it
                await self._follow()
            except asyncio.CancelledError:
                raise
            except Exception as exc:  # noqa: BLE001 - told to the status, and logged
                self._tell(exc)
                if isinstance(exc, IndexDamaged) and self._on_damage is not None:
                    self._on_damage()
                    return
            delay = min(delay * 2, RETRY_MOST_S) if self.progress.applied == failed_at else RETRY_FIRST_S
            failed_at = self.progress.applied
            await asyncio.sleep(delay)

    def _tell(self, exc: Exception) -> None:
        """Note why nothing is applied; the log is told once, however often it is tried again."""
        told = str(exc) if isinstance(exc, NearfieldError) else f"internal error ({type(exc).__name__})"
        if self.progress.error is None:
            defect = None if isinstance(exc, EngineUnavailable) else exc
            log.error("indexing %s stands still: %s", self._collection.name, told, exc_info=defect)
        self.progress.fail(told)

    async def _fill(self, index: WordsBeside) -> None:
        """Fill the words beside the index, trying again until they are whole."""

        async def build(page: Sequence[StoredDocument]) -> _Batch:
            batch = _Batch(0)
            await asyncio.to_thread(self._build, batch, page)
            return batch

        parts = (index, self._store, self._collection, self._generation)
        while True:
            try:
                filled = await fill_words(*parts, build=build, writing=self._writing)
            except NearfieldError as exc:
                log.error("the words of %s cannot be filled yet: %s", self._collection.name, exc)
                await asyncio.sleep(RETRY_MOST_S)
            else:
                log.info("filled the words of %s from %d documents", self._collection.name, filled)
                return

    async def _follow(self) -> None:
        """Apply changes for ever. Batches overlap: some being embedded, so that no core waits, one being applied."""
        read_seq = self.progress.applied
        preparing: asyncio.Task[_Batch | None] | None = None
        under_way: deque[asyncio.Task[None]] = deque()  # in the order they are applied
        try:
            while True:
                self._wake.clear()
                throttled = self._share < 1
                batch = await (preparing or self._prepare(read_seq))
                preparing = None
                if batch is None:
                    if not under_way:
                        await self._rest()
                        continue
                else:
                    read_seq = batch.last_seq
                    if not throttled:  # what is read before a pause is stale after it, and what came meanwhile unread
                        preparing = asyncio.create_task(self._prepare(read_seq))
                    before = under_way[-1] if under_way else None
                    under_way.append(asyncio.create_task(self._carry(batch, before)))
                began, behind = time.monotonic(), self.progress.latest - self.progress.applied
                while len(under_way) > (0 if batch is None or throttled else BATCHES_UNDER_WAY):
                    await under_way[0]
                    under_way.popleft()
                if throttled and batch is not None:
                    await asyncio.sleep((time.monotonic() - began) * (1 / self._share - 1) / self._haste)
                    self._hasten(behind)
        except Exception:
            if under_way:  # what is embedded goes in, whatever became of a batch behind it
                await asyncio.wait(under_way)
            raise
        finally:
            for task in (preparing, *reversed(under_way)):
                await stop(task)

    def _hasten(self, before: int) -> None:
        """Leave less room to others while no fewer changes are behind than `before`, and more again once they are."""
        behind = self.progress.latest - self.progress.applied
        stuck = behind > THROTTLED_BATCH and behind >= before
        self._haste = min(MOST_HASTE, 2 * self._haste) if stuck else max(1, self._haste // 2)

    async def _carry(self, batch: _Batch, before: asyncio.Task[None] | None) -> None:
        """Embed a batch, then apply it once the one before it is applied; not at all where that failed."""
        await self._embed(batch)
        if before is not None:
            await before
        await self._apply(batch)

    async def _rest(self) -> None:
        """Nothing to apply: flush after a moment's quiet, then sleep until told."""
        self.progress.recover()
        if self._durable_seq < self.progress.applied and not self._optimizing:
            if await self._woken(self._flushes.wait_s(quiet=True)):
                return
            async with self._writing:
                await self._flush()
        if not await self._woken(QUIET_UPKEEP_S):
            await self._start_upkeep(idle=True)
            await self._wake.wait()

    async def _woken(self, seconds: float) -> bool:
        """Whether the log grew within some seconds."""
        with suppress(TimeoutError):
            # not wait_for: before Python 3.12 it loses a cancellation that comes just after the wake
            async with asyncio.timeout(seconds):
                return await self._wake.wait()
        return False

    # -- one batch -----------------------------------------------------------------------------------------------
    async def _prepare(self, after: int) -> _Batch | None:
        """The next changes and their documents as they are now; fewer than `batch` when the texts are long."""
        limit = self._batch if self._share >= 1 else min(self._batch, THROTTLED_BATCH * self._haste)
        changes = await self._store.changes(self._collection, after=after, limit=limit)
        if not changes:
            # the log's last changes may be compacted away: deletes, which an index built anew has nothing to do for
            last = await self._store.last_seq(self._collection)
            if last <= after:
                return None
            changes = await self._store.changes(self._collection, after=after, limit=limit)
            if not changes:
                return _Batch(last)
        batch = _Batch(after)
        for start in range(0, len(changes), READ_DOCUMENTS):
            part = changes[start : start + READ_DOCUMENTS]
            # a document is read once: all these changes were made before, so that it is beyond the last of them
            kinds = {c.document_key: c.kind for c in part if c.document_key not in batch.passages}
            await self._take_in(batch, kinds)
            batch.last_seq = part[-1].seq
            if batch.characters >= MAX_CHARACTERS:
                break
        return batch

    async def _take_in(self, batch: _Batch, kinds: Mapping[int, ChangeKind]) -> None:
        """Add documents, by key, with their passages; those that are gone with none."""
        upserted = [key for key, kind in kinds.items() if kind is _UPSERT]
        stored = await self._store.by_key(self._collection, upserted)
        batch.passages.update(dict.fromkeys(kinds, 0))
        await asyncio.to_thread(self._build, batch, list(stored.values()))

    def _build(self, batch: _Batch, documents: Sequence[StoredDocument]) -> None:
        texts = [self._collection.spec.embed.render(document.body) for document in documents]
        passages = [[text] for text in texts] if self._brings_vectors else self._chunker.split(texts)
        for document, pieces in zip(documents, passages, strict=True):
            row = row_of(document.body, self._collection.spec.fields)
            batch.lexical += lexical_texts(self._collection.spec, document.body, pieces)
            for ordinal, piece in enumerate(pieces):
                batch.keys.append(chunk_key(document.key, ordinal))
                batch.rows.append(row)
                batch.texts.append(piece)
                batch.hashes.append(document.vector_hash or text_hash(piece))
            batch.passages[document.key] = len(pieces)
        batch.characters += sum(map(len, texts))

    async def _embed(self, batch: _Batch) -> None:
        """Fill `batch.vectors`."""
        texts = dict(zip(batch.hashes, batch.texts, strict=True))
        if self._brings_vectors:
            known = await self._store.vectors(brought(self._collection), list(texts))
            if len(known) < len(texts):
                raise NearfieldError(f"{len(texts) - len(known)} brought vectors are missing from the store")
        else:
            known = await self._embedding.vectors(texts)
        if batch.hashes:
            batch.vectors = await asyncio.to_thread(self._stack, batch, known)

    def _stack(self, batch: _Batch, known: dict[bytes, Float32Array]) -> Float32Array:
        stacked = np.stack([known[digest] for digest in batch.hashes])
        return check_vectors(stacked, self._generation.dimension, metric=self._generation.index.metric)

    async def _apply(self, batch: _Batch) -> None:
        async with self._writing:
            await _whole(self._write(batch))
            self.progress.advance(batch.last_seq)
            if self._optimizing or self._flushes.wait_s(quiet=False) > 0:
                return  # a flush would wait for the optimize, and later batches for the flush
            await self._flush()
        # where nothing is behind, what comes next decides: quiet, or an import's own end
        if self.progress.applied < self.progress.latest or self._flushes.many:
            await self._start_upkeep(idle=False)

    async def _write(self, batch: _Batch) -> None:
        # read here, not while preparing: the batch before this one may have changed the same documents
        before = await self._store.spans(self._generation, list(batch.passages))
        removed, claimed, settled = [], {}, {}
        for document, now in batch.passages.items():
            most = max(before.get(document, 1), now)
            removed += [chunk_key(document, ordinal) for ordinal in range(now, most)]
            if most > 1:
                claimed[document], settled[document] = most, now
        if claimed:
            await self._store.put_spans(self._generation, claimed)
        if removed:
            await self._index.delete(np.array(removed, dtype=np.int64))
        if batch.vectors is not None:
            keys = np.array(batch.keys, dtype=np.int64)
            await self._index.upsert(keys, batch.vectors, batch.rows, batch.lexical)
        self._flushes.rows += len(batch.keys) + len(removed)
        self._spans |= settled
        self._writes += 1

    async def _flush(self) -> None:
        applied, spans = self.progress.applied, self._spans
        if applied == self._durable_seq and not spans:
            return
        self._spans = {}
        try:
            await self._index.flush()
            await self._store.set_watermark(self._generation, applied, spans=spans)
        except BaseException:
            self._spans = spans | self._spans
            raise
        self._durable_seq = applied
        self._flushes.made()

    async def _start_upkeep(self, *, idle: bool) -> None:
        """Optimise in the background when enough rows are unindexed: fewer are enough when nothing else is to do, and
        any after many flushes."""
        if (self._upkeep is not None and not self._upkeep.done()) or self._writes == self._kept_up_to:
            return
        threshold = self._optimize_after // 10 if idle else self._optimize_after
        if self._flushes.many:
            threshold = 1
        if (await self._index.stats()).unindexed >= max(threshold, 1):
            self._kept_up_to = self._writes
            self._upkeep = asyncio.create_task(self._keep_up(), name=f"upkeep {self._generation.index_name}")

    async def _keep_up(self) -> None:
        started = time.monotonic()
        try:
            await self.optimize()
        except Exception:
            log.exception("upkeep of %s failed; searches go on over unindexed rows", self._collection.name)
        else:
            log.info("optimised %s in %.1f s", self._collection.name, time.monotonic() - started)


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end even when cancelled: an engine goes on writing in its thread, and no later write may pass it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
