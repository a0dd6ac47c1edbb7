"""What searches showed and what people did with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import and_, bindparam, case, delete, distinct, func, insert, select

from nearfield.domain.events import Event, EventKind, Impression, QueryReport
from nearfield.store import change_log
from nearfield.store.pages import pages
from nearfield.store.tables import collections, events, impressions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

_MINE: Final = impressions.c.collection_id == bindparam("collection")
_ALIVE: Final = select(collections.c.id).where(collections.c.id == bindparam("wanted"), collections.c.name.is_not(None))
_KNOWN: Final = select(impressions.c.search_id).where(
    _MINE, impressions.c.search_id.in_(bindparam("ids", expanding=True))
)
_SHOWN: Final = (
    select(
        impressions.c.id,
        impressions.c.search_id,
        impressions.c.query,
        impressions.c.shown,
        impressions.c.offset,
        impressions.c.complete,
        impressions.c.at,
    )
    .where(_MINE, impressions.c.id > bindparam("after"))
    .order_by(impressions.c.id)
    .limit(bindparam("limit"))
)
_DONE: Final = (
    select(events.c.search_id, events.c.document_id, events.c.kind, events.c.at, events.c.position)
    .where(
        events.c.collection_id == bindparam("collection"),
        events.c.search_id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(events.c.id)
)


def put_impressions(conn: Connection, collection_id: int, shown: Sequence[Impression]) -> None:
    """Nothing when the collection was dropped meanwhile."""
    if not shown or conn.execute(_ALIVE, {"wanted": collection_id}).first() is None:
        return
    conn.execute(
        insert(impressions),
        [
            {
                "collection_id": collection_id,
                "search_id": one.search_id,
                "query": one.query,
                "offset": one.offset,
                "found": one.offset + len(one.shown),
                "complete": one.complete,
                "at": one.at,
                "shown": orjson.dumps(one.shown),
            }
            for one in shown
        ],
    )


def put_events(conn: Connection, collection: Collection, done: Sequence[Event]) -> int:
    """How many of them belong to a search whose impression is not there."""
    change_log.lock(conn, collection)
    if not done:
        return 0
    known: set[str] = set()
    for page in pages(list({one.search_id for one in done})):
        known.update(conn.execute(_KNOWN, {"collection": collection.id, "ids": page}).scalars())
    conn.execute(
        insert(events),
        [
            {
                "collection_id": collection.id,
                "search_id": one.search_id,
                "document_id": one.document_id,
                "kind": one.kind.value,
                "position": one.position,
                "at": one.at,
            }
            for one in done
        ],
    )
    return sum(one.search_id not in known for one in done)


def page_of_impressions(
    conn: Connection, collection: Collection, *, after: int, limit: int
) -> list[tuple[int, Impression]]:
    """A page with the rows' numbers, which rise."""
    rows = conn.execute(_SHOWN, {"collection": collection.id, "after": after, "limit": limit}).all()
    return [
        (row_id, Impression(search_id, query, tuple(orjson.loads(shown)), offset, complete, at))
        for row_id, search_id, query, shown, offset, complete, at in rows
    ]


def events_of(conn: Connection, collection: Collection, search_ids: Sequence[str]) -> list[Event]:
    """What was done with these searches, in the order it came."""
    found = []
    for page in pages(search_ids):
        for search_id, document_id, kind, at, position in conn.execute(
            _DONE, {"collection": collection.id, "ids": page}
        ).all():
            found.append(Event(search_id, document_id, EventKind(kind), at, position))
    return found


def report(conn: Connection, collection: Collection, *, below: int, limit: int) -> list[QueryReport]:
    """Queries that found fewer than `below` documents at least once, those searched most often first."""
    fewest = func.min(case((impressions.c.complete, impressions.c.found), else_=below))
    searches = func.count()
    asked = (
        select(
            impressions.c.query,
            searches,
            func.sum(case((impressions.c.found == 0, 1), else_=0)),
            fewest,
            func.max(impressions.c.at),
        )
        .where(impressions.c.collection_id == collection.id, impressions.c.offset == 0)
        .group_by(impressions.c.query)
        .having(fewest < below)
        .order_by(searches.desc(), impressions.c.query)
        .limit(limit)
    )
    rows = conn.execute(asked).all()
    clicks = _clicks(conn, collection, [row[0] for row in rows])
    return [
        QueryReport(query, count, empty, least, clicks.get(query, 0), last) for query, count, empty, least, last in rows
    ]


def _clicks(conn: Connection, collection: Collection, queries: Sequence[str]) -> dict[str, int]:
    """Searches of each query with any event."""
    found: dict[str, int] = {}
    for page in pages(queries):
        asked = (
            select(impressions.c.query, func.count(distinct(impressions.c.search_id)))
            .join(
                events,
                and_(
                    events.c.collection_id == impressions.c.collection_id, events.c.search_id == impressions.c.search_id
                ),
            )
            .where(impressions.c.collection_id == collection.id, impressions.c.query.in_(page))
            .group_by(impressions.c.query)
        )
        found.update((query, count) for query, count in conn.execute(asked).all())
    return found


def forget(conn: Connection, collection: Collection, *, before: int) -> int:
    """Remove impressions and events from before a time (ms since 1970); how many of both."""
    removed = 0
    for table in (impressions, events):
        removed += conn.execute(
            delete(table).where(table.c.collection_id == collection.id, table.c.at < before)
        ).rowcount
    return removed
