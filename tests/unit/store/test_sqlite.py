from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.unit.store.contract import StoreContract
from tests.unit.store.samples import bodies, document, everything, spec

from nearfield.domain.errors import DiskFull, StoreUnavailable
from nearfield.store import change_log, collections, documents, vectors
from nearfield.store.sqlite import _WRITER_PRAGMAS, SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection, Select


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield store
    await store.close()


class TestSqliteStore(StoreContract):
    pass


async def pragma(store: SqliteStore, name: str, *, writer: bool) -> Any:
    run = store._writer.run if writer else store._readers.run
    return await run(lambda conn: conn.exec_driver_sql(f"PRAGMA {name}").scalar())


async def test_both_kinds_of_connection_are_set_for_durability(store: SqliteStore) -> None:
    assert await pragma(store, "journal_mode", writer=True) == "wal"
    assert await pragma(store, "synchronous", writer=True) == 2  # FULL
    assert await pragma(store, "foreign_keys", writer=True) == 1
    assert await pragma(store, "wal_autocheckpoint", writer=True) == 4000
    assert await pragma(store, "query_only", writer=False) == 1


async def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    books = await store.create_collection(spec())
    receipt = await store.upsert(books, [document(str(n)) for n in range(10)])
    await store.delete(books, ["9"])
    before = await bodies(store, books)
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]  # the log was written back and removed

    store = await SqliteStore.open(tmp_path / "store.db")
    assert await store.collection("books") == books
    assert await bodies(store, books) == before
    assert await store.last_seq(books) == receipt.seq + 1
    assert (await store.upsert(books, [document("9")])).seq == receipt.seq + 2
    assert (await store.by_id(books, ["9"]))["9"].key == 11
    await store.close()


