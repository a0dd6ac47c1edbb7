"""Collections: made, found, and dropped in steps that no crash can leave half visible."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, select, update

from nearfield.domain.collections import Collection
from nearfield.domain.errors import CollectionConflict, CollectionNotFound
from nearfield.protocols.store import brought
from nearfield.store import rules, vectors
from nearfield.store.inserts import insert_one
from nearfield.store.records import collection_of, spec_text
from nearfield.store.tables import (
    changes,
    collections,
    documents,
    events,
    generations,
    impressions,
    judgments,
    spans,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from nearfield.domain.schema import CollectionSpec

PURGE_PAGE: Final = 5000
"""Rows of a dropped collection removed in one transaction."""
NAMES_TOLD: Final = 20

_BY_NAME: Final = select(collections.c.id, collections.c.name, collections.c.spec).where(
    collections.c.name == bindparam("wanted")
)
_BY_ID: Final = select(collections.c.id, collections.c.name, collections.c.spec).where(
    collections.c.id == bindparam("wanted"), collections.c.name.is_not(None)
)
_ALL: Final = (
    select(collections.c.id, collections.c.name, collections.c.spec)
    .where(collections.c.name.is_not(None))
    .order_by(collections.c.name)
)


def create(conn: Connection, spec: CollectionSpec) -> Collection:
    """See `Store.create_collection`."""
    row = conn.execute(_BY_NAME, {"wanted": spec.name}).first()
    if row is None:
        values = {"name": spec.name, "spec": spec_text(spec), "documents": 0, "last_seq": 0, "last_generation": 0}
        return Collection(insert_one(conn, collections, values), spec)
    there = collection_of(row)
    if there.spec == spec:
        return there
    differing = [f.name for f in fields(spec) if getattr(spec, f.name) != getattr(there.spec, f.name)]
    told = "; ".join(f"{name} is {getattr(there.spec, name)!r}, not {getattr(spec, name)!r}" for name in differing)
    raise CollectionConflict(
        f"collection {spec.name!r} exists with other settings: {told}; use them, choose another name, or drop it first",
        field=differing[0],
    )


def find(conn: Connection, name: str) -> Collection:
    """Raises CollectionNotFound, whose message names the collections that exist."""
    row = conn.execute(_BY_NAME, {"wanted": name}).first()
    if row is not None:
        return collection_of(row)
    names = [collection.name for collection in every(conn)]
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    there = f"there are: {', '.join(names[:NAMES_TOLD])}{more}" if names else "there is none yet"
    raise CollectionNotFound(f"no collection {name!r}; {there}", field="collection")


def every(conn: Connection) -> list[Collection]:
    """In order of name."""
    return [collection_of(row) for row in conn.execute(_ALL)]


def respec(conn: Connection, collection: Collection, change: Callable[[CollectionSpec], CollectionSpec]) -> Collection:
    """See `Store.respec`."""
    there = find(conn, collection.name)
    if there.id != collection.id:
        raise CollectionNotFound(f"collection {collection.name!r} was dropped and made anew", field="collection")
    return reshape(conn, there.id, change)


def reshape(conn: Connection, collection_id: int, change: Callable[[CollectionSpec], CollectionSpec]) -> Collection:
    """Put `change(the spec as it is)` in its place, whatever it changes. Raises CollectionNotFound when it is gone."""
    row = conn.execute(_BY_ID, {"wanted": collection_id}).first()
    if row is None:
        raise CollectionNotFound("the collection was dropped", field="collection")
    changed = change(collection_of(row).spec)
    conn.execute(update(collections).where(collections.c.id == collection_id).values(spec=spec_text(changed)))
    return Collection(collection_id, changed)


def hide(conn: Connection, collection: Collection) -> None:
    """The first step of a drop: from here on the collection is gone for everyone, and only its rows are left.

    A collection hidden before is passed over; `purge_page` removes the rows, `hidden` finds what a crash left.
    """
    conn.execute(update(collections).where(collections.c.id == collection.id).values(name=None))


def hidden(conn: Connection) -> list[Collection]:
    """The dropped collections whose rows are not yet all removed. Their names are gone: `dropped-<id>` stands in."""
    rows = conn.execute(select(collections.c.id, collections.c.spec).where(collections.c.name.is_(None)))
    return [collection_of((row_id, f"dropped-{row_id}", spec)) for row_id, spec in rows]


def purge_page(conn: Connection, collection: Collection) -> bool:
    """Remove PURGE_PAGE rows of a hidden collection, at the end itself too. Whether there is more to do."""
    collection_id = collection.id
    in_documents = select(documents.c.key).where(documents.c.collection_id == collection_id).limit(PURGE_PAGE)
    if conn.execute(delete(documents).where(documents.c.key.in_(in_documents))).rowcount:
        return True
    of_collection = changes.c.collection_id == collection_id
    seqs = select(changes.c.seq).where(of_collection).order_by(changes.c.seq).limit(PURGE_PAGE)
    if conn.execute(delete(changes).where(of_collection, changes.c.seq.in_(seqs))).rowcount:
        return True
    if vectors.remove_page(conn, brought(collection), PURGE_PAGE):
        return True
    for table in (impressions, events):
        rows = select(table.c.id).where(table.c.collection_id == collection_id).limit(PURGE_PAGE)
        if conn.execute(delete(table).where(table.c.id.in_(rows))).rowcount:
            return True
    conn.execute(delete(judgments).where(judgments.c.collection_id == collection_id))
    numbered = select(generations.c.id).where(generations.c.collection_id == collection_id)
    conn.execute(delete(spans).where(spans.c.generation_id.in_(numbered)))
    conn.execute(delete(generations).where(generations.c.collection_id == collection_id))
    rules.remove(conn, collection_id)
    conn.execute(delete(collections).where(collections.c.id == collection_id))
    return False
