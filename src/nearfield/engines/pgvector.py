"""The user's own PostgreSQL with pgvector: one table per index, beside the user's own tables."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

import numpy as np

from nearfield.domain.errors import EngineUnavailable, UnsupportedByEngine
from nearfield.engines.calls import Calls
from nearfield.engines.pgvector_filters import Parameters, compile_filter
from nearfield.engines.pgvector_schema import CAPABILITIES, NAME, Table, check_effort, check_pgvector_spec, table_name
from nearfield.engines.pgvector_search import Searcher
from nearfield.engines.pgvector_server import WRITE_S, Server, ServerSettings, meaning
from nearfield.engines.pgvector_upkeep import Catalogue, Upkeep
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import EngineCapabilities, IndexSpec, IndexStats

T = TypeVar("T")
_ROWS_AT_ONCE: Final = 200  # written in one transaction: a graph of 768 dimensions takes 5 ms a row on a slow machine
_KEYS_AT_ONCE: Final = 8_192
_VECTORS_AT_ONCE: Final = 1_000
_UPKEEP_S: Final = 24 * 3_600.0


class PgvectorEngine:
    """Keeps one table per index in a schema of a PostgreSQL database.

    Tested against PostgreSQL 18.6 with pgvector 0.8.6, the real server. Needs pgvector 0.8.
    """

    name: ClassVar[str] = NAME
    capabilities: ClassVar[EngineCapabilities] = CAPABILITIES

    def __init__(self, settings: ServerSettings, prefix: str) -> None:
        self._server = Server(settings)
        self._prefix, self._schema = prefix, settings.schema
        self._calls = Calls(NAME, meaning, timeout_s=settings.timeout_s)
        self._catalogue = Catalogue(settings.schema)
        self._open: dict[str, PgvectorIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        return cls(ServerSettings.of(address, key), prefix)

    async def create(self, spec: IndexSpec) -> PgvectorIndex:
        check_pgvector_spec(spec)
        table = Table(self._schema, self._prefix, spec)
        await self._drop_open(spec.name)
        await self._run("creating an index", lambda connection: self._catalogue.create(connection, table))
        return self._hand_out(table)

    async def open(self, spec: IndexSpec) -> PgvectorIndex:
        check_pgvector_spec(spec)
        table = Table(self._schema, self._prefix, spec)
        await self._drop_open(spec.name)
        await self._run("opening an index", lambda connection: self._catalogue.check(connection, table))
        return self._hand_out(table)

    async def drop(self, name: str) -> None:
        await self._drop_open(name)
        table = table_name(self._prefix, name)
        await self._run("dropping an index", lambda connection: self._catalogue.drop(connection, table))

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._server.close()

    def _hand_out(self, table: Table) -> PgvectorIndex:
        index = self._open[table.spec.name] = PgvectorIndex(table, self._server, self._calls)
        return index

    async def _drop_open(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()

    async def _run(self, doing: str, work: Callable[[Any], Awaitable[T]]) -> T:
        async def call() -> T:
            async with self._server.connection() as connection:
                return await work(connection)

        return await self._calls.run(doing, call)


class PgvectorIndex:
    """One table, open. The server does the work; this object holds no rows."""

    def __init__(self, table: Table, server: Server, calls: Calls) -> None:
        self._table, self._server, self._calls = table, server, calls
        self._upkeep = Upkeep(table, memory=server.settings.maintenance_work_mem)
        self._search = Searcher(table, self._upkeep.rows_laid_out)
        self._optimizing = asyncio.Lock()
        self._unflushed = False
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._table.spec

    def unsupported(self, where: Filter) -> bool:
        try:
            compile_filter(where, self.spec.fields, self._table.columns, Parameters())
        except UnsupportedByEngine:
            return True
        return False

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """As the protocol says. Texts are not kept: words are not searched here."""
        vectors = admit_vectors(vectors, self.spec.dimension, self.spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self.spec.fields)
        statement = self._table.upsert()
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            records = [
                (key, vector, *self._table.values(row))
                for key, vector, row in zip(keys[part].tolist(), vectors[part], rows[part], strict=True)
            ]
            doing = f"writing rows {start + 1} to {start + len(records)} of {len(keys)}"
            await self._write(doing, statement, records)

    async def delete(self, keys: Int64Array) -> None:
        statement = f"DELETE FROM {self._table.name} WHERE key = ANY ($1::bigint[])"  # noqa: S608 - names are quoted
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            await self._write("deleting rows", statement, [(keys[start : start + _KEYS_AT_ONCE].tolist(),)])

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. effort: hnsw.ef_search or ivfflat.probes; of no meaning when exact."""
        admit_limit(limit)
        vector = admit_vectors(vector, self.spec.dimension, self.spec.settings.metric)
        if effort is not None and not exact:
            check_effort(self.spec.settings, effort)
        return await self._run(
            "searching",
            lambda connection: self._search.nearest(
                connection, vector, limit=limit, where=where, effort=effort, exact=exact
            ),
        )

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """Refused: what PostgreSQL ranks words by is not BM25."""
        raise UnsupportedByEngine("engine pgvector does not search words", field="mode")

    async def count(self, where: Filter | None = None) -> int:
        return await self._run("counting", lambda connection: self._search.count(connection, where))

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, bit by bit: a table holds float32 under every quantization."""
        found: dict[int, Float32Array] = {}
        for start in range(0, len(keys), _VECTORS_AT_ONCE):
            part = partial(self._search.vectors, keys=keys[start : start + _VECTORS_AT_ONCE].tolist())
            found |= await self._run("reading vectors", part)
        here = [key for key in keys.tolist() if key in found]
        block = np.array([found[key] for key in here], np.float32).reshape(len(here), self.spec.dimension)
        return np.array(here, np.int64), block

    async def keys(self) -> AsyncIterator[Int64Array]:
        after = -1
        while True:
            batch = await self._run("listing keys", partial(self._search.keys, after=after, limit=_KEYS_AT_ONCE))
            if not len(batch):
                return
            yield batch
            after = int(batch[-1])

    async def flush(self) -> None:
        """As the protocol says: writes do not wait for the server's disk, this does."""
        self._check_open()
        if self._unflushed:
            await self._run("flushing", self._upkeep.flush)
            self._unflushed = False

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Build the indexes that are missing, beside searches and writes, and have dead rows cleared away."""

        async def build() -> None:
            async with self._server.connection(lasting=True) as connection:
                await self._upkeep.optimize(connection)

        self._check_open()
        async with self._optimizing:
            await self._calls.run("optimizing", build, timeout_s=_UPKEEP_S)

    async def stats(self) -> IndexStats:
        return await self._run("reading statistics", self._upkeep.stats)

    async def close(self) -> None:
        self._closed = True

    async def _write(self, doing: str, statement: str, records: Sequence[tuple[object, ...]]) -> None:
        async def write(connection: Any) -> None:
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = off")
                await connection.executemany(statement, records)

        self._unflushed = True
        await self._run(doing, write, timeout_s=max(WRITE_S, self._server.settings.timeout_s))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"index {self.spec.name!r} is closed")

    async def _run(self, doing: str, work: Callable[[Any], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        async def call() -> T:
            async with self._server.connection() as connection:
                return await work(connection)

        self._check_open()
        return await self._calls.run(doing, call, timeout_s=timeout_s)
