"""The change log: one row for each change of a document, numbered across the store in order of commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, select, update

from nearfield.domain.documents import Change, ChangeKind
from nearfield.domain.errors import CollectionNotFound
from nearfield.store.tables import changes, collections, counters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

SEQ: Final = "seq"
DOCUMENT_KEY: Final = "document_key"

_ADVANCE: Final = (
    update(counters).where(counters.c.name == bindparam("counter")).values(value=counters.c.value + bindparam("amount"))
)
_COUNTER: Final = select(counters.c.value).where(counters.c.name == bindparam("counter"))
_LAST_SEQ: Final = select(collections.c.last_seq).where(
    collections.c.id == bindparam("collection"), collections.c.name.is_not(None)
)
_ADVANCE_COLLECTION: Final = (
    update(collections)
    .where(collections.c.id == bindparam("collection"))
    .values(last_seq=bindparam("seq"), documents=collections.c.documents + bindparam("growth"))
)
_RECORD: Final = insert(changes)
_AFTER: Final = (
    select(changes.c.seq, changes.c.document_key, changes.c.deleted)
    .where(changes.c.collection_id == bindparam("collection"), changes.c.seq > bindparam("after"))
    .order_by(changes.c.seq)
    .limit(bindparam("limit"))
)
_PENDING: Final = (
    select(func.count())
    .select_from(changes)
    .where(changes.c.collection_id == bindparam("collection"), changes.c.seq > bindparam("after"))
)


def take_numbers(conn: Connection, counter: str, amount: int) -> range:
    """The next `amount` numbers of a counter, never given out again once the transaction is committed."""
    if amount == 0:
        return range(0)
    conn.execute(_ADVANCE, {"counter": counter, "amount": amount})
    last: int = conn.execute(_COUNTER, {"counter": counter}).scalar_one()
    return range(last - amount + 1, last + 1)


def lock(conn: Connection, collection: Collection) -> int:
    """The collection's last seq; keeps other writers of the collection out until the transaction ends.

    Raises CollectionNotFound when it was dropped.
    """
    return _found(conn.execute(_LAST_SEQ.with_for_update(), {"collection": collection.id}).scalar(), collection)


def last_seq(conn: Connection, collection: Collection) -> int:
    """Raises CollectionNotFound when the collection was dropped."""
    return _found(conn.execute(_LAST_SEQ, {"collection": collection.id}).scalar(), collection)


def _found(seq: int | None, collection: Collection) -> int:
    if seq is None:
        raise CollectionNotFound(f"collection {collection.name!r} was dropped")
    return seq


def record(conn: Connection, collection_id: int, rows: Sequence[tuple[int, int]], *, deleted: bool, growth: int) -> int:
    """Log changes and count them in the collection.

    rows: seq and document key, seq rising. growth: documents more (or fewer) than before. Returns the last seq.
    """
    logged: list[dict[str, Any]] = [
        {"collection_id": collection_id, "seq": seq, "document_key": key, "deleted": deleted} for seq, key in rows
    ]
    conn.execute(_RECORD, logged)
    last = rows[-1][0]
    conn.execute(_ADVANCE_COLLECTION, {"collection": collection_id, "seq": last, "growth": growth})
    return last


def read(conn: Connection, collection_id: int, *, after: int, limit: int) -> list[Change]:
    """The next changes in order of seq."""
    rows = conn.execute(_AFTER, {"collection": collection_id, "after": after, "limit": limit}).all()
    return [Change(seq, key, ChangeKind.DELETE if deleted else ChangeKind.UPSERT) for seq, key, deleted in rows]


def pending(conn: Connection, collection_id: int, *, after: int) -> int:
    """Changes with seq above `after`."""
    return conn.execute(_PENDING, {"collection": collection_id, "after": after}).scalar_one()
