"""A table of PostgreSQL with a column of pgvector as a source, read by a cursor in one snapshot."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import orjson

from nearfield.domain.errors import EngineUnavailable, InvalidRequest, MissingDependency
from nearfield.domain.schema import Metric
from nearfield.domain.servers import key_setting
from nearfield.protocols.source import Told
from nearfield.sources.store_rows import PAGE, StoreRow, lifted

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

T = TypeVar("T")
CONNECT_S: Final = 30.0
PAGE_S: Final = 300.0
_VECTORS: Final = ("vector", "halfvec")
_UNREADABLE: Final = frozenset({"bytea", "tsvector", "tsquery", "bit", "varbit", "sparsevec", *_VECTORS})
"""Types that JSON has no place for; columns of them are left out."""
_PLAIN: Final = frozenset(
    {
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "uuid"),
        *("date", "timestamp", "timestamptz", "json", "jsonb"),
    }
)
"""Types read as they are, and lists of them; any other as its text."""
_COLUMNS: Final = """
SELECT a.attname AS name, t.typname AS kind, a.atttypmod AS modifier, e.typname AS element,
  EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey)
    AND i.indnkeyatts = 1) AS is_key,
  (SELECT o.opcname FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0]
    WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND o.opcname LIKE '%vec%_ops' LIMIT 1) AS compared
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_METRICS: Final = {"cosine": Metric.COSINE, "ip": Metric.DOT, "l2": Metric.EUCLIDEAN}


class PgvectorReader:
    """See `StoreReader`. A row's columns are the document's fields; those of `lift`, which holds JSON, are lifted out.

    A column `id` that is not the key is left out: the key is the document's id.
    """

    def __init__(
        self,
        url: str,
        table: str,
        *,
        password: str | None,
        sslmode: str,
        vector: str | None,
        id_column: str | None,
        lift: str | None,
    ) -> None:
        """table: with its schema before it or not. vector, id_column: None finds the only one, the primary key."""
        self.name = f"pgvector-{table}"
        self._connection = _Connection(url, password=password, sslmode=sslmode)
        self._table, self._vector, self._id, self._lift = table, vector, id_column, lift
        self._select, self._names = "", list[str]()
        self._total: int | None = None

    def told(self) -> Told:
        try:
            return self._described()
        except BaseException:
            self._connection.close()
            raise

    def _described(self) -> Told:
        columns = self._connection.fetch(_COLUMNS, _quoted(self._table), missing=f"no table {self._table!r} there")
        vectors = [column for column in columns if column["kind"] in _VECTORS]
        vector = _one(vectors, self._vector, f"columns of vectors in {self._table}", "vector")
        keys = [column for column in columns if column["is_key"]]
        key = _one(columns if self._id else keys, self._id, f"primary keys of one column in {self._table}", "id")
        left_out = [
            str(column["name"])
            for column in columns
            if (column["element"] or column["kind"]) in _UNREADABLE and column["name"] != vector["name"]
        ]
        read = [column for column in columns if column["name"] not in (*left_out, vector["name"], "id")]
        self._names = [str(column["name"]) for column in read]
        self._select = ", ".join([_selected(key), f"{_quote(vector['name'])}::real[]", *map(_selected, read)])
        about = self._connection.fetch("SELECT reltuples FROM pg_class WHERE oid = $1::regclass", _quoted(self._table))
        self._total = int(about[0]["reltuples"]) if about[0]["reltuples"] >= 0 else None
        notes = [f"columns left out, which JSON has no place for: {', '.join(left_out)}"] if left_out else []
        metric = next((of for name, of in _METRICS.items() if f"_{name}_" in str(vector["compared"])), None)
        if metric is None and vector["compared"] is None:
            notes.append(
                "no index tells by which metric the vectors are compared: cosine is taken; --metric says another"
            )
        dimension = int(vector["modifier"]) if vector["modifier"] > 0 else self._dimension(str(vector["name"]))
        return Told(dimension, metric, id_field="id", notes=tuple(notes))

    def total(self) -> int | None:
        return self._total

    def pages(self) -> Iterator[Sequence[StoreRow]]:
        try:
            self._connection.begin(f"SELECT {self._select} FROM {_quoted(self._table)}")  # noqa: S608 - names are quoted
            while records := self._connection.page(PAGE):
                yield [self._row(record) for record in records]
        finally:
            self._connection.close()

    def _dimension(self, column: str) -> int | None:
        name = _quote(column)
        found = self._connection.fetch(
            f"SELECT cardinality({name}::real[]) AS n FROM {_quoted(self._table)} WHERE {name} IS NOT NULL LIMIT 1"  # noqa: S608
        )
        return int(found[0]["n"]) if found else None

    def _row(self, record: Any) -> StoreRow:
        id, vector, *values = record.values()  # noqa: A001 - the row's own word
        fields = lifted(dict(zip(self._names, values, strict=True)), self._lift)
        return StoreRow(
            id if isinstance(id, int) else str(id), fields, None if vector is None else np.asarray(vector, np.float32)
        )


