"""What may be forgotten: changes that a later one made needless, and brought vectors that no document has any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, exists, func, or_, select

from nearfield.protocols.store import brought
from nearfield.store import change_log, vectors
from nearfield.store.tables import changes, documents, generations

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

PAGE: Final = 20_000
"""Rows looked at in one transaction."""


def compact_page(conn: Connection, collection: Collection, *, after: int, up_to: int) -> tuple[int, int | None]:
    """Remove, among the next PAGE changes above `after`, those up to `up_to` that nobody needs any more.

    Needed is each document's last change, and each delete that some generation has not applied. What stays still
    builds a generation from nothing, and still brings any existing one up to date.
    Returns how many were removed, and where this page ended (None after the last).
    """
    change_log.lock(conn, collection)
    within = (changes.c.collection_id == collection.id, changes.c.seq > after, changes.c.seq <= up_to)
    seqs = conn.execute(select(changes.c.seq).where(*within).order_by(changes.c.seq).limit(PAGE)).scalars().all()
    if not seqs:
        return 0, None
    # A key is never used again, so a delete is always its document's last change and nothing supersedes it.
    is_last = exists().where(documents.c.key == changes.c.document_key, documents.c.seq == changes.c.seq)
    superseded = and_(~changes.c.deleted, ~is_last)
    applied = _applied_by_all(conn, collection)
    finished = and_(changes.c.deleted, changes.c.seq <= (up_to if applied is None else applied))
    removed = conn.execute(delete(changes).where(*within, changes.c.seq <= seqs[-1], or_(superseded, finished)))
    return removed.rowcount, seqs[-1]


def sweep_page(conn: Connection, collection: Collection, *, after: int) -> tuple[int, int | None]:
    """Remove, among the next PAGE brought vectors above row `after`, those that no document refers to.

    Nothing while a generation has changes to apply: its indexer may have read a document whose vector was since
    replaced. Returns how many were removed, and where this page ended (None after the last).
    """
    last_seq = change_log.lock(conn, collection)
    applied = _applied_by_all(conn, collection)
    if applied is not None and applied < last_seq:
        return 0, None
    return vectors.remove_unused(conn, brought(collection), collection.id, after=after, size=PAGE)


def _applied_by_all(conn: Connection, collection: Collection) -> int | None:
    """The lowest watermark; None when there is no generation."""
    lowest = select(func.min(generations.c.applied_seq)).where(generations.c.collection_id == collection.id)
    applied: int | None = conn.execute(lowest).scalar()
    return applied
