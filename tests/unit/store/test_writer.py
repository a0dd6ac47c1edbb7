from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, NullPool, create_engine, event, text

from nearfield.domain.errors import NearfieldError, StoreUnavailable
from nearfield.store.writer import GROUP_CALLS, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Database:
    """A real one, whose door can be shut."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False),
            poolclass=NullPool,
        )
        event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self.shut = False
        self.upkeep: list[str] = []
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (note TEXT)"))

    def connect(self) -> Connection:
        if self.shut:
            raise sqlite3.OperationalError("unable to open database file")
        return self.engine.connect()

    def translate(self, exc: Exception) -> NearfieldError | None:
        return StoreUnavailable(str(exc)) if isinstance(exc, sqlite3.Error) else None

    def after_commit(self, connection: Connection) -> None:
        self.upkeep.append(threading.current_thread().name)

    def notes(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT note FROM notes ORDER BY rowid")).scalars())


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "notes.db")


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    writer = Writer(database.connect, database.translate, database.after_commit)
    yield writer
    writer.close()


class Hold:
    """Keeps the writer's thread busy, so that what comes meanwhile waits in the queue."""

    def __init__(self) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.inside.set()
        assert self.go_on.wait(30)


def note(what: str) -> Callable[[Connection], str]:
    def write(connection: Connection) -> str:
        connection.execute(text("INSERT INTO notes VALUES (:what)"), {"what": what})
        return what

    return write


async def test_what_waits_is_one_transaction_in_the_order_it_came(writer: Writer, database: Database) -> None:
    hold = Hold()
    held = asyncio.create_task(writer.run(hold))
    await asyncio.to_thread(hold.inside.wait, 30)
    waiting = [asyncio.create_task(writer.run(note(str(n)))) for n in range(GROUP_CALLS + 5)]
    await asyncio.sleep(0)
    hold.go_on.set()
    assert await asyncio.gather(held, *waiting) == [None, *map(str, range(GROUP_CALLS + 5))]
    assert database.notes() == [str(n) for n in range(GROUP_CALLS + 5)]
    assert writer.commits == 3


async def test_a_heavy_write_ends_its_group(writer: Writer) -> None:
    hold = Hold()
    held = asyncio.create_task(writer.run(hold))
    await asyncio.to_thread(hold.inside.wait, 30)
    waiting = [asyncio.create_task(writer.run(note(str(n)), weight=10_000)) for n in range(4)]
    await asyncio.sleep(0)
    hold.go_on.set()
    await asyncio.gather(held, *waiting)
    assert writer.commits == 3


async def test_a_write_cancelled_while_it_waits_is_never_made(writer: Writer, database: Database) -> None:
    hold = Hold()
    held = asyncio.create_task(writer.run(hold))
    await asyncio.to_thread(hold.inside.wait, 30)
    waiting = [asyncio.create_task(writer.run(note(str(n)))) for n in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    hold.go_on.set()
    await asyncio.gather(held, waiting[0], waiting[2])
    assert database.notes() == ["0", "2"]
    assert waiting[1].cancelled()


async def test_a_write_cancelled_while_it_runs_is_made_whole(writer: Writer, database: Database) -> None:
    hold = Hold()

    def slow(connection: Connection) -> None:
        note("half")(connection)
        hold(connection)
        note("whole")(connection)

    running = asyncio.create_task(writer.run(slow))
    await asyncio.to_thread(hold.inside.wait, 30)
    running.cancel()
    hold.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await writer.run(note("next"))
    assert database.notes() == ["half", "whole", "next"]


async def test_a_defect_in_one_call_is_its_own(writer: Writer, database: Database) -> None:
    def defective(connection: Connection) -> None:
        note("undone")(connection)
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        writer.run(note("a")), writer.run(defective), writer.run(note("b")), return_exceptions=True
    )
    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert outcomes[2] == "b"
    assert database.notes() == ["a", "b"]


async def test_a_database_that_cannot_be_reached_is_told_until_it_can(writer: Writer, database: Database) -> None:
    database.shut = True
    outcomes = await asyncio.gather(writer.run(note("a")), writer.run(note("b")), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert isinstance(outcomes[0], StoreUnavailable)
    assert isinstance(outcomes[0].__cause__, sqlite3.OperationalError)
    database.shut = False
    assert await writer.run(note("c")) == "c"
    assert database.notes() == ["c"]


async def test_upkeep_follows_each_commit_and_its_failure_harms_no_write(database: Database) -> None:
    def failing(connection: Connection) -> None:
        database.after_commit(connection)
        raise OSError("no such file")

    writer = Writer(database.connect, database.translate, failing)
    try:
        assert await writer.run(note("a")) == "a"
        assert await writer.run(note("b")) == "b"
    finally:
        writer.close()
    assert database.upkeep == ["nearfield-store-writer"] * 2


def test_callers_on_several_event_loops_share_the_writer(writer: Writer, database: Database) -> None:
    def work(name: str) -> None:
        async def go() -> list[str]:
            return await asyncio.gather(*(writer.run(note(f"{name}{n}")) for n in range(20)))

        assert asyncio.run(go()) == [f"{name}{n}" for n in range(20)]

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(database.notes()) == sorted(f"{name}{n}" for name in "abc" for n in range(20))


def test_a_caller_whose_event_loop_is_gone_does_not_stop_the_writer(writer: Writer, database: Database) -> None:
    hold = Hold()

    async def leave() -> None:
        asyncio.get_running_loop().create_task(writer.run(hold))
        await asyncio.to_thread(hold.inside.wait, 30)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    hold.go_on.set()
    assert asyncio.run(writer.run(note("next"))) == "next"
    assert database.notes() == ["next"]