async def test_a_drop_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    books = await store.create_collection(spec())
    await store.upsert(books, [document(str(n)) for n in range(10)])
    await store._writer.run(lambda conn: collections.hide(conn, books))  # the first step of a drop, and no more
    assert await store.collections() == []
    await store.close()
    await (await SqliteStore.open(tmp_path / "store.db")).close()
    with sqlite3.connect(tmp_path / "store.db") as database:
        for table in ("collections", "documents", "changes"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    database.close()


async def test_no_statement_of_the_hot_paths_reads_a_whole_table(store: SqliteStore) -> None:
    books = await store.create_collection(spec())
    some: dict[str, Any] = {
        "collection": books.id, "ids": ["1"], "keys": [1, 2], "after": 0, "limit": 5, "embedder": 1, "hashes": [b"1"],
    }  # fmt: skip
    hot: dict[str, Select[Any]] = {
        "by id": documents._BY_ID,
        "by key": documents._BY_KEY,
        "known": documents._KNOWN,
        "scan": documents._PAGE,
        "changes": change_log._AFTER,
        "pending": change_log._PENDING,
        "vectors": vectors._CACHED,
    }

    def plan(conn: Connection, statement: Select[Any]) -> list[str]:
        state = statement.compile(dialect=conn.dialect).construct_expanded_state(some)
        asked = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {state.statement}", tuple(state.positional_parameters))
        return [row[3] for row in asked]

    for name, statement in hot.items():
        steps = await store._readers.run(lambda conn, it=statement: plan(conn, it))  # type: ignore[misc]
        assert steps, name
        assert all(step.startswith("SEARCH") for step in steps), (name, steps)


async def test_a_reader_never_waits_for_a_writer(store: SqliteStore) -> None:
    books = await store.create_collection(spec())
    await store.upsert(books, [document("1")])
    inside, go_on = threading.Event(), threading.Event()

    def hold(conn: Connection) -> None:
        inside.set()
        go_on.wait(30)

    held = asyncio.create_task(store._writer.run(hold))
    await asyncio.to_thread(inside.wait, 30)
    assert list(await store.by_id(books, ["1"])) == ["1"]
    assert len(await store.scan(books)) == 1
    assert not held.done()
    go_on.set()
    await held


async def test_the_event_loop_is_free_while_the_store_works(store: SqliteStore) -> None:
    books = await store.create_collection(spec())
    loop_thread = threading.get_ident()
    seen: set[int] = set()

    def where(_: Any) -> bool:
        seen.add(threading.get_ident())
        return True

    await store.upsert(books, [document(str(n)) for n in range(100)])
    await store.delete_where(books, where)
    await store._readers.run(where)
    assert len(seen) == 2
    assert loop_thread not in seen


async def test_a_full_database_is_told_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`max_page_count` makes SQLite fail exactly as a full disk does, with SQLITE_FULL in the middle of a statement."""
    monkeypatch.setitem(_WRITER_PRAGMAS, "max_page_count", 120)
    store = await SqliteStore.open(tmp_path / "store.db")
    books = await store.create_collection(spec())
    await store.upsert(books, [document(str(n)) for n in range(100)])
    before = await bodies(store, books)

    big = [document(f"big {n}", "x" * 4000) for n in range(200)]
    outcomes = await asyncio.gather(
        store.upsert(books, [document("small", "y")]), store.upsert(books, big), return_exceptions=True
    )
    assert isinstance(outcomes[1], DiskFull)
    assert "no space left" in str(outcomes[1])
    assert not isinstance(outcomes[0], BaseException)  # it fits, and its neighbour's failure is not its own
    assert await bodies(store, books) == before | {"small": {"id": "small", "title": "y"}}
    assert (await store.upsert(books, [document("later")])).new == 1

    await store._writer.run(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count = 100000"))
    assert (await store.upsert(books, big)).new == 200
    await store.close()


async def test_a_file_that_may_not_grow_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE fails the write of the log itself, under the whole process: hence a process of its own."""
    pytest.importorskip("resource")
    script = """
        import asyncio, resource, signal, sys
        from pathlib import Path
        from nearfield.domain.errors import DiskFull, StoreUnavailable
        from nearfield.store.sqlite import _WRITER_PRAGMAS, SqliteStore
        from tests.unit.store.samples import document, everything, spec

        async def main():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            store = await SqliteStore.open(Path(sys.argv[1]))
            books = await store.create_collection(spec())
            await store.upsert(books, [document("first")])
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
            try:
                await store.upsert(books, [document(str(n), "x" * 4000) for n in range(2000)])
            except (DiskFull, StoreUnavailable) as exc:
                print(type(exc).__name__)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            await store.upsert(books, [document("last")])
            print(sorted(await everything(store, books)), await store.count(books))
            await store.close()

        asyncio.run(main())
    """
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    failure, content = done.stdout.splitlines()
    assert failure in ("DiskFull", "StoreUnavailable")
    assert content == "['first', 'last'] 2"


async def test_the_write_ahead_log_is_cut_although_readers_always_overlap(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfield.store.sqlite.WAL_LIMIT", 1 << 20)
    store._cut_above = 1 << 20
    books = await store.create_collection(spec())
    stop = threading.Event()

    def read_on(conn: Connection) -> None:
        while not stop.is_set():
            rows = conn.execute(text("SELECT key FROM documents LIMIT 50"))
            rows.fetchone()
            time.sleep(0.002)
            rows.close()

    readers = [asyncio.create_task(store._readers.run(read_on)) for _ in range(3)]
    wal = store.path.with_name("store.db-wal")
    largest = 0
    for n in range(25):
        await store.upsert(books, [document(f"{n}-{i}", "x" * 1000) for i in range(200)])
        largest = max(largest, wal.stat().st_size)
    stop.set()
    await asyncio.gather(*readers)
    assert largest < 4 << 20  # 25 batches of about 0.4 MB would have made it 10
    assert await store.count(books) == 5000


async def test_a_failing_commit_is_told_and_the_writer_goes_on(store: SqliteStore) -> None:
    books = await store.create_collection(spec())

    def break_at_commit(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        conn.exec_driver_sql("INSERT INTO changes VALUES (999, 1, 1, 0)")

    outcomes = await asyncio.gather(
        store.upsert(books, [document("1")]), store._writer.run(break_at_commit), return_exceptions=True
    )
    assert isinstance(outcomes[1], StoreUnavailable)
    assert not isinstance(outcomes[0], BaseException)
    assert list(await everything(store, books)) == ["1"]
    assert (await store.upsert(books, [document("2")])).new == 1


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"id,name\n1,earbuds\n" * 100)
    with pytest.raises(StoreUnavailable, match=r"store\.db failed: file is not a database"):
        await SqliteStore.open(path)
    assert path.read_bytes().startswith(b"id,name")


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        await SqliteStore.open(tmp_path / "nowhere" / "store.db")


async def test_damage_found_by_a_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    books = await store.create_collection(spec())
    await store.upsert(books, [document(str(n), "x" * 500) for n in range(500)])
    await store.close()
    content = bytearray(path.read_bytes())
    for page in range(40, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    store = await SqliteStore.open(path)
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.scan(books, limit=500)
    await store.ping()
    await store.close()
