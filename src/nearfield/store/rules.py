"""The rules of collections: versions that are only ever added, the oldest forgotten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import bindparam, delete, insert, select

from nearfield.domain.rules import Rules, RulesVersion
from nearfield.domain.rules_json import rules_from_json, rules_to_json
from nearfield.store import change_log
from nearfield.store.tables import rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nearfield.domain.collections import Collection

_COLUMNS: Final = (rules.c.version, rules.c.written_us, rules.c.restored_from, rules.c.body)
_MINE: Final = rules.c.collection_id == bindparam("collection")
_EVERY: Final = select(*_COLUMNS).where(_MINE).order_by(rules.c.version.desc())
_LATEST: Final = _EVERY.limit(1)
_ONE: Final = select(*_COLUMNS).where(_MINE, rules.c.version == bindparam("wanted"))
_FORGET: Final = delete(rules).where(_MINE, rules.c.version <= bindparam("up_to"))


def read(conn: Connection, collection: Collection, *, version: int | None) -> RulesVersion:
    """See `Store.rules`."""
    given: dict[str, Any] = {"collection": collection.id}
    row = conn.execute(_LATEST if version is None else _ONE, given | ({} if version is None else {"wanted": version}))
    found = row.first()
    return RulesVersion(0, Rules()) if found is None else _version_of(found)


def history(conn: Connection, collection: Collection) -> list[RulesVersion]:
    """See `Store.rules_history`."""
    return [_version_of(row) for row in conn.execute(_EVERY, {"collection": collection.id})]


def put(
    conn: Connection, collection: Collection, *, written: Rules, restored_from: int | None, keep: int
) -> RulesVersion:
    """See `Store.put_rules`."""
    change_log.lock(conn, collection)
    version = read(conn, collection, version=None).version + 1
    made = RulesVersion(version, written, time.time_ns() // 1_000, restored_from)
    row = {
        "collection_id": collection.id,
        "version": version,
        "written_us": made.written_us,
        "restored_from": restored_from,
        "body": orjson.dumps(rules_to_json(written)).decode(),
    }
    conn.execute(insert(rules), [row])
    conn.execute(_FORGET, {"collection": collection.id, "up_to": version - keep})
    return made


def remove(conn: Connection, collection_id: int) -> None:
    """All versions of a collection."""
    conn.execute(delete(rules).where(_MINE), {"collection": collection_id})


def _version_of(row: Sequence[Any]) -> RulesVersion:
    version, written_us, restored_from, body = row
    return RulesVersion(version, rules_from_json(orjson.loads(body)), written_us, restored_from)
