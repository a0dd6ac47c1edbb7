"""What it would take to fill another generation, measured on a sample of the documents."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import ChangeKind, chunk_key, text_hash
from nearfield.domain.moves import Estimate
from nearfield.domain.rows import row_of
from nearfield.domain.schema import IndexKind, Quantization
from nearfield.indexing.chunking import Chunker
from nearfield.indexing.lexical_text import lexical_texts
from nearfield.indexing.opening import index_spec
from nearfield.protocols.engine import check_vectors
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, StoredDocument
    from nearfield.domain.filters import Row
    from nearfield.domain.schema import CollectionSpec, IndexSettings
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import VectorEngine
    from nearfield.protocols.store import Store

PLACES, OF_EACH = 8, 256  # of the change log that are looked at, and documents taken there
EMBEDDED = 64  # texts embedded to see how long that takes
_COMPONENT_BYTES = {
    Quantization.NONE: 4.0,
    Quantization.FLOAT16: 2.0,
    Quantization.INT8: 1.0,
    Quantization.RABITQ: 0.125,
    Quantization.PRODUCT: 0.125,  # a byte for 8 components, as is usual
}


@dataclass(slots=True)
class _Sample:
    documents: int = 0
    keys: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lexical: list[str] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)


async def estimate(
    store: Store,
    collection: Collection,
    shape: CollectionSpec,
    engine: VectorEngine,
    embedder: Embedder,
    *,
    price: float | None,
) -> Estimate:
    """Split, embed and index a sample on the engine itself, in an index that is dropped afterwards.

    price: of a million tokens embedded. Raises EngineUnavailable, EmbedderUnavailable.
    """
    documents = await store.count(collection)
    sample = await _sample(store, collection, shape, embedder)
    fingerprint = brought(collection) if shape.brings_vectors else embedder.fingerprint
    cached = await store.vectors(fingerprint, sample.hashes)
    passages = round(documents * len(sample.keys) / max(sample.documents, 1))
    new = [place for place, digest in enumerate(sample.hashes) if digest not in cached]
    share = len(new) / max(len(sample.hashes), 1)
    tokens, embed_s = await _embed(embedder, [sample.texts[place] for place in new])
    vectors = _vectors(sample, cached, embedder.dimension, shape.index)
    index_s, disk = await _index(engine, collection, shape, sample, vectors)
    scale = passages / max(len(sample.keys), 1)
    return Estimate(
        shape=shape,
        adapted=(),
        documents=documents,
        passages=passages,
        sampled=len(sample.keys),
        to_embed=round(passages * share),
        tokens=round(tokens * passages * share),
        embed_s=embed_s * passages * share,
        index_s=index_s * scale,
        disk_bytes=round(disk * scale),
        memory_bytes=round(passages * _row_bytes(embedder.dimension, shape.index)),
        cost=None if price is None else tokens * passages * share * price / 1e6,
    )


async def _sample(store: Store, collection: Collection, shape: CollectionSpec, embedder: Embedder) -> _Sample:
    """Documents from places all over the change log, split as they will be."""
    last = await store.last_seq(collection)
    places = PLACES if await store.count(collection) > PLACES * OF_EACH else 1
    keys: dict[int, None] = {}
    for place in range(places):
        limit = PLACES * OF_EACH // places
        changes = await store.changes(collection, after=last * place // places, limit=limit)
        keys.update({change.document_key: None for change in changes if change.kind is ChangeKind.UPSERT})
    found = _Sample()
    stored = list((await store.by_key(collection, list(keys))).values())
    await asyncio.to_thread(_split, found, shape, stored, Chunker(embedder))
    return found


def _split(sample: _Sample, shape: CollectionSpec, stored: Sequence[StoredDocument], chunker: Chunker) -> None:
    texts = [shape.embed.render(document.body) for document in stored]
    passages = [[text] for text in texts] if shape.brings_vectors else chunker.split(texts)
    sample.documents = len(stored)
    for document, pieces in zip(stored, passages, strict=True):
        row = row_of(document.body, shape.fields)
        sample.lexical += lexical_texts(shape, document.body, pieces)
        for ordinal, piece in enumerate(pieces):
            sample.keys.append(chunk_key(document.key, ordinal))
            sample.rows.append(row)
            sample.texts.append(piece)
            sample.hashes.append(document.vector_hash or text_hash(piece))


async def _embed(embedder: Embedder, texts: Sequence[str]) -> tuple[float, float]:
    """Tokens, and seconds, of one text."""
    if not texts:
        return 0.0, 0.0
    chosen = texts[:: max(1, len(texts) // EMBEDDED)][:EMBEDDED]
    tokens = await asyncio.to_thread(embedder.count_tokens, chosen)
    await embedder.embed(chosen[:1], role="document")  # what is loaded at first belongs to no text
    began = time.perf_counter()
    await embedder.embed(chosen, role="document")
    return float(tokens.mean()), (time.perf_counter() - began) / len(chosen)


def _vectors(
    sample: _Sample, cached: dict[bytes, Float32Array], dimension: int, settings: IndexSettings
) -> Float32Array:
    """The sample's vectors; what is not embedded yet is stood in for by a vector drawn at random."""
    chance = np.random.default_rng(0)
    drawn = chance.standard_normal((len(sample.keys), dimension)).astype(np.float32)
    for place, digest in enumerate(sample.hashes):
        if digest in cached:
            drawn[place] = cached[digest]
    return check_vectors(drawn, dimension, metric=settings.metric) if len(drawn) else drawn


async def _index(
    engine: VectorEngine, collection: Collection, shape: CollectionSpec, sample: _Sample, vectors: Float32Array
) -> tuple[float, int]:
    """Seconds, and bytes on disk, of the sample in an index of its own."""
    if not sample.keys:
        return 0.0, 0
    name = f"c{collection.id}_estimate"
    index = await engine.create(index_spec(name, vectors.shape[1], shape))
    try:
        began = time.perf_counter()
        keys = np.array(sample.keys, dtype=np.int64)
        for start in range(0, len(keys), OF_EACH):
            part = slice(start, start + OF_EACH)
            await index.upsert(keys[part], vectors[part], sample.rows[part], sample.lexical[part])
        await index.flush()
        await index.optimize()
        took = time.perf_counter() - began
        return took, (await index.stats()).bytes
    finally:
        await index.close()
        await engine.drop(name)


def _row_bytes(dimension: int, settings: IndexSettings) -> float:
    """Of one vector as it is coded, with its links where there are any: twice m of four bytes on the lowest layer."""
    links = settings.m * 2 * 4 if settings.kind is IndexKind.HNSW else 0
    return dimension * _COMPONENT_BYTES[settings.quantization] + links
