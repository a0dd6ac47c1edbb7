"""Documents: what a write does within its transaction, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import bindparam, delete, insert, select, update

from nearfield.domain.documents import Document, StoredDocument, WriteReceipt, vector_hash
from nearfield.domain.errors import DimensionMismatch, DocumentNotFound, InvalidDocument
from nearfield.protocols.store import brought
from nearfield.store import change_log, vectors
from nearfield.store.pages import pages
from nearfield.store.records import body_bytes, document_of
from nearfield.store.tables import collections, documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

DELETE_PAGE: Final = 1000
"""Documents looked at in one transaction of a delete by filter."""

_STORED: Final = (
    documents.c.key,
    documents.c.id,
    documents.c.content_hash,
    documents.c.seq,
    documents.c.vector_hash,
    documents.c.body,
)
_MINE: Final = documents.c.collection_id == bindparam("collection")
_WITH_IDS: Final = documents.c.id.in_(bindparam("ids", expanding=True))
_KNOWN: Final = select(documents.c.id, documents.c.key, documents.c.content_hash).where(_MINE, _WITH_IDS)
_BY_ID: Final = select(*_STORED).where(_MINE, _WITH_IDS)
_KEYS: Final = select(documents.c.key).where(_MINE, _WITH_IDS).order_by(documents.c.key)
_BY_KEY: Final = select(*_STORED).where(documents.c.key.in_(bindparam("keys", expanding=True)), _MINE)
_PAGE: Final = (
    select(*_STORED)
    .where(_MINE, documents.c.key > bindparam("after"))
    .order_by(documents.c.key)
    .limit(bindparam("limit"))
)
_COUNT: Final = select(collections.c.documents).where(collections.c.id == bindparam("collection"))
_ADD: Final = insert(documents)
_REPLACE: Final = (
    update(documents)
    .where(documents.c.key == bindparam("document"))
    .values(
        content_hash=bindparam("content_hash"),
        seq=bindparam("seq"),
        vector_hash=bindparam("vector_hash"),
        body=bindparam("body"),
    )
)
_REMOVE: Final = delete(documents).where(documents.c.key.in_(bindparam("keys", expanding=True)))


def upsert(conn: Connection, collection: Collection, batch: Sequence[Document]) -> WriteReceipt:
    """Insert or replace by id. See `Store.upsert`."""
    last_seq = change_log.lock(conn, collection)
    latest = {document.id: document for document in batch}
    new = changed = 0
    # Page by page, so that a large batch does not leave behind a heap of rows whose garbage collection would hold up
    # the event loop for a tenth of a second.
    for page in pages(list(latest.values())):
        ids = [document.id for document in page]
        rows = conn.execute(_KNOWN, {"collection": collection.id, "ids": ids}).all()
        known = {name: (key, content_hash) for name, key, content_hash in rows}
        added = [document for document in page if document.id not in known]
        replaced = [
            (known[document.id][0], document)
            for document in page
            if document.id in known and known[document.id][1] != document.content_hash
        ]
        if added or replaced:
            last_seq = _write(conn, collection, added, replaced)
        new += len(added)
        changed += len(replaced)
    return WriteReceipt(last_seq, new=new, changed=changed, unchanged=len(batch) - new - changed)


def _write(
    conn: Connection, collection: Collection, added: Sequence[Document], replaced: Sequence[tuple[int, Document]]
) -> int:
    """Insert `added`, put the documents of `replaced` under their keys, keep their vectors, log it all.

    Returns the last seq.
    """
    _keep_brought(conn, collection, [*added, *(document for _, document in replaced)])
    keys = change_log.take_numbers(conn, change_log.DOCUMENT_KEY, len(added))
    seqs = change_log.take_numbers(conn, change_log.SEQ, len(added) + len(replaced))
    rows: list[dict[str, Any]] = [
        {"key": key, "collection_id": collection.id, "id": document.id, "seq": seq} | _content(document)
        for key, seq, document in zip(keys, seqs, added, strict=False)
    ]
    if rows:
        conn.execute(_ADD, rows)
    rows = [
        {"document": key, "seq": seq} | _content(document)
        for seq, (key, document) in zip(seqs[len(added) :], replaced, strict=True)
    ]
    if rows:
        conn.execute(_REPLACE, rows)
    logged = list(zip(seqs, [*keys, *(key for key, _ in replaced)], strict=True))
    return change_log.record(conn, collection.id, logged, deleted=False, growth=len(added))


def _content(document: Document) -> dict[str, Any]:
    return {
        "content_hash": document.content_hash,
        "vector_hash": None if document.vector is None else vector_hash(document.vector),
        "body": body_bytes(document.id, document.body),
    }


def _keep_brought(conn: Connection, collection: Collection, written: Iterable[Document]) -> None:
    with_vector = [(document, document.vector) for document in written if document.vector is not None]
    if not with_vector:
        return
    first = with_vector[0][1]
    for document, vector in with_vector:
        if vector.shape != first.shape:
            raise DimensionMismatch(
                f"vector of document {document.id!r} has shape {vector.shape}, others of its batch have {first.shape}"
            )
    values = np.stack([vector for _, vector in with_vector]).astype(np.float32, copy=False)
    hashes = [vector_hash(vector) for _, vector in with_vector]
    vectors.keep(conn, brought(collection), hashes, values, vectors.Precision.SINGLE)


def patch(
    conn: Connection, collection: Collection, id: str, change: Callable[[StoredDocument], Document]
) -> WriteReceipt:
    """Replace one document by what `change` makes of it. See `Store.patch`.

    A document without a vector keeps the one that was brought for it.
    """
    last_seq = change_log.lock(conn, collection)
    stored = by_id(conn, collection, [id]).get(id)
    if stored is None:
        raise DocumentNotFound(f"no document {id!r} in collection {collection.name!r}", field="id")
    made = change(stored)
    if made.id != id:
        raise InvalidDocument(f"patch of document {id!r} makes it {made.id!r}; an id cannot be changed", field="id")
    if made.vector is None and stored.vector_hash is not None:
        kept = vectors.read(conn, brought(collection), [stored.vector_hash])
        made = Document.of(id, made.body, kept[stored.vector_hash])
    if made.content_hash == stored.content_hash:
        return WriteReceipt(last_seq, unchanged=1)
    return WriteReceipt(_write(conn, collection, [], [(stored.key, made)]), changed=1)


def remove(conn: Connection, collection: Collection, ids: Sequence[str]) -> WriteReceipt:
    """Delete by id; ids that are not there are passed over."""
    last_seq = change_log.lock(conn, collection)
    keys: list[int] = []
    for page in pages(list(dict.fromkeys(ids))):
        keys.extend(conn.execute(_KEYS, {"collection": collection.id, "ids": page}).scalars())
    return _remove_keys(conn, collection, keys, last_seq)


def remove_where(
    conn: Connection, collection: Collection, keep: Callable[[StoredDocument], bool], after_key: int
) -> tuple[WriteReceipt, int | None]:
    """Delete, in the page of documents above `after_key`, those that `keep` refuses; and where the next page starts."""
    last_seq = change_log.lock(conn, collection)
    page = scan(conn, collection, after_key=after_key, limit=DELETE_PAGE)
    receipt = _remove_keys(conn, collection, [document.key for document in page if not keep(document)], last_seq)
    return receipt, page[-1].key if len(page) == DELETE_PAGE else None


def _remove_keys(conn: Connection, collection: Collection, keys: Sequence[int], last_seq: int) -> WriteReceipt:
    for page in pages(keys):
        conn.execute(_REMOVE, {"keys": page})
        logged = list(zip(change_log.take_numbers(conn, change_log.SEQ, len(page)), page, strict=True))
        last_seq = change_log.record(conn, collection.id, logged, deleted=True, growth=-len(page))
    return WriteReceipt(last_seq, deleted=len(keys))


def by_id(conn: Connection, collection: Collection, ids: Sequence[str]) -> dict[str, StoredDocument]:
    """Those that exist."""
    found: dict[str, StoredDocument] = {}
    for page in pages(ids):
        for row in conn.execute(_BY_ID, {"collection": collection.id, "ids": page}).all():
            document = document_of(row)
            found[document.id] = document
    return found


def by_key(conn: Connection, collection: Collection, keys: Sequence[int]) -> dict[int, StoredDocument]:
    """Those that exist."""
    found: dict[int, StoredDocument] = {}
    for page in pages(keys):
        for row in conn.execute(_BY_KEY, {"collection": collection.id, "keys": page}).all():
            document = document_of(row)
            found[document.key] = document
    return found


def scan(conn: Connection, collection: Collection, *, after_key: int, limit: int) -> list[StoredDocument]:
    """A page in order of key."""
    rows = conn.execute(_PAGE, {"collection": collection.id, "after": after_key, "limit": limit}).all()
    return [document_of(row) for row in rows]


def count(conn: Connection, collection: Collection) -> int:
    """How many documents; kept as a number by every write, so that a plan may ask before each search."""
    return conn.execute(_COUNT, {"collection": collection.id}).scalar() or 0
