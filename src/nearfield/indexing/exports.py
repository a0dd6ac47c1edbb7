"""A whole collection out, with the vectors its index is built from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import text_hash
from nearfield.domain.errors import IndexLagging
from nearfield.indexing.chunking import Chunker
from nearfield.protocols.sink import VectorRow
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.documents import StoredDocument
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.sink import Sink
    from nearfield.protocols.store import Store

PAGE = 500  # documents
TRIES = 10  # of a page that is written to meanwhile


async def run_export(
    store: Store,
    live: OpenGeneration,
    sink: Sink,
    *,
    catch_up: Callable[[], Awaitable[object]],
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Give every document, in the order first stored, to a sink, which is finished or abandoned; how many there were.

    catch_up: waits until what was written is embedded. on_progress: documents so far, of how many, on the event loop.
    A document written meanwhile goes out as it is when its page is read. Raises IndexLagging, and what the sink raises.
    """
    chunker, total = Chunker(live.embedder), await store.count(live.collection)
    after = done = 0
    try:
        await catch_up()
        tries = 0
        while page := await store.scan(live.collection, after_key=after, limit=PAGE):
            rows = await _with_vectors(store, live, chunker, page)
            if rows is None:
                tries += 1
                if tries > TRIES:
                    raise IndexLagging("documents are written faster than they are embedded; export when it is calm")
                await catch_up()
                continue
            tries = 0
            await asyncio.to_thread(sink.write, rows)
            after, done = page[-1].key, done + len(rows)
            if on_progress is not None:
                on_progress(done, max(done, total))
        await asyncio.to_thread(sink.finish)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(sink.abandon))
        raise
    return done


async def _with_vectors(
    store: Store, live: OpenGeneration, chunker: Chunker, page: Sequence[StoredDocument]
) -> list[VectorRow] | None:
    """A page with its vectors; None where one is not embedded yet."""
    spec = live.collection.spec
    if spec.brings_vectors:
        hashes = [[document.vector_hash or b""] for document in page]
        fingerprint = brought(live.collection)
    else:
        texts = [spec.embed.render(document.body) for document in page]
        pieces = await asyncio.to_thread(chunker.split, texts)
        hashes = [[text_hash(piece) for piece in passages] for passages in pieces]
        fingerprint = live.generation.fingerprint
    wanted = list({one for mine in hashes for one in mine})
    known = await store.vectors(fingerprint, wanted)
    if len(known) < len(wanted):
        return None
    return [
        VectorRow(document, np.stack([known[one] for one in mine])) for document, mine in zip(page, hashes, strict=True)
    ]
