"""Does the index hold exactly what the store says it must? Counts, keys, sampled vectors; and mending."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import chunk_key, document_keys, text_hash
from nearfield.domain.reports import CheckReport
from nearfield.indexing.chunking import Chunker
from nearfield.protocols.engine import check_vectors, words_index
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Int64Array, StoredDocument
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.engine import VectorIndex
    from nearfield.protocols.store import Store

PAGE = 1_000
CHANGES_PAGE = 50_000
SAMPLE = 500
FAR = 0.045  # of a vector's length: two this far apart differ. About cosine 0.999, where float16 keeps 0.99999


@dataclass(slots=True, eq=False)
class _Truth:
    """What the store says must be in the index."""

    keys: Int64Array
    documents: int
    sample: list[tuple[int, bytes]]  # chunk key, hash of its vector


@dataclass(frozen=True, slots=True, eq=False)
class _Difference:
    rows: int
    missing: Int64Array
    surplus: Int64Array
    sampled: int
    wrong: Int64Array


async def check_generation(
    store: Store,
    opened: OpenGeneration,
    *,
    repair: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    wait_timeout_s: float,
) -> CheckReport:
    """Wait for pending changes, compare, and mend when asked to.

    on_progress: called with (documents read, documents in all). Documents written meanwhile are left out of account.
    Returns what was found; after a repair, `repaired` is set and missing, surplus and wrong tell what was found before.
    Raises IndexLagging when pending changes do not get applied in time.
    """
    collection = opened.collection
    start = await store.last_seq(collection)
    await opened.wait_for(start, timeout_s=wait_timeout_s)
    truth = await _truth(store, opened, on_progress)
    found = await _settled(store, collection, await _compare(store, opened, truth), start)
    broken = _documents(found.missing, found.surplus, found.wrong)
    if repair and broken:
        await opened.indexer.mend(broken, found.surplus)
    return CheckReport(
        collection=collection.name,
        documents=truth.documents,
        passages=len(truth.keys),
        rows=found.rows,
        missing=len(found.missing),
        surplus=len(found.surplus),
        sampled=found.sampled,
        wrong=len(found.wrong),
        pending=await store.pending(collection, after=opened.applied_seq),
        repaired=bool(repair and broken),
    )


async def _truth(store: Store, opened: OpenGeneration, on_progress: Callable[[int, int], None] | None) -> _Truth:
    collection = opened.collection
    total = await store.count(collection)
    wanted = SAMPLE / max(total, 1)
    chunker, chance = Chunker(opened.embedder), random.Random(0)  # noqa: S311 - a sample, not a secret
    keys: list[int] = []
    sample: list[tuple[int, bytes]] = []
    documents, after = 0, 0
    while page := await store.scan(collection, after_key=after, limit=PAGE):
        after, documents = page[-1].key, documents + len(page)
        for key, digest in await asyncio.to_thread(_passages, opened, chunker, page):
            keys.append(key)
            if chance.random() < wanted:
                sample.append((key, digest))
        if on_progress is not None:
            on_progress(documents, total)
    return _Truth(np.array(keys, dtype=np.int64), documents, sample)


def _passages(opened: OpenGeneration, chunker: Chunker, page: list[StoredDocument]) -> list[tuple[int, bytes]]:
    """(chunk key, hash of the vector) of every passage of some documents, as the indexer makes them."""
    texts = [opened.collection.spec.embed.render(document.body) for document in page]
    passages = [[text] for text in texts] if page[0].vector_hash else chunker.split(texts)
    return [
        (chunk_key(document.key, ordinal), document.vector_hash or text_hash(piece))
        for document, pieces in zip(page, passages, strict=True)
        for ordinal, piece in enumerate(pieces)
    ]


async def _compare(store: Store, opened: OpenGeneration, truth: _Truth) -> _Difference:
    held = await _held(opened.index)
    sampled, wrong = await _compare_vectors(store, opened, truth)
    missing = await asyncio.to_thread(np.setdiff1d, truth.keys, held)
    surplus = await asyncio.to_thread(np.setdiff1d, held, truth.keys)
    words = words_index(opened.index)
    if words is not opened.index:
        said = await _held(words)
        missing = np.union1d(missing, await asyncio.to_thread(np.setdiff1d, truth.keys, said))
        surplus = np.union1d(surplus, await asyncio.to_thread(np.setdiff1d, said, truth.keys))
    return _Difference(len(held), missing, surplus, sampled, wrong)


async def _held(index: VectorIndex) -> Int64Array:
    batches = [batch async for batch in index.keys()]  # noqa: SIM118 - an engine, not a dict
    return np.concatenate(batches) if batches else np.array([], dtype=np.int64)


async def _compare_vectors(store: Store, opened: OpenGeneration, truth: _Truth) -> tuple[int, Int64Array]:
    collection = opened.collection
    brings = collection.spec.brings_vectors
    fingerprint = brought(collection) if brings else opened.generation.fingerprint
    cached = await store.vectors(fingerprint, [digest for _, digest in truth.sample])
    expected = {key: cached[digest] for key, digest in truth.sample if digest in cached}
    keys, vectors = await opened.index.vectors(np.array(list(expected), dtype=np.int64))
    if not len(keys):
        return 0, keys
    wanted = np.stack([expected[key] for key in keys.tolist()])
    wanted = check_vectors(wanted, opened.generation.dimension, metric=opened.generation.index.metric)
    # lengths rather than angles: outside cosine a vector may be zero, and its length means something
    near = np.linalg.norm(wanted - vectors, axis=1) <= FAR * np.linalg.norm(wanted, axis=1)
    return len(keys), keys[~near]


async def _settled(store: Store, collection: Collection, found: _Difference, start: int) -> _Difference:
    """What was found, but for documents written since change `start`, which truth and index may have shown at different
    times."""
    if not _documents(found.missing, found.surplus, found.wrong):
        return found
    written: set[int] = set()
    after = start
    while page := await store.changes(collection, after=after, limit=CHANGES_PAGE):
        written.update(change.document_key for change in page)
        after = page[-1].seq
    # a delete may be gone from the log already, and the document with it
    lacking = _documents(found.missing, found.wrong)
    for at in range(0, len(lacking), PAGE):
        part = lacking[at : at + PAGE]
        written.update(set(part) - set(await store.by_key(collection, part)))
    return replace(
        found,
        missing=_without(found.missing, written),
        surplus=_without(found.surplus, written),
        wrong=_without(found.wrong, written),
    )


def _documents(*chunk_keys: Int64Array) -> list[int]:
    """The documents of some chunk keys, each once, in order of key."""
    keys: list[int] = np.unique(document_keys(np.concatenate(chunk_keys))).tolist()
    return keys


def _without(keys: Int64Array, documents: set[int]) -> Int64Array:
    return keys[~np.isin(document_keys(keys), list(documents))] if documents else keys
