"""One row, where the database chooses the number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table


def insert_one(conn: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert a row into a table with a single integer key and return the key it got."""
    key = conn.execute(insert(table).values(dict(values))).inserted_primary_key
    assert key is not None  # noqa: S101 - for the type checker: a single-row INSERT always reports its key
    return int(key[0])
