"""Every document that passes a filter, read from the store: for listings without a question, and for counts over all
matches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.documents import CHUNK_BITS
from nearfield.domain.plans import Access
from nearfield.domain.rows import row_of
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import TypeVar

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.filters import Row
    from nearfield.domain.schema import FieldType
    from nearfield.search.retrieve import Retrieval
    from nearfield.search.work import Work

    T = TypeVar("T")

PAGE: Final = 1_000


async def listing(work: Work) -> Ranked:
    """`work.want` documents that pass the filter, in the order first stored, each with score 1; fewer when there are
    fewer. Where stages to come need their rows, these are left in `work.rows`."""
    retrieval = work.retrieval
    retrieval.access = Access.SCAN
    keys: list[int] = []
    fields = {name: retrieval.collection.spec.fields[name] for name in work.reads}

    def passing(page: list[StoredDocument]) -> list[tuple[int, Row]]:
        spec = retrieval.collection.spec.fields
        return [(one.key, row_of(one.body, fields)) for one in page if retrieval.where.keeps(one, spec)]

    async for found in scan(retrieval, passing):
        keys += [key for key, _ in found]
        if fields:
            work.rows.update(found)
        if len(keys) >= work.want:
            break
    work.candidates = len(keys)
    documents = np.array(keys, dtype=np.int64)
    return Ranked(documents, documents << CHUNK_BITS, np.ones(len(keys), dtype=np.float32))


async def scan(retrieval: Retrieval, read: Callable[[list[StoredDocument]], T]) -> AsyncIterator[T]:
    """What `read` makes of each page of the store, in order of key; it runs in a thread."""
    after = 0
    while page := await retrieval.store.scan(retrieval.collection, after_key=after, limit=PAGE):
        after = page[-1].key
        yield await asyncio.to_thread(read, page)


def rows_of(documents: list[StoredDocument], fields: Mapping[str, FieldType]) -> list[Row]:
    """The row of each document."""
    return [row_of(one.body, fields) for one in documents]
