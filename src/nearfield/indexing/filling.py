"""Filling the words beside an index from the store, the vectors left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.filters import Row
    from nearfield.protocols.engine import WordsBeside
    from nearfield.protocols.store import Store

PAGE = 256  # documents; writes wait that long


class Built(Protocol):
    """Documents as rows: key, fields and text of each passage, and how many passages each document has."""

    keys: list[int]
    rows: list[Row]
    lexical: list[str]
    passages: dict[int, int]


async def fill_words(
    index: WordsBeside,
    store: Store,
    collection: Collection,
    generation: Generation,
    *,
    build: Callable[[Sequence[StoredDocument]], Awaitable[Built]],
    writing: asyncio.Lock,
) -> int:
    """Give every document of the store, as it is now, to the words beside an index; how many there were.

    writing: held for each page, so that no page undoes a later write. Documents that the index has yet to apply may go
    in already; they are applied again.
    """
    after, filled = 0, 0
    while True:
        async with writing:
            page = await store.scan(collection, after_key=after, limit=PAGE)
            if not page:
                await index.words_filled()
                return filled
            after, filled = page[-1].key, filled + len(page)
            built = await build(page)
            before = await store.spans(generation, list(built.passages))
            # what comes later deletes as many passages as were claimed, so that none is left behind
            claimed = {key: now for key, now in built.passages.items() if now > before.get(key, 1)}
            if claimed:
                await store.put_spans(generation, claimed)
            await index.put_words(np.array(built.keys, dtype=np.int64), built.rows, built.lexical)
