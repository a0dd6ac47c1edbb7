"""The store over any SQL database: the asynchronous seam in front of one writer and a few readers."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import text

from nearfield.domain.documents import WriteReceipt
from nearfield.store import change_log, compaction
from nearfield.store import collections as collection_rows
from nearfield.store import documents as document_rows
from nearfield.store import events as event_rows
from nearfield.store import generations as generation_rows
from nearfield.store import judgments as judgment_rows
from nearfield.store import rules as rule_rows
from nearfield.store import vectors as vector_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearfield.domain.collections import Collection, Generation, GenerationState
    from nearfield.domain.documents import Change, Document, Float32Array, StoredDocument
    from nearfield.domain.events import Event, Impression, QueryReport
    from nearfield.domain.judgments import Judgment, JudgmentSource
    from nearfield.domain.rules import Rules, RulesVersion
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.store import NewGeneration
    from nearfield.store.readers import Readers
    from nearfield.store.writer import Writer

_LARGEST_KEY = 2**63 - 1


class SqlStore:
    """Implements `nearfield.protocols.store.Store`, where each method's promise is written down."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._closing = threading.Lock()

    @property
    def commits(self) -> int:
        """Transactions committed since the store was opened: fewer than the writes, when writes come together."""
        return self._writer.commits

    async def create_collection(self, spec: CollectionSpec) -> Collection:
        return await self._writer.run(partial(collection_rows.create, spec=spec))

    async def collection(self, name: str) -> Collection:
        return await self._readers.run(partial(collection_rows.find, name=name))

    async def collections(self) -> list[Collection]:
        return await self._readers.run(collection_rows.every)

    async def respec(self, collection: Collection, change: Callable[[CollectionSpec], CollectionSpec]) -> Collection:
        return await self._writer.run(partial(collection_rows.respec, collection=collection, change=change))

    async def drop_collection(self, collection: Collection) -> None:
        """Gone in one transaction; its rows are then removed in pages, between which other writes go on. A drop cut
        short after the first (by a crash, by cancelling) is finished when the store is next opened."""
        await self._writer.run(partial(collection_rows.hide, collection=collection))
        await self._purge(collection)

    async def purge_dropped(self) -> int:
        """Remove the rows of collections whose drop was cut short. Returns how many collections those were."""
        left = await self._readers.run(collection_rows.hidden)
        for collection in left:
            await self._purge(collection)
        return len(left)

    async def _purge(self, collection: Collection) -> None:
        page = partial(collection_rows.purge_page, collection=collection)
        while await self._writer.run(page, weight=collection_rows.PURGE_PAGE):
            pass

    async def upsert(self, collection: Collection, documents: Sequence[Document]) -> WriteReceipt:
        return await self._writer.run(
            partial(document_rows.upsert, collection=collection, batch=documents), weight=len(documents)
        )

    async def patch(
        self, collection: Collection, id: str, change: Callable[[StoredDocument], Document]
    ) -> WriteReceipt:
        """A document that brought a vector and is patched without one keeps it."""
        return await self._writer.run(partial(document_rows.patch, collection=collection, id=id, change=change))

    async def delete(self, collection: Collection, ids: Sequence[str]) -> WriteReceipt:
        return await self._writer.run(
            partial(document_rows.remove, collection=collection, ids=_storable(ids)), weight=len(ids)
        )

    async def delete_where(self, collection: Collection, keep: Callable[[StoredDocument], bool]) -> WriteReceipt:
        """`keep` runs on the writer's thread, in the transaction that deletes, so that no change comes between."""
        seq = deleted = 0
        after: int | None = 0
        while after is not None:
            page = partial(document_rows.remove_where, collection=collection, keep=keep, after_key=after)
            receipt, after = await self._writer.run(page, weight=document_rows.DELETE_PAGE)
            seq = receipt.seq
            deleted += receipt.deleted
        return WriteReceipt(seq, deleted=deleted)

    async def by_id(self, collection: Collection, ids: Sequence[str]) -> dict[str, StoredDocument]:
        return await self._readers.run(partial(document_rows.by_id, collection=collection, ids=_storable(ids)))

    async def by_key(self, collection: Collection, keys: Sequence[int]) -> dict[int, StoredDocument]:
        return await self._readers.run(partial(document_rows.by_key, collection=collection, keys=_possible(keys)))

    async def scan(self, collection: Collection, *, after_key: int = 0, limit: int = 1000) -> list[StoredDocument]:
        return await self._readers.run(
            partial(document_rows.scan, collection=collection, after_key=after_key, limit=limit)
        )

    async def count(self, collection: Collection) -> int:
        return await self._readers.run(partial(document_rows.count, collection=collection))

    async def changes(self, collection: Collection, *, after: int, limit: int) -> list[Change]:
        return await self._readers.run(partial(change_log.read, collection_id=collection.id, after=after, limit=limit))

    async def last_seq(self, collection: Collection) -> int:
        return await self._readers.run(partial(change_log.last_seq, collection=collection))

    async def pending(self, collection: Collection, *, after: int) -> int:
        return await self._readers.run(partial(change_log.pending, collection_id=collection.id, after=after))

    async def compact_log(self, collection: Collection, up_to: int) -> int:
        """In pages, between which other writes go on. `last_seq` never goes back. Costs a count when the log holds
        one change for each document and nothing else."""
        if await self.pending(collection, after=0) <= await self.count(collection):
            return 0
        removed = 0
        after: int | None = 0
        while after is not None:
            page = partial(compaction.compact_page, collection=collection, after=after, up_to=up_to)
            count, after = await self._writer.run(page, weight=compaction.PAGE)
            removed += count
        return removed

    async def sweep_vectors(self, collection: Collection) -> int:
        """Remove brought vectors that no document refers to any more; does nothing while a generation lags.

        Returns how many vectors were removed. In pages, between which other writes go on.
        """
        removed = 0
        after: int | None = 0
        while after is not None:
            page = partial(compaction.sweep_page, collection=collection, after=after)
            count, after = await self._writer.run(page, weight=compaction.PAGE)
            removed += count
        return removed

    async def vectors(self, fingerprint: str, hashes: Sequence[bytes]) -> dict[bytes, Float32Array]:
        return await self._readers.run(partial(vector_rows.read, fingerprint=fingerprint, hashes=hashes))

    async def put_vectors(self, fingerprint: str, hashes: Sequence[bytes], vectors: Float32Array) -> None:
        keep = partial(
            vector_rows.keep,
            fingerprint=fingerprint,
            hashes=hashes,
            values=vectors,
            precision=vector_rows.Precision.HALF,
        )
        await self._writer.run(keep, weight=len(hashes))

    async def create_generation(self, collection: Collection, new: NewGeneration) -> Generation:
        return await self._writer.run(partial(generation_rows.create, collection=collection, new=new))

    async def generations(self, collection: Collection) -> list[Generation]:
        return await self._readers.run(partial(generation_rows.every, collection=collection))

    async def set_state(self, generation: Generation, state: GenerationState) -> Generation:
        """Raises IndexMissing when the generation was dropped."""
        return await self._writer.run(partial(generation_rows.set_state, generation=generation, state=state))

    async def switch(self, generation: Generation) -> Collection:
        return await self._writer.run(partial(generation_rows.switch, generation=generation))

    async def put_report(self, generation: Generation, report: str) -> None:
        await self._writer.run(partial(generation_rows.put_report, generation=generation, report=report))

    async def report(self, generation: Generation) -> str | None:
        return await self._readers.run(partial(generation_rows.read_report, generation=generation))

    async def set_watermark(
        self, generation: Generation, applied_seq: int, *, spans: Mapping[int, int] | None = None
    ) -> None:
        """Raises IndexMissing when the generation was dropped."""
        advance = partial(
            generation_rows.set_watermark, generation=generation, applied_seq=applied_seq, new_spans=dict(spans or {})
        )
        await self._writer.run(advance, weight=1 + len(spans or ()))

    async def drop_generation(self, generation: Generation) -> None:
        await self._writer.run(partial(generation_rows.drop, generation=generation))

    async def spans(self, generation: Generation, document_keys: Sequence[int]) -> dict[int, int]:
        keys = _possible(document_keys)
        return await self._readers.run(partial(generation_rows.read_spans, generation=generation, document_keys=keys))

    async def put_spans(self, generation: Generation, spans: Mapping[int, int]) -> None:
        """Raises IndexMissing when the generation was dropped."""
        put = partial(generation_rows.put_spans, generation=generation, new_spans=dict(spans))
        await self._writer.run(put, weight=len(spans))

    async def judgments(self, collection: Collection) -> list[Judgment]:
        return await self._readers.run(partial(judgment_rows.every, collection=collection))

    async def put_judgments(self, collection: Collection, judgments: Sequence[Judgment]) -> int:
        put = partial(judgment_rows.put, collection=collection, given=judgments)
        return await self._writer.run(put, weight=len(judgments))

    async def replace_judgments(
        self, collection: Collection, source: JudgmentSource, judgments: Sequence[Judgment]
    ) -> int:
        replace = partial(judgment_rows.replace, collection=collection, source=source, given=judgments)
        return await self._writer.run(replace, weight=len(judgments))

    async def remove_judgments(
        self, collection: Collection, *, query: str | None = None, source: JudgmentSource | None = None
    ) -> int:
        return await self._writer.run(partial(judgment_rows.remove, collection=collection, query=query, source=source))

    async def put_impressions(self, collection_id: int, shown: Sequence[Impression]) -> None:
        put = partial(event_rows.put_impressions, collection_id=collection_id, shown=shown)
        await self._writer.run(put, weight=len(shown))

    async def put_events(self, collection: Collection, done: Sequence[Event]) -> int:
        return await self._writer.run(
            partial(event_rows.put_events, collection=collection, done=done), weight=len(done)
        )

    async def impressions(
        self, collection: Collection, *, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, Impression]]:
        return await self._readers.run(
            partial(event_rows.page_of_impressions, collection=collection, after=after, limit=limit)
        )

    async def events(self, collection: Collection, search_ids: Sequence[str]) -> list[Event]:
        return await self._readers.run(partial(event_rows.events_of, collection=collection, search_ids=search_ids))

    async def report_queries(self, collection: Collection, *, below: int, limit: int) -> list[QueryReport]:
        return await self._readers.run(partial(event_rows.report, collection=collection, below=below, limit=limit))

    async def forget_events(self, collection: Collection, *, before: int) -> int:
        return await self._writer.run(partial(event_rows.forget, collection=collection, before=before))

    async def rules(self, collection: Collection, version: int | None = None) -> RulesVersion:
        return await self._readers.run(partial(rule_rows.read, collection=collection, version=version))

    async def rules_history(self, collection: Collection) -> list[RulesVersion]:
        return await self._readers.run(partial(rule_rows.history, collection=collection))

    async def put_rules(
        self, collection: Collection, rules: Rules, *, restored_from: int | None = None, keep: int
    ) -> RulesVersion:
        put = partial(rule_rows.put, collection=collection, written=rules, restored_from=restored_from, keep=keep)
        return await self._writer.run(put)

    async def ping(self) -> None:
        await self._readers.run(lambda conn: conn.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._closing:  # a second caller waits until the first has finished
            self._readers.close()
            self._writer.close()


def _possible(keys: Sequence[int]) -> list[int]:
    """Plain integers: a driver knows no NumPy ones, and none beyond 63 bits, which no key has."""
    return [key for key in map(int, keys) if 0 < key <= _LARGEST_KEY]


def _storable(ids: Sequence[str]) -> list[str]:
    """Without ids that are not Unicode (a lone surrogate): no document has one, and no driver takes one."""
    return [given for given in ids if given.isascii() or _is_unicode(given)]


def _is_unicode(id: str) -> bool:
    try:
        id.encode()
    except UnicodeEncodeError:
        return False
    return True