class _Connection:
    """One connection, on an event loop in a thread of its own: asyncpg's calls, made to block."""

    def __init__(self, url: str, *, password: str | None, sslmode: str) -> None:
        self._url, self._password, self._sslmode = url, password, sslmode
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._cursor: Any = None

    def fetch(self, query: str, *arguments: object, missing: str | None = None) -> list[Any]:
        """All rows of a query. missing: what is told where it names a table that is not there."""

        async def work() -> list[Any]:
            return list(await (await self._connected()).fetch(query, *arguments, timeout=PAGE_S))

        return self._run(work(), missing)

    def begin(self, query: str) -> None:
        """Open a cursor, in a snapshot that no later write changes."""

        async def work() -> None:
            connection = await self._connected()
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
            self._cursor = await connection.cursor(query, timeout=PAGE_S)

        self._run(work())

    def page(self, most: int) -> list[Any]:
        """The cursor's next rows; empty at the end."""

        async def work() -> list[Any]:
            return list(await self._cursor.fetch(most, timeout=PAGE_S))

        return self._run(work())

    def close(self) -> None:
        """Let go of the connection at once, and end the thread. Nothing was written. Idempotent."""
        loop, connection = self._loop, self._connection
        self._loop = self._connection = None
        if loop is None:
            return

        async def end() -> None:
            if connection is not None:
                connection.terminate()
                await asyncio.sleep(0)  # the loop's next turn closes the socket
                await asyncio.sleep(0)

        ended = asyncio.run_coroutine_threadsafe(end(), loop)
        ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))

    async def _connected(self) -> Any:
        if self._connection is None:
            connection = await _sdk().connect(
                self._url, password=self._password, ssl=self._sslmode, timeout=CONNECT_S, statement_cache_size=0
            )
            for kind in ("json", "jsonb"):
                await connection.set_type_codec(
                    kind, encoder=_never, decoder=orjson.loads, schema="pg_catalog", format="text"
                )
            self._connection = connection
        return self._connection

    def _run(self, work: Coroutine[Any, Any, T], missing: str | None = None) -> T:
        """Raises InvalidRequest, EngineUnavailable, MissingDependency."""
        try:
            vendor = _sdk()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="pgvector", daemon=True).start()
        except BaseException:
            work.close()
            raise
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (vendor.UndefinedTableError, vendor.InvalidSchemaNameError) as exc:
            raise InvalidRequest(
                f"{missing or exc}; name it as table=NAME or table=SCHEMA.NAME", field="table"
            ) from exc
        except (vendor.InvalidPasswordError, vendor.InvalidAuthorizationSpecificationError) as exc:
            raise EngineUnavailable(
                f"PostgreSQL refused the password: {exc}; give it as {key_setting('pgvector')}"
            ) from exc
        except (vendor.PostgresError, vendor.InterfaceError, OSError, TimeoutError) as exc:
            raise EngineUnavailable(f"PostgreSQL cannot be read: {type(exc).__name__}: {exc}") from exc


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _sdk() -> Any:
    try:
        import asyncpg  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("reading PostgreSQL needs asyncpg: pip install 'nearfield[pgvector]'") from exc
    return asyncpg


def _never(value: object) -> str:
    raise TypeError(f"nothing is written, least of all {value!r}")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(table: str) -> str:
    schema, dot, name = table.rpartition(".")
    return f"{_quote(schema)}.{_quote(name)}" if dot else _quote(name)


def _selected(column: Any) -> str:
    plain = (column["element"] or column["kind"]) in _PLAIN
    return _quote(column["name"]) if plain else f"{_quote(column['name'])}::text"


def _one(columns: Sequence[Any], asked: str | None, what: str, option: str) -> Any:
    names = [str(column["name"]) for column in columns]
    if asked is not None and asked in names:
        return columns[names.index(asked)]
    if asked is None and len(names) == 1:
        return columns[0]
    given = "none is named" if asked is None else f"{asked!r} is not one of them"
    raise InvalidRequest(f"{what}: {', '.join(names) or 'none'}; {given}, say which as {option}=COLUMN", field=option)
