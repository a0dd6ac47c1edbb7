"""Documents: written, patched, deleted, read, imported, exported. Every write is durable when its call returns."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from nearfield.domain.binding import bind
from nearfield.domain.documents import Document
from nearfield.domain.errors import DocumentNotFound, InvalidDocument, NearfieldError
from nearfield.domain.filters import matches
from nearfield.domain.reports import UpsertResult
from nearfield.domain.rows import row_of
from nearfield.indexing.adopting import AdoptedVectors
from nearfield.indexing.exports import run_export
from nearfield.indexing.imports import run_import
from nearfield.indexing.intake import Intake
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, Rejection, StoredDocument, WriteReceipt
    from nearfield.domain.filters import Filter
    from nearfield.domain.reports import ImportProgress, ImportReport
    from nearfield.indexing.catalog import Catalog
    from nearfield.indexing.generations import Generations
    from nearfield.indexing.imports import Takes
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.sink import Sink
    from nearfield.protocols.source import Source, SourceRow
    from nearfield.protocols.store import Store

SLICE = 500  # rows validated at a time in a thread
EXPORT_PAGE = 500


class _VectorChanged(NearfieldError):
    """The document got another vector between two looks at it; look again."""


class Documents:
    """The documents of every collection, by the collection's name. All methods raise CollectionNotFound."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        generations: Generations,
        *,
        max_text_length: int,
        wait_timeout_s: float,
    ) -> None:
        self._store, self._catalog, self._generations = store, catalog, generations
        self._max_text_length, self._wait_timeout_s = max_text_length, wait_timeout_s

    async def upsert(
        self, name: str, rows: Sequence[SourceRow | Rejection], *, id_field: str | None = "id"
    ) -> UpsertResult:
        """Insert or replace documents. A row that cannot be taken is told in `rejected`; the others go in.

        id_field: the field that holds the id; None derives ids from the content.
        """
        collection = await self._catalog.get(name)
        intake = await self._intake(collection)
        documents: list[Document] = []
        rejected: list[Rejection] = []
        for start in range(0, len(rows), SLICE):
            taken, refused = await asyncio.to_thread(intake.take, rows[start : start + SLICE], id_field=id_field)
            documents += taken
            rejected += refused
        receipt = await self._written(collection, self._store.upsert(collection, documents))
        return UpsertResult(receipt, len(documents), tuple(sorted(rejected, key=lambda refusal: refusal.line)))

    async def patch(self, name: str, id: str, changes: Mapping[str, Any]) -> WriteReceipt:
        """Change some fields of one document by JSON merge patch (RFC 7396): null removes a field.

        Raises DocumentNotFound, InvalidDocument.
        """
        collection = await self._catalog.get(name)
        intake = await self._intake(collection)
        while True:
            before = (await self._store.by_id(collection, [id])).get(id)
            if before is None:
                raise DocumentNotFound(f"no document {id!r} in {name}")
            vector = await self._vector_of(collection, before)
            try:
                change = partial(_patched, intake=intake, before=before, vector=vector, changes=changes)
                return await self._written(collection, self._store.patch(collection, id, change))
            except _VectorChanged:
                continue

    async def delete(self, name: str, ids: Sequence[str]) -> WriteReceipt:
        """Delete by id; `deleted` counts those that were there."""
        collection = await self._catalog.get(name)
        return await self._written(collection, self._store.delete(collection, ids))

    async def delete_where(self, name: str, where: Filter) -> WriteReceipt:
        """Delete every document that passes a filter, decided on the documents themselves. Raises InvalidFilter."""
        collection = await self._catalog.get(name)
        fields = collection.spec.fields
        bound = bind(where, fields)

        def keep(document: StoredDocument) -> bool:
            return not matches(bound, row_of(document.body, fields))

        return await self._written(collection, self._store.delete_where(collection, keep))

    async def get(self, name: str, id: str) -> StoredDocument:
        """Raises DocumentNotFound."""
        found = await self._store.by_id(await self._catalog.get(name), [id])
        if id not in found:
            raise DocumentNotFound(f"no document {id!r} in {name}")
        return found[id]

    async def export(self, name: str) -> AsyncIterator[StoredDocument]:
        """Every document, in the order first stored."""
        collection = await self._catalog.get(name)
        after = 0
        while page := await self._store.scan(collection, after_key=after, limit=EXPORT_PAGE):
            for document in page:
                yield document
            after = page[-1].key

    async def export_vectors(
        self,
        name: str,
        sink: Callable[[OpenGeneration], Sink],
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Every document and its vectors into a sink made for the live generation (see `indexing.exports`)."""
        live = await self._generations.live(await self._catalog.get(name))
        catch_up = partial(self.wait, name)
        return await run_export(self._store, live, sink(live), catch_up=catch_up, on_progress=on_progress)

    async def wait(self, name: str, seq: int | None = None, *, timeout_s: float | None = None) -> int:
        """Wait until a change can be found by searches; how many changes had to be waited for.

        seq: None for the latest, and for search settings that were changed.
        Raises IndexLagging after `timeout_s` (None: the setting wait_timeout_s).
        """
        collection = await self._catalog.get(name)
        live = await self._generations.live(collection)
        if seq is None:
            seq = await self._store.last_seq(collection)
            await self._generations.settled(collection, timeout_s=timeout_s or self._wait_timeout_s)
            live = await self._generations.live(collection)
        if live.applied_seq >= seq:
            return 0
        waited_for = await self._store.pending(collection, after=live.applied_seq)
        await live.wait_for(seq, timeout_s=self._wait_timeout_s if timeout_s is None else timeout_s)
        return waited_for

    async def import_sources(
        self,
        name: str,
        sources: Sequence[Source],
        *,
        id_field: str | None,
        adopt: bool = False,
        rejected_file: Path | None = None,
        on_progress: Callable[[ImportProgress], None] | None = None,
    ) -> ImportReport:
        """Take in whole files, then wait until all of it is searchable and indexed (see `indexing.imports`).

        adopt: the vectors that rows bring were made by the collection's embedder (see `indexing.adopting`).
        """
        takes: Takes = self
        if adopt:
            live = await self._generations.live(await self._catalog.get(name))
            takes = AdoptedVectors(self, self._store, live.embedder, live.collection.spec.embed)
        return await run_import(
            takes,
            self._catalog,
            name,
            sources,
            id_field=id_field,
            rejected_file=rejected_file,
            on_progress=on_progress,
        )

    async def pending(self, name: str) -> int:
        """Changes not yet in the live index."""
        collection = await self._catalog.get(name)
        live = await self._generations.live(collection)
        return await self._store.pending(collection, after=live.applied_seq)

    async def _intake(self, collection: Collection) -> Intake:
        dimension = 0
        if collection.spec.brings_vectors:
            dimension = (await self._generations.live(collection)).generation.dimension
        return Intake(collection, dimension=dimension, max_text_length=self._max_text_length)

    async def _vector_of(self, collection: Collection, document: StoredDocument) -> Float32Array | None:
        if document.vector_hash is None:
            return None
        return (await self._store.vectors(brought(collection), [document.vector_hash]))[document.vector_hash]

    async def _written(self, collection: Collection, write: Coroutine[Any, Any, WriteReceipt]) -> WriteReceipt:
        """Write, and wake the indexer: also when the caller gives up meanwhile, or the write fails halfway."""

        def wake(done: asyncio.Future[WriteReceipt]) -> None:
            failed = done.cancelled() or done.exception() is not None
            self._generations.notify(collection, 0 if failed else done.result().seq)

        writing = asyncio.ensure_future(write)
        writing.add_done_callback(wake)
        return await asyncio.shield(writing)


def _patched(
    now: StoredDocument,
    *,
    intake: Intake,
    before: StoredDocument,
    vector: Float32Array | None,
    changes: Mapping[str, Any],
) -> Document:
    if now.vector_hash != before.vector_hash:
        raise _VectorChanged("vector changed meanwhile")
    body = merge_patch(now.body, changes)
    if body.get("id") != now.body.get("id"):
        raise InvalidDocument("the id of a document cannot be changed; delete it and add it anew", field="id")
    made = intake.document(body, id_field=None, vector=vector)
    return Document(now.id, made.body, made.content_hash, made.vector)


def merge_patch(target: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with `changes` merged in: null removes, objects merge, all else replaces.

    Source: RFC 7396, section 2.
    """
    merged = dict(target)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged
