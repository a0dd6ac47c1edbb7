"""SQLite: the only file with its SQL, its pragmas and its error codes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from nearfield.disk import sync_folder
from nearfield.domain.errors import DiskFull, NearfieldError, StoreUnavailable
from nearfield.store.migrate import upgrade
from nearfield.store.readers import Readers
from nearfield.store.sql_store import SqlStore
from nearfield.store.writer import Writer

OLDEST: Final = (3, 31, 0)
READERS: Final = 4
WAL_LIMIT: Final = 64 << 20
"""Bytes of write-ahead log above which readers are made to let go of it, so that it is cut."""
NO_SPACE_LEFT: Final = 1 << 20
"""Bytes free below which a failed write is a full disk, whatever the code says."""

_SHARED_PRAGMAS: Final[dict[str, str | int]] = {
    "busy_timeout": 10_000,  # ms
    "foreign_keys": "ON",
    "trusted_schema": "OFF",
    "temp_store": "MEMORY",
    # Mapped, each connection would hold the pages it touched as its own: 180 MB after 2,000 answers out of 100,000
    # listings, where its cache holds 34 MB and costs an answer 0.04 ms.
    "mmap_size": 0,
}
_WRITER_PRAGMAS: Final[dict[str, str | int]] = {
    "synchronous": "FULL",  # with a WAL: an fsync of it in every commit
    "fullfsync": "ON",  # macOS alone: its fsync stops at the drive's cache
    "wal_autocheckpoint": 4000,  # pages; the default of 1000 copies hot pages four times as often
    "journal_size_limit": WAL_LIMIT,
    "cache_size": -32_768,  # KiB
}
_READER_PRAGMAS: Final[dict[str, str | int]] = {"query_only": "ON", "cache_size": -8192}


class SqliteStore(SqlStore):
    """The truth in one SQLite file in WAL mode. One process at a time; whoever opens it holds the directory's lock."""

    def __init__(self, path: Path) -> None:
        """Prefer `open`. Blocks while the database is brought to the current schema."""
        self.path = path
        self._wal = Path(f"{path}-wal")
        self._cut_above = WAL_LIMIT
        _check_version()
        writing, reading = _engine(path, _WRITER_PRAGMAS), _engine(path, _READER_PRAGMAS)
        event.listen(writing, "begin", _begin)
        self._create(writing)
        super().__init__(
            Writer(writing.connect, self._translate, self._after_commit),
            Readers(
                lambda: reading.connect().execution_options(isolation_level="AUTOCOMMIT"),
                self._translate,
                threads=READERS,
            ),
        )

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open or make the database file, bring its schema up to date, and finish drops that were cut short.

        The folder must exist. Raises StoreUnavailable for a file that is not ours, is damaged, or was written by a
        newer version; DiskFull.
        """
        store = await asyncio.to_thread(cls, path)
        try:
            await store.purge_dropped()
        except BaseException:
            await store.close()
            raise
        return store

    def _create(self, engine: Engine) -> None:
        fresh = not self.path.exists()
        try:
            with engine.connect() as connection:
                (mode,) = _outside_transaction(connection, "PRAGMA journal_mode = WAL")
                if mode != "wal":
                    raise StoreUnavailable(
                        f"{self.path} is on a file system without write-ahead logging (journal mode {mode!r}); "
                        "choose a local disk for the data directory"
                    )
                upgrade(connection, self.path)
        except Exception as exc:
            known = self._translate(exc)
            if known is None:
                raise
            raise known from exc
        if fresh:
            sync_folder(self.path.parent)

    def _after_commit(self, connection: Connection) -> None:
        """Cut a write-ahead log that readers, one always overlapping the next, have kept from starting over."""
        size = self._wal.stat().st_size
        if size <= self._cut_above:
            return
        busy, _, _ = _outside_transaction(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        # After one refusal the log must grow as much again, lest every commit wait for the same slow reader.
        self._cut_above = size + WAL_LIMIT if busy else WAL_LIMIT

    def _translate(self, exc: Exception) -> NearfieldError | None:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        if not isinstance(cause, sqlite3.Error):
            return None
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        full = code == sqlite3.SQLITE_FULL
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):  # a full disk has several codes
            full = _no_space(self.path.parent)
        if full:
            return DiskFull(
                f"no space left for {self.path}: nothing of this write was stored; free space and repeat it"
            )
        return StoreUnavailable(f"the database {self.path} failed: {cause}")


def _check_version() -> None:
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise StoreUnavailable(f"this Python has SQLite {sqlite3.sqlite_version}; expected {oldest} or newer")


def _engine(path: Path, pragmas: dict[str, str | int]) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            path,
            isolation_level=None,  # transactions begin when we say so, not at the first INSERT
            check_same_thread=False,  # closed by another thread than the one it served
            cached_statements=512,
        )
        for name, value in (_SHARED_PRAGMAS | pragmas).items():
            connection.execute(f"PRAGMA {name} = {value}")
        return connection

    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def _outside_transaction(connection: Connection, statement: str) -> tuple[Any, ...]:
    """The one row of a pragma that a transaction, which SQLAlchemy would begin, does not allow."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker; this engine has no other
    row: tuple[Any, ...] = driver.execute(statement).fetchone()
    return row


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and then writes could be refused in the middle."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _no_space(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < NO_SPACE_LEFT
    except OSError:
        return False
