"""What must be in an index, page by page, from the store alone: no engine is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import text_hash
from nearfield.domain.moves import TruePage
from nearfield.indexing.chunking import Chunker
from nearfield.protocols.engine import check_vectors
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearfield.domain.documents import StoredDocument
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.store import Store

PAGE = 1_000


async def true_pages(store: Store, opened: OpenGeneration) -> AsyncIterator[TruePage]:
    """Every document in order of key, with the vectors that a generation must hold of it, as they are compared.

    A document whose vectors are not all in the cache is left out: it was written just now, and waits to be embedded.
    """
    collection, generation = opened.collection, opened.generation
    chunker = Chunker(opened.embedder)
    fingerprint = brought(collection) if collection.spec.brings_vectors else generation.fingerprint
    after = 0
    while page := await store.scan(collection, after_key=after, limit=PAGE):
        after = page[-1].key
        hashes = await asyncio.to_thread(_hashes, opened, chunker, page)
        cached = await store.vectors(fingerprint, list({digest for of in hashes for digest in of}))
        whole = [place for place, of in enumerate(hashes) if all(digest in cached for digest in of)]
        if not whole:
            continue
        vectors = np.stack([cached[digest] for place in whole for digest in hashes[place]])
        counts = [len(hashes[place]) for place in whole]
        yield TruePage(
            documents=[page[place] for place in whole],
            starts=np.cumsum([0, *counts[:-1]]),
            vectors=check_vectors(vectors, generation.dimension, metric=generation.index.metric),
        )


def _hashes(opened: OpenGeneration, chunker: Chunker, page: list[StoredDocument]) -> list[list[bytes]]:
    if page[0].vector_hash is not None:
        return [[document.vector_hash or b""] for document in page]
    texts = [opened.collection.spec.embed.render(document.body) for document in page]
    return [[text_hash(piece) for piece in pieces] for pieces in chunker.split(texts)]
