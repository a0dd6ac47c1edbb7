"""The vectors of examples: documents and texts to be similar to, or unlike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import chunk_key, document_keys
from nearfield.domain.errors import DocumentNotFound
from nearfield.domain.schema import Metric
from nearfield.protocols.engine import check_vectors

if TYPE_CHECKING:
    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store


async def example_vectors(
    store: Store,
    collection: Collection,
    live: LiveIndex,
    *,
    ids: tuple[str, ...],
    texts: tuple[str, ...],
    wait_timeout_s: float,
) -> tuple[Float32Array, frozenset[int]]:
    """(one vector per example, shape (n, dimension), unit length for cosine), and the document keys among them.

    A document of several passages counts once, with the mean of its passages. One that is not indexed yet is waited
    for. Raises DocumentNotFound, IndexLagging.
    """
    parts: list[Float32Array] = []
    keys: frozenset[int] = frozenset()
    if texts:
        parts.append(await live.embedder.embed(list(texts), role="query"))
    if ids:
        stored = await store.by_id(collection, ids)
        for id in ids:  # noqa: A001 - the field's own word
            if id not in stored:
                raise DocumentNotFound(f"no document {id!r} in {collection.name}", field="ids")
        keys = frozenset(document.key for document in stored.values())
        await live.wait_for(max(document.seq for document in stored.values()), timeout_s=wait_timeout_s)
        parts.append(await _document_vectors(store, live, sorted(keys)))
    return np.concatenate(parts), keys


async def _document_vectors(store: Store, live: LiveIndex, keys: list[int]) -> Float32Array:
    spans = await store.spans(live.generation, keys)
    chunks = [chunk_key(key, ordinal) for key in keys for ordinal in range(spans.get(key, 1))]
    found, vectors = await live.index.vectors(np.array(chunks, dtype=np.int64))
    if live.generation.index.metric is Metric.COSINE and len(vectors):
        vectors = check_vectors(vectors, live.generation.dimension, metric=Metric.COSINE)
    owners = document_keys(found)
    means = [vectors[owners == key].mean(axis=0) for key in keys if (owners == key).any()]
    return np.stack(means) if means else np.empty((0, live.generation.dimension), dtype=np.float32)
