"""Judgments of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, insert, select

from nearfield.domain.judgments import Judgment, JudgmentSource
from nearfield.store import change_log
from nearfield.store.tables import judgments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

_EVERY: Final = (
    select(judgments.c.query, judgments.c.document_id, judgments.c.grade, judgments.c.source)
    .where(judgments.c.collection_id == bindparam("collection"))
    .order_by(judgments.c.query, judgments.c.document_id, judgments.c.source)
)
_FORGET: Final = delete(judgments).where(
    and_(
        judgments.c.collection_id == bindparam("collection"),
        judgments.c.query == bindparam("its_query"),
        judgments.c.document_id == bindparam("its_document"),
        judgments.c.source == bindparam("its_source"),
    )
)
_ADD: Final = insert(judgments)


def every(conn: Connection, collection: Collection) -> list[Judgment]:
    """In order of query, then document."""
    rows = conn.execute(_EVERY, {"collection": collection.id}).all()
    return [Judgment(query, document, grade, JudgmentSource(source)) for query, document, grade, source in rows]


def put(conn: Connection, collection: Collection, given: Sequence[Judgment]) -> int:
    """Add or replace. Of a pair given twice the last counts."""
    change_log.lock(conn, collection)
    latest = {(one.query, one.document_id, one.source): one for one in given}
    if not latest:
        return 0
    keys = [
        {"collection": collection.id, "its_query": query, "its_document": document, "its_source": source.value}
        for query, document, source in latest
    ]
    conn.execute(_FORGET, keys)
    conn.execute(
        _ADD,
        [
            {
                "collection_id": collection.id,
                "query": one.query,
                "document_id": one.document_id,
                "source": one.source.value,
                "grade": one.grade,
            }
            for one in latest.values()
        ],
    )
    return len(latest)


def remove(conn: Connection, collection: Collection, query: str | None, source: JudgmentSource | None) -> int:
    """Remove those of one query, of one source, or all; how many."""
    where = [judgments.c.collection_id == collection.id]
    if query is not None:
        where.append(judgments.c.query == query)
    if source is not None:
        where.append(judgments.c.source == source.value)
    return conn.execute(delete(judgments).where(*where)).rowcount


def replace(conn: Connection, collection: Collection, source: JudgmentSource, given: Sequence[Judgment]) -> int:
    """Put these in place of all of one source."""
    change_log.lock(conn, collection)
    remove(conn, collection, None, source)
    return put(conn, collection, given)
