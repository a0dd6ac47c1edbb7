"""Writes batches into a store until it is killed, and prints each one once the store has acknowledged it.

Ran as `python store_child.py DATABASE FIRST`: batches are numbered from FIRST. Each holds new documents, replaces the
batch before it, and every fifth deletes an older one, several calls at a time so that they share transactions.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from nearfield.domain.collections import Collection
from nearfield.domain.documents import Document
from nearfield.domain.schema import CollectionSpec
from nearfield.domain.templates import Template
from nearfield.store.sqlite import SqliteStore

BATCH = 20
TOGETHER = 4


def documents(batch: int, version: int) -> list[Document]:
    """The documents of one batch; their content can be told from batch, place and version alone."""
    return [
        Document.of(f"{batch}-{n}", {"id": f"{batch}-{n}", "version": version, "text": f"{batch} {n} {version} " * 20})
        for n in range(BATCH)
    ]


async def write(store: SqliteStore, books: Collection, batch: int) -> None:
    receipt = await store.upsert(books, documents(batch, 1))
    print("new", batch, receipt.seq, flush=True)
    receipt = await store.upsert(books, documents(batch, 2))
    print("changed", batch, receipt.seq, flush=True)
    if batch % 5 == 0:
        receipt = await store.delete(books, [document.id for document in documents(batch, 1)])
        print("deleted", batch, receipt.seq, flush=True)


async def main(path: Path, first: int) -> None:
    store = await SqliteStore.open(path)
    books = await store.create_collection(CollectionSpec("books", Template("{text}")))
    print("ready", 0, 0, flush=True)
    for batch in range(first, first + 100_000, TOGETHER):
        await asyncio.gather(*(write(store, books, batch + n) for n in range(TOGETHER)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
