"""pgvector on a real server: the suite, and what a server that others use too may do to an index."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.vendors.postgres_server import PASSWORD

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import (
    EngineUnavailable,
    IndexMissing,
    InvalidSetting,
    MissingDependency,
    UnsupportedByEngine,
)
from nearfield.domain.filters import ContainsAny, Eq, Gt, Lt
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings, Metric, Quantization
from nearfield.engines.calls import Calls
from nearfield.engines.pgvector import PgvectorEngine, PgvectorIndex
from nearfield.engines.pgvector_columns import LONGEST_KEYWORD
from nearfield.engines.pgvector_server import meaning, sdk
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.vendors.postgres_server import PostgresServer

    from nearfield.domain.filters import Row

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))
ROWS = 3_000
MANY = IndexSpec("many", 8, IndexSettings(), {"title": FieldType.TEXT, "stock": FieldType.INT})
"""Rows enough that an index is the cheaper way; one in 300 of them has the title `rare`."""


@pytest.mark.heavy
@pytest.mark.servers
class TestPgvectorEngine(EngineSuite):
    engine_type = PgvectorEngine

    @pytest.fixture
    def address(self, postgres: PostgresServer) -> str:
        return postgres.address()

    @pytest.fixture
    def key(self) -> str:
        return PASSWORD

    @pytest.fixture
    def against(self, postgres: PostgresServer) -> str:
        with_vectors = postgres.sql("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        return f"PostgreSQL {postgres.sql('SHOW server_version')} with pgvector {with_vectors}"


def reached(address: str, *, key: str | None = PASSWORD, prefix: str = "own_") -> PgvectorEngine:
    return PgvectorEngine.reach(EngineAddress.parse(address), prefix=prefix, key=key)


def impatient(index: PgvectorIndex) -> PgvectorIndex:
    """The same index for one who waits 0.3 s, twice."""
    return PgvectorIndex(index._table, index._server, Calls("pgvector", meaning, timeout_s=0.3, tries=2))


@pytest.fixture
async def engine(postgres: PostgresServer) -> AsyncIterator[PgvectorEngine]:
    engine = reached(postgres.address())
    yield engine
    await engine.close()


def vectors_of_many() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    raw = np.random.default_rng(5).normal(size=(ROWS, 8))
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


async def many(engine: PgvectorEngine, settings: IndexSettings) -> PgvectorIndex:
    index = await engine.create(replace(MANY, settings=settings))
    keys = np.arange(1, ROWS + 1, dtype=np.int64) << 12
    rows: list[Row] = [{"title": "rare" if n % 300 == 0 else "usual", "stock": n} for n in range(ROWS)]
    await index.upsert(keys, vectors_of_many(), rows, [""] * ROWS)
    await index.optimize()
    return index


# -- which way a search goes -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("quantization", [Quantization.NONE, Quantization.FLOAT16])
@pytest.mark.parametrize("kind", [IndexKind.HNSW, IndexKind.IVF])
async def test_a_search_goes_by_the_index_and_an_exact_one_does_not(
    engine: PgvectorEngine, postgres: PostgresServer, kind: IndexKind, quantization: Quantization
) -> None:
    index = await many(engine, IndexSettings(kind=kind, quantization=quantization, lists=30, probes=10))
    stored = vectors_of_many()

    async def scans(*, exact: bool) -> int:
        """How often the vector index is scanned in five searches; a server knows once its connections are closed."""
        searching = reached(postgres.address())
        opened = await searching.open(index.spec)
        for n in range(5):
            found = await opened.nearest(stored[n], limit=10, exact=exact)
            true = np.argsort(-(stored.astype(np.float64) @ stored[n]), kind="stable")[:10] + 1
            assert len(set(found.keys.tolist()) & set((true << 12).tolist())) >= (10 if exact else 7)
        await searching.close()
        await engine.close()
        while postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearfield'") != "0":
            await asyncio.sleep(0.05)
        asked = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'own_many_vector'"
        return int(postgres.sql(asked))

    before = await scans(exact=True)
    assert await scans(exact=False) == before + 5
    assert await scans(exact=True) == before + 5


@pytest.mark.parametrize("kind", [IndexKind.HNSW, IndexKind.IVF])
async def test_a_filter_never_starves_a_search(engine: PgvectorEngine, kind: IndexKind) -> None:
    index = await many(engine, IndexSettings(kind=kind, ef_search=16, lists=30, probes=1))
    query = vectors_of_many()[7]
    rare = Eq("title", "rare")  # whole texts have no index of their own
    assert len(await index.nearest(query, limit=10, where=rare)) == 10
    assert len(await index.nearest(query, limit=50, where=rare)) == 10
    assert len(await index.nearest(query, limit=900, where=Gt("stock", 1_000))) == 900
    assert len(await index.nearest(query, limit=2_900)) == 2_900


async def test_effort_is_heeded(engine: PgvectorEngine) -> None:
    index = await many(engine, IndexSettings(kind=IndexKind.IVF, lists=200, probes=1))
    stored = vectors_of_many()
    queries = stored[:60] + stored[60:120]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)

    async def recall(effort: int | None) -> float:
        right = 0
        for query in queries:
            true = (await index.nearest(query, limit=10, exact=True)).keys.tolist()
            right += len({*true} & {*(await index.nearest(query, limit=10, effort=effort)).keys.tolist()})
        return right / (10 * len(queries))

    few, some, every = await recall(None), await recall(20), await recall(200)
    assert few < some < every == 1.0


# -- what may stand in a row -------------------------------------------------------------------------------------------
async def test_keywords_that_no_index_takes_and_nul_are_told_apart(engine: PgvectorEngine) -> None:
    index = await engine.create(replace(FLAT, fields={"sku": FieldType.KEYWORD, "tags": FieldType.KEYWORDS}))
    long = "\U0010ffff" * 8_000
    words = [long, long + "a", long + "b", "a\0b", "a\x01b", "a\x01\x01b", "a"]
    keys, vectors = bookshop.keys(len(words)), bookshop.vectors(len(words))
    for _ in range(2):  # the second time into the indexes
        await index.upsert(keys, vectors, [{"sku": word, "tags": (word, "x")} for word in words], [""] * len(words))
        await index.optimize()
    for word in words:
        assert await index.count(Eq("sku", word)) == 1
        assert await index.count(ContainsAny("tags", (word,))) == 1
    assert await index.count(Lt("sku", "a\x01b")) == 3  # "a", "a\0b" and "a\x01\x01b", by code point
    assert await index.count(Gt("sku", "b")) == 3
    assert index.unsupported(Gt("sku", "x" * (LONGEST_KEYWORD + 1)))
    with pytest.raises(UnsupportedByEngine, match="keywords"):
        await index.count(Gt("sku", "x" * (LONGEST_KEYWORD + 1)))


async def test_fields_called_like_columns_of_ours(engine: PgvectorEngine) -> None:
    fields = {
        "key": FieldType.INT,
        "key_2": FieldType.INT,
        "ctid": FieldType.INT,
        "embedding": FieldType.KEYWORD,
        "at": FieldType.GEO,
        "at_lat": FieldType.INT,
        "A" * 63: FieldType.GEOS,
        "A" * 62: FieldType.INT,
    }
    index = await engine.create(replace(FLAT, fields=fields))
    await index.upsert(
        bookshop.keys(1), bookshop.vectors(1), [{"key": 1, "key_2": 2, "ctid": 3, "embedding": "e", "at_lat": 4}], [""]
    )
    for where in (Eq("key", 1), Eq("key_2", 2), Eq("ctid", 3), Eq("embedding", "e"), Eq("at_lat", 4)):
        assert await index.count(where) == 1
    await index.optimize()
    assert (await index.stats()).unindexed == 0


async def test_the_users_own_tables_can_be_joined(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="shop", fields={"sku": FieldType.KEYWORD, "at": FieldType.GEO}))
    keys = np.array([(7 << 12) + 2, 8 << 12], np.int64)
    await index.upsert(keys, bookshop.vectors(2), [{"sku": "A-1"}, {"sku": "B-2"}], ["", ""])
    joined = postgres.sql(
        "CREATE TEMP TABLE stock (sku text, pieces integer); INSERT INTO stock VALUES ('A-1', 5), ('B-2', 0); "
        "SELECT document, passage, pieces FROM nearfield.own_shop JOIN stock USING (sku) WHERE pieces > 0 "
        "ORDER BY embedding <=> (SELECT embedding FROM nearfield.own_shop WHERE document = 8)"
    )
    assert joined.splitlines()[-1] == "7|2|5"
    columns = postgres.sql("SELECT columns->'at' FROM nearfield.indexes WHERE table_name = 'own_shop'")
    assert columns == '["at_lat", "at_lon"]'


# -- indexes are built beside, and mended ------------------------------------------------------------------------------
async def test_an_index_that_was_left_unfinished_is_built_anew(
    engine: PgvectorEngine, postgres: PostgresServer
) -> None:
    index = await many(engine, IndexSettings())
    postgres.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'nearfield.own_many_vector'::regclass")
    assert (await index.stats()).unindexed == ROWS
    await index.optimize()
    assert (await index.stats()).unindexed == 0


async def test_upkeep_that_is_given_up_ends_on_the_server_too(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(MANY, name="given_up"))
    await index.upsert(np.arange(5), vectors_of_many()[:5], [{"stock": 1}] * 5, [""] * 5)
    other = await sdk().connect(postgres.url(), password=PASSWORD)
    building = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%given_up%' AND state = 'active'"

    async def until(count: str) -> None:
        while postgres.sql(building) != count:
            await asyncio.sleep(0.05)

    async with asyncio.timeout(60):
        async with other.transaction():
            await other.execute("UPDATE nearfield.own_given_up SET stock = 2")  # which the build waits for
            upkeep = asyncio.create_task(index.optimize())
            await until("1")
            upkeep.cancel()
            await until("0")
        await other.close()
        await index.optimize()
    assert (await index.stats()).unindexed == 0


async def test_an_inverted_file_is_laid_out_anew_when_it_has_grown(
    engine: PgvectorEngine, postgres: PostgresServer
) -> None:
    index = await engine.create(replace(MANY, settings=IndexSettings(kind=IndexKind.IVF)))
    stored, keys = vectors_of_many(), np.arange(ROWS, dtype=np.int64)

    def lists() -> str:
        return postgres.sql("SELECT reloptions FROM pg_class WHERE relname = 'own_many_vector'")

    await index.optimize()  # no rows, no lists
    assert lists() == ""
    for stop, unindexed in ((500, 500), (1_000, 0), (2_100, 1_600), (3_000, 0)):
        await index.upsert(keys[:stop], stored[:stop], [{}] * stop, [""] * stop)
        assert (await index.stats()).unindexed == unindexed
        await index.optimize()
    assert lists() == "{lists=2}"
    assert (await index.nearest(stored[2_999], limit=1)).keys.tolist() == [2_999]


# -- a server that others use, and that fails --------------------------------------------------------------------------
async def test_what_was_flushed_survives_the_servers_kill_and_the_pool_finds_it_again(
    engine: PgvectorEngine, postgres: PostgresServer
) -> None:
    index = await engine.create(replace(spec_of(IndexSettings()), name="kept"))
    await bookshop.stock(index, stop=100)
    await index.optimize()
    await bookshop.stock(index, start=100)
    await index.delete(bookshop.keys()[:5])
    await asyncio.gather(*(index.nearest(bookshop.vectors()[n], limit=1) for n in range(5, 15)))  # several connections
    await index.flush()
    postgres.kill()
    with pytest.raises(EngineUnavailable, match="no connection"):
        await index.count()
    postgres.start()
    found = await asyncio.gather(*(index.nearest(bookshop.vectors()[n], limit=1) for n in range(5, 15)))
    assert [int(one.keys[0]) for one in found] == bookshop.keys()[5:15].tolist()
    assert sorted(await listed_keys(index)) == bookshop.keys()[5:].tolist()
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS


async def test_a_wrong_password_is_told_with_what_to_do(postgres: PostgresServer) -> None:
    for key in ("wrong secret", None):
        engine = reached(postgres.address(), key=key)
        with pytest.raises(EngineUnavailable, match=r"password.*NEARFIELD_ENGINE_KEYS") as told:
            await engine.open(FLAT)
        assert "wrong secret" not in str(told.value)
        await engine.close()


async def test_a_database_that_lacks_something_is_told(postgres: PostgresServer) -> None:
    postgres.sql("DROP DATABASE IF EXISTS bare")
    postgres.sql("CREATE DATABASE bare TEMPLATE template0")
    postgres.sql("DROP DATABASE IF EXISTS latin")
    postgres.sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    postgres.sql("CREATE EXTENSION vector", "latin")
    for database, message in (
        ("bare", "CREATE EXTENSION vector"),
        ("latin", "UTF8"),
        ("nowhere", "does not exist; create it"),
    ):
        engine = reached(postgres.address(database))
        with pytest.raises((InvalidSetting, EngineUnavailable), match=message):
            await engine.create(FLAT)
        await engine.close()


async def test_the_extension_may_live_in_any_schema(postgres: PostgresServer) -> None:
    postgres.sql("DROP DATABASE IF EXISTS elsewhere")
    postgres.sql("CREATE DATABASE elsewhere TEMPLATE template0")
    postgres.sql('CREATE SCHEMA "my Types"; CREATE EXTENSION vector SCHEMA "my Types"', "elsewhere")
    engine = reached(postgres.address("elsewhere", schema="Vectors"))
    index = await engine.create(replace(spec_of(IndexSettings(quantization=Quantization.FLOAT16)), name="x"))
    await bookshop.stock(index)
    await index.optimize()
    assert (await index.nearest(bookshop.vectors()[9], limit=1)).keys.tolist() == [10 << 12]
    assert postgres.sql('SELECT count(*) FROM "Vectors".own_x', "elsewhere") == "240"
    await engine.close()


async def test_a_role_that_may_only_read_searches(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="shared"))
    await bookshop.stock(index)
    postgres.sql(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT USAGE ON SCHEMA nearfield TO reader"
    )
    reader = reached(postgres.address(user="reader"), key="r")
    with pytest.raises(EngineUnavailable, match="grant"):
        await reader.open(index.spec)
    postgres.sql("GRANT SELECT ON ALL TABLES IN SCHEMA nearfield TO reader")
    seen = await reader.open(index.spec)
    assert (await seen.nearest(bookshop.vectors()[3], limit=1, where=Lt("price", 20.0))).keys.tolist() == [4 << 12]
    await seen.flush()  # nothing was written
    for write in (seen.delete(bookshop.keys()[:1]), seen.optimize(), reader.create(index.spec)):
        with pytest.raises(EngineUnavailable, match="grant"):
            await write
    assert await index.count() == bookshop.ROWS
    await reader.close()
    postgres.sql("DROP OWNED BY reader; DROP ROLE reader")


async def test_a_search_that_has_to_wait_too_long_is_given_up(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="locked"))
    other = await sdk().connect(postgres.url(), password=PASSWORD)
    async with other.transaction():
        await other.execute("LOCK TABLE nearfield.own_locked IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(EngineUnavailable, match=r"no answer within 0\.3 s"):
            await impatient(index).count()
    assert await index.count() == 0  # and the next one is answered
    await other.close()


async def test_too_many_connections_pass(postgres: PostgresServer) -> None:
    postgres.sql("DROP ROLE IF EXISTS single; CREATE ROLE single LOGIN PASSWORD 's' CONNECTION LIMIT 1")
    only = await sdk().connect(postgres.url(user="single"), password="s")
    engine = reached(postgres.address(user="single"), key="s")
    with pytest.raises(EngineUnavailable, match="too many connections"):
        await engine.open(FLAT)
    waiting = asyncio.create_task(engine.open(replace(FLAT, name="absent")))
    await asyncio.sleep(0.05)
    await only.close()
    with pytest.raises(EngineUnavailable, match="grant"):  # it was let in, and has no right to more
        await waiting
    await engine.close()


async def test_a_server_that_talks_something_else_is_told_and_one_that_is_silent(postgres: PostgresServer) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behaviour in (web, silent):
        server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = reached(f"pgvector+postgresql://postgres@127.0.0.1:{port}/postgres?timeout_s=0.2")
        started = time.monotonic()
        with pytest.raises(EngineUnavailable):
            await engine.open(FLAT)
        assert time.monotonic() - started < 60  # it ended, however busy the machine
        await engine.close()
        server.close()


async def test_which_rows_were_not_written_is_told(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="half", dimension=2, fields={"year": FieldType.INT}))
    postgres.sql("ALTER TABLE nearfield.own_half ADD CHECK (key <> 333)")
    keys, vectors = np.arange(1, 451), np.tile(np.array([1, 0], np.float32), (450, 1))
    with pytest.raises(EngineUnavailable, match=r"writing rows 201 to 400 of 450: .*own_half"):
        await index.upsert(keys, vectors, [{}] * 450, [""] * 450)
    assert await index.count() == 200
    postgres.sql("ALTER TABLE nearfield.own_half DROP CONSTRAINT own_half_key_check")
    await index.upsert(keys, vectors, [{}] * 450, [""] * 450)
    assert await index.count() == 450


async def test_a_server_that_stops_answering_holds_nothing_up(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="far"))
    with postgres.stopped(), pytest.raises(EngineUnavailable, match="no answer within"):
        await impatient(index).count()
    assert await index.count() == 0


async def test_a_table_dropped_by_others_is_missing(engine: PgvectorEngine, postgres: PostgresServer) -> None:
    index = await engine.create(replace(FLAT, name="fleeting"))
    await bookshop.stock(index, stop=3)
    postgres.sql("DROP TABLE nearfield.own_fleeting")
    with pytest.raises(IndexMissing, match="rebuilt"):
        await index.count()
    with pytest.raises(IndexMissing):
        await engine.open(index.spec)


async def test_a_table_made_anew_with_other_types_is_written_to(engine: PgvectorEngine) -> None:
    for kind, value in ((FieldType.INT, 1), (FieldType.KEYWORD, "one"), (FieldType.BOOLS, (True,))):
        index = await engine.create(replace(FLAT, fields={"it": kind}))
        await index.upsert(bookshop.keys(1), bookshop.vectors(1), [{"it": value}], [""])
        assert await index.count() == 1


# -- what is refused before anything is asked --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "dimension", "field"),
    [
        (IndexSettings(m=101), 64, "index.m"),
        (IndexSettings(ef_construction=1_001), 64, "index.ef_construction"),
        (IndexSettings(m=64, ef_construction=127), 64, "index.ef_construction"),
        (IndexSettings(ef_search=1_001), 64, "index.ef_search"),
        (IndexSettings(kind=IndexKind.IVF, lists=32_769), 64, "index.lists"),
        (IndexSettings(), 2_001, "index.quantization"),
        (IndexSettings(quantization=Quantization.FLOAT16), 4_001, "index.quantization"),
    ],
)
async def test_settings_beyond_pgvector_are_refused(
    engine: PgvectorEngine, settings: IndexSettings, dimension: int, field: str
) -> None:
    with pytest.raises(UnsupportedByEngine) as refused:
        await engine.create(spec_of(settings, dimension=dimension))
    assert refused.value.field == field


async def test_the_most_dimensions_are_indexed(engine: PgvectorEngine) -> None:
    for quantization, dimension in ((Quantization.NONE, 2_000), (Quantization.FLOAT16, 4_000)):
        settings = IndexSettings(quantization=quantization, metric=Metric.DOT)
        index = await engine.create(spec_of(settings, dimension=dimension))
        rows = np.eye(5, dimension, dtype=np.float32)
        await index.upsert(np.arange(5), rows, [{}] * 5, [""] * 5)
        await index.optimize()
        assert (await index.stats()).unindexed == 0
        assert (await index.nearest(rows[3], limit=1)).keys.tolist() == [3]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("pgvector+http://host/db", "postgresql://"),
        ("pgvector+postgresql://host/db?schema=a-b", "a-b"),
        ("pgvector+postgresql://host/db?sslmode=maybe", "verify-full"),
        ("pgvector+postgresql://host/db?sslrootcert=/nowhere.pem", "a file that is there"),
        ("pgvector+postgresql://host/db?connections=0", "1 to 1000"),
        ("pgvector+postgresql://host/db?timeout_s=soon", "seconds"),
        ("pgvector+postgresql://host/db?timeout_s=0", "seconds"),
        ("pgvector+postgresql://host/db?maintenance_work_mem=much", "GB"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(address: str, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told):
        reached(address)


def test_without_asyncpg_the_fix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingDependency, match=r"pip install 'nearfield\[pgvector\]'"):
        reached("pgvector+postgresql://host/db")


# -- a collection on it ------------------------------------------------------------------------------------------------
def test_a_collection_lives_on_it(tmp_path: Path, postgres: PostgresServer) -> None:
    address = postgres.address(schema="shop")
    options = {"environment": "test", "embedder": "hashing", "engine": address, "engine_keys": {"pgvector": PASSWORD}}
    gear = [
        {"id": "1", "name": "Wireless earbuds", "price": 50.0, "tags": ["audio"]},
        {"id": "2", "name": "Garden chair", "price": 35.5, "tags": ["garden"]},
        {"id": "3", "name": "Wireless speaker", "price": 90.0, "tags": ["audio", "garden"]},
    ]
    with nearfield.open(tmp_path / "data", **options) as db:
        shop = db.collection("shop", embed="{name}", fields={"price": float, "tags": list[str]})
        shop.upsert(gear)
        found = shop.search("wireless speaker", where="price < 80 AND tags = 'audio'", mode="semantic")
        assert [hit.id for hit in found] == ["1"]
        shop.delete(["1"])
        assert shop.search("wireless speaker", where="price < 80", mode="semantic")[0].id == "2"
    with nearfield.open(tmp_path / "data", **options) as db:
        assert [hit.id for hit in db.collection("shop").search("speaker", mode="semantic")][:1] == ["3"]
        db.drop("shop")
    assert postgres.sql("SELECT count(*) FROM shop.indexes") == "0"
