"""Generations, their watermarks, and how many passages of each document their engine holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, insert, select, update

from nearfield.domain.collections import Collection, Generation, GenerationState
from nearfield.domain.errors import IndexMissing
from nearfield.store import change_log
from nearfield.store.collections import reshape
from nearfield.store.inserts import insert_one
from nearfield.store.pages import pages
from nearfield.store.records import generation_of, index_text, search_text
from nearfield.store.tables import collections, generations, spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from nearfield.protocols.store import NewGeneration

_ROW: Final = tuple(column for column in generations.c if column.name != "report")
_OF_COLLECTION: Final = (
    select(*_ROW).where(generations.c.collection_id == bindparam("collection")).order_by(generations.c.number)
)
_ADVANCE: Final = (
    update(generations).where(generations.c.id == bindparam("generation")).values(applied_seq=bindparam("seq"))
)
_EXISTS: Final = select(generations.c.id).where(generations.c.id == bindparam("generation"))
_SPANS: Final = select(spans.c.document_key, spans.c.passages).where(
    spans.c.generation_id == bindparam("generation"), spans.c.document_key.in_(bindparam("keys", expanding=True))
)
_FORGET_SPANS: Final = delete(spans).where(
    spans.c.generation_id == bindparam("generation"), spans.c.document_key.in_(bindparam("keys", expanding=True))
)


def create(conn: Connection, collection: Collection, new: NewGeneration) -> Generation:
    """See `Store.create_generation`."""
    change_log.lock(conn, collection)
    mine = collections.c.id == collection.id
    conn.execute(update(collections).where(mine).values(last_generation=collections.c.last_generation + 1))
    number: int = conn.execute(select(collections.c.last_generation).where(mine)).scalar_one()
    values = {
        "collection_id": collection.id,
        "number": number,
        "engine": new.engine,
        "settings": index_text(new.index),
        "fingerprint": new.fingerprint,
        "dimension": new.dimension,
        "state": GenerationState.BUILDING.value,
        "applied_seq": 0,
        "embedder": new.embedder,
        "search": search_text(new.search),
        "unattended": new.unattended,
    }
    return Generation(
        id=insert_one(conn, generations, values),
        collection_id=collection.id,
        number=number,
        engine=new.engine,
        index=new.index,
        fingerprint=new.fingerprint,
        dimension=new.dimension,
        state=GenerationState.BUILDING,
        applied_seq=0,
        embedder=new.embedder,
        search=new.search,
        unattended=new.unattended,
    )


def every(conn: Connection, collection: Collection) -> list[Generation]:
    """In order of number."""
    return [generation_of(row) for row in conn.execute(_OF_COLLECTION, {"collection": collection.id})]


def set_state(conn: Connection, generation: Generation, state: GenerationState) -> Generation:
    """See `Store.set_state`."""
    if state is GenerationState.LIVE:
        conn.execute(
            update(generations)
            .where(
                generations.c.collection_id == generation.collection_id,
                generations.c.state == GenerationState.LIVE.value,
                generations.c.id != generation.id,
            )
            .values(state=GenerationState.RETIRED.value)
        )
    mine = generations.c.id == generation.id
    conn.execute(update(generations).where(mine).values(state=state.value))
    row = conn.execute(select(*_ROW).where(mine)).first()
    if row is None:
        raise _dropped(generation)
    return generation_of(row)


def switch(conn: Connection, generation: Generation) -> Collection:
    """See `Store.switch`."""
    live = set_state(conn, generation, GenerationState.LIVE)
    return reshape(conn, live.collection_id, live.shape)


def put_report(conn: Connection, generation: Generation, report: str) -> None:
    """See `Store.put_report`."""
    mine = generations.c.id == generation.id
    if not conn.execute(update(generations).where(mine).values(report=report)).rowcount:
        raise _dropped(generation)


def read_report(conn: Connection, generation: Generation) -> str | None:
    """See `Store.report`."""
    found: str | None = conn.execute(select(generations.c.report).where(generations.c.id == generation.id)).scalar()
    return found


def set_watermark(
    conn: Connection, generation: Generation, applied_seq: int, new_spans: Mapping[int, int] | None
) -> None:
    """See `Store.set_watermark`."""
    if not conn.execute(_ADVANCE, {"generation": generation.id, "seq": applied_seq}).rowcount:
        raise _dropped(generation)
    if new_spans:
        _replace_spans(conn, generation, new_spans)


def drop(conn: Connection, generation: Generation) -> None:
    """Forget it; one that is not there is passed over."""
    conn.execute(delete(spans).where(spans.c.generation_id == generation.id))
    conn.execute(delete(generations).where(generations.c.id == generation.id))


def read_spans(conn: Connection, generation: Generation, document_keys: Sequence[int]) -> dict[int, int]:
    """Passage counts above 1, by document key."""
    found: dict[int, int] = {}
    for page in pages(document_keys):
        rows = conn.execute(_SPANS, {"generation": generation.id, "keys": page})
        found.update((key, passages) for key, passages in rows)
    return found


def put_spans(conn: Connection, generation: Generation, new_spans: Mapping[int, int]) -> None:
    """See `Store.put_spans`."""
    if conn.execute(_EXISTS, {"generation": generation.id}).first() is None:
        raise _dropped(generation)
    _replace_spans(conn, generation, new_spans)


def _replace_spans(conn: Connection, generation: Generation, new_spans: Mapping[int, int]) -> None:
    for page in pages(list(new_spans)):
        conn.execute(_FORGET_SPANS, {"generation": generation.id, "keys": page})
    rows = [
        {"generation_id": generation.id, "document_key": key, "passages": passages}
        for key, passages in new_spans.items()
        if passages > 1
    ]
    if rows:
        conn.execute(insert(spans), rows)


def _dropped(generation: Generation) -> IndexMissing:
    return IndexMissing(f"generation {generation.number} ({generation.index_name}) is not recorded: it was dropped")
