"""The vectors of examples: documents and texts to be similar to, or unlike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import chunk_key, document_keys
from nearfield.domain.errors import DocumentNotFound
from nearfield.domain.schema import Metric
from nearfield.search.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, StoredDocument
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store


async def example_documents(
    store: Store, collection: Collection, live: LiveIndex, ids: Sequence[str], *, field: str, wait_timeout_s: float
) -> list[StoredDocument]:
    """The documents of some ids, each once. Those not indexed yet are waited for.

    field: what the caller calls the ids, for the error. Raises DocumentNotFound, IndexLagging.
    """
    if not ids:
        return []
    stored = await store.by_id(collection, ids)
    for id in ids:  # noqa: A001 - the field's own word
        if id not in stored:
            raise DocumentNotFound(f"no document {id!r} in {collection.name}", field=field)
    await live.wait_for(max(document.seq for document in stored.values()), timeout_s=wait_timeout_s)
    return list(stored.values())


async def example_vectors(
    store: Store,
    live: LiveIndex,
    documents: Sequence[StoredDocument],
    texts: Sequence[str],
    *,
    field: str,
    patience_s: float | None,
) -> Float32Array:
    """One vector per example, the texts' first; shape (n, dimension), unit length for cosine.

    A document of several passages counts once, with the mean of its passages. patience_s: see `search.patience`.
    Raises EngineUnavailable, DocumentNotFound for one deleted meanwhile, EmbedderUnavailable, InvalidRequest where no
    text is embedded.
    """
    parts: list[Float32Array] = []
    if texts:
        parts.append(await live.embedder.embed(list(texts), role="query"))
    if documents:
        parts.append(await _document_vectors(store, live, documents, field, patience_s))
    return np.concatenate(parts)


async def _document_vectors(
    store: Store, live: LiveIndex, documents: Sequence[StoredDocument], field: str, patience_s: float | None
) -> Float32Array:
    spans = await store.spans(live.generation, [document.key for document in documents])
    chunks = [chunk_key(one.key, ordinal) for one in documents for ordinal in range(spans.get(one.key, 1))]
    asked = live.index.vectors(np.array(chunks, dtype=np.int64))
    found, vectors = await patiently(asked, live, patience_s)
    owners = document_keys(found)
    means = []
    for document in documents:
        passages = vectors[owners == document.key]
        if not len(passages):
            raise DocumentNotFound(f"document {document.id!r} was deleted while it was looked up", field=field)
        mean = passages.mean(axis=0)
        length = np.linalg.norm(mean)
        means.append(mean / length if live.generation.index.metric is Metric.COSINE and length else mean)
    return np.stack(means).astype(np.float32, copy=False)
