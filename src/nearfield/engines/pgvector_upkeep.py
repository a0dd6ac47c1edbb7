"""What is done to a table other than reading and writing rows: made, found again, indexed, made durable, dropped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import IndexMissing, InvalidSetting
from nearfield.domain.schema import IndexKind
from nearfield.engines.pgvector_columns import quoted
from nearfield.engines.spec_file import compare_spec, spec_json
from nearfield.protocols.engine import IndexStats

LAYOUT: Final = 1
REBUILD_AT: Final = 4
"""An inverted file is built again once the table is this many times as large as when its lists were laid out."""

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.engines.pgvector_schema import Table


class Catalogue:
    """The table `indexes` of the schema, which says what each table is. A table without a row there was never finished.

    table_name: beside it in the schema. spec: what it was made as. columns: by field, the columns that hold it.
    rows_laid_out: how many rows there were when an inverted file was built. flushed_at: the last flush.
    """

    def __init__(self, schema: str) -> None:
        self._bare_schema, self._schema = schema, quoted(schema)
        self._name = f"{self._schema}.indexes"

    async def create(self, connection: Any, table: Table) -> None:
        """Make an empty table, and the schema where there is none. All or nothing."""
        if await connection.fetchval("SHOW server_encoding") != "UTF8":
            raise InvalidSetting(
                "engine pgvector: the database is not in UTF8; make one with ENCODING 'UTF8'", field="engine"
            )
        spec = json.dumps(spec_json(table.spec, layout=LAYOUT))
        async with connection.transaction():
            # IF NOT EXISTS alone lets two that come at once both try
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", self._name)
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", self._schema):
                await connection.execute(f"CREATE SCHEMA {self._schema}")
            if not await self._is_there(connection):
                await connection.execute(
                    f"CREATE TABLE {self._name} (table_name text PRIMARY KEY, spec jsonb NOT NULL, "
                    "columns jsonb NOT NULL, rows_laid_out bigint NOT NULL DEFAULT 0, flushed_at timestamptz)"
                )
            for statement in table.create():
                await connection.execute(statement)
            await connection.execute(
                f"INSERT INTO {self._name} (table_name, spec, columns) VALUES ($1, $2, $3) ON CONFLICT (table_name) "  # noqa: S608 - names are quoted
                "DO UPDATE SET spec = excluded.spec, columns = excluded.columns, rows_laid_out = 0, flushed_at = NULL",
                table.bare_name,
                spec,
                json.dumps(table.columns.names),
            )

    async def check(self, connection: Any, table: Table) -> None:
        """Raise IndexMissing where no finished table is, IndexDamaged where another one is."""
        stored = None
        if await self._is_there(connection):
            stored = await connection.fetchval(
                f"SELECT spec FROM {self._name} WHERE table_name = $1 AND to_regclass($2) IS NOT NULL",  # noqa: S608
                table.bare_name,
                table.name,
            )
        if stored is None:
            raise IndexMissing(f"no index {table.spec.name!r} in the database; it has to be rebuilt from the store")
        compare_spec(json.loads(stored), table.spec, layout=LAYOUT)

    async def drop(self, connection: Any, bare_name: str) -> None:
        """Remove a table; one that is not there is passed over."""
        async with connection.transaction():
            await connection.execute(f"DROP TABLE IF EXISTS {self._schema}.{quoted(bare_name)}")
            if await self._is_there(connection):
                await connection.execute(f"DELETE FROM {self._name} WHERE table_name = $1", bare_name)  # noqa: S608

    async def _is_there(self, connection: Any) -> bool:
        return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", self._name))


class Upkeep:
    """Indexes, figures and durability of one table."""

    def __init__(self, table: Table, *, memory: str | None) -> None:
        self._table, self._memory = table, memory
        self._schema = quoted(table.schema)
        self._catalogue = f"{self._schema}.indexes"

    async def flush(self, connection: Any) -> None:
        """Have the server write down all that was committed: the log goes to disk in order, up to this commit."""
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('synchronous_commit', 'on', true) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            done = await connection.execute(
                f"UPDATE {self._catalogue} SET flushed_at = now() WHERE table_name = $1",  # noqa: S608 - names are quoted
                self._table.bare_name,
            )
        if done != "UPDATE 1":
            raise IndexMissing(f"index {self._table.spec.name!r} was dropped; it has to be rebuilt from the store")

    async def stats(self, connection: Any) -> IndexStats:
        rows, size = await connection.fetchrow(
            f"SELECT count(*), pg_total_relation_size('{self._table.name}') FROM {self._table.name}"  # noqa: S608
        )
        have = await self._valid_indexes(connection)
        missing = self._table.field_indexes().keys() - have.keys()
        laid_out = await self.rows_laid_out(connection)
        unindexed = self._unindexed(rows, vector=have.get(self._table.vector_index, False), laid_out=laid_out)
        return IndexStats(rows, size, unindexed or (rows if missing else 0))

    async def optimize(self, connection: Any) -> None:
        """Build what is missing without holding anybody up, then clear dead rows away and count anew."""
        rows = await connection.fetchval(f"SELECT count(*) FROM {self._table.name}")  # noqa: S608
        have = await self._valid_indexes(connection)
        if self._memory is not None:
            await connection.execute("SELECT set_config('maintenance_work_mem', $1, false)", self._memory)
        for name, target in self._table.field_indexes().items():
            if not have.get(name):
                await self._build(connection, name, target)
        await self._lay_out(connection, rows, have)
        await connection.execute(f"VACUUM (ANALYZE) {self._table.name}")

    async def _lay_out(self, connection: Any, rows: int, have: Mapping[str, bool]) -> None:
        """Build the vector index, or an inverted file anew; the old one serves until the new one is there."""
        laid_out = await self.rows_laid_out(connection)
        target = self._table.vector_index_on(rows)
        present = have.get(self._table.vector_index, False)
        if target is None or not self._unindexed(rows, vector=present, laid_out=laid_out):
            return
        name, successor = self._table.vector_index, f"{self._table.vector_index}_new"
        await self._build(connection, successor if present else name, target)
        if present:
            await connection.execute(f"DROP INDEX CONCURRENTLY {self._schema}.{quoted(name)}")
            await connection.execute(f"ALTER INDEX {self._schema}.{quoted(successor)} RENAME TO {quoted(name)}")
        await connection.execute(
            f"UPDATE {self._catalogue} SET rows_laid_out = $2 WHERE table_name = $1",  # noqa: S608
            self._table.bare_name,
            rows,
        )

    def _unindexed(self, rows: int, *, vector: bool, laid_out: int) -> int:
        kind = self._table.spec.settings.kind
        if kind is IndexKind.FLAT:
            return 0
        if not vector:
            return rows
        return rows - laid_out if kind is IndexKind.IVF and rows >= REBUILD_AT * laid_out else 0

    async def _build(self, connection: Any, name: str, target: str) -> None:
        """Build an index beside writes. One that an earlier try left unfinished is in the way, and goes first."""
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self._schema}.{quoted(name)}")
        await connection.execute(f"CREATE INDEX CONCURRENTLY {quoted(name)} ON {target}")

    async def _valid_indexes(self, connection: Any) -> dict[str, bool]:
        """The table's indexes, and whether each is finished."""
        found = await connection.fetch(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE indrelid = to_regclass($1)",
            self._table.name,
        )
        return dict(found)

    async def rows_laid_out(self, connection: Any) -> int:
        """How many rows an inverted file was built over; 0 where none was."""
        rows = await connection.fetchval(
            f"SELECT rows_laid_out FROM {self._catalogue} WHERE table_name = $1",  # noqa: S608
            self._table.bare_name,
        )
        return int(rows or 0)
