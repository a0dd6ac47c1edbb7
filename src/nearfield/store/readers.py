"""A few threads that read, each with its own connection, so that no read waits for the writer or the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from nearfield.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from nearfield.store.failures import Translate

T = TypeVar("T")


class _OfThread(threading.local):
    connection: Connection | None = None


class Readers:
    """Runs functions of a read-only connection.

    connect: opens a connection in which each statement sees the latest commit.
    """

    def __init__(self, connect: Callable[[], Connection], translate: Translate, *, threads: int) -> None:
        self._connect = connect
        self._translate = translate
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="nearfield-store-reader")
        self._mine = _OfThread()
        self._opened: set[Connection] = set()
        self._lock = threading.Lock()
        self._closed = False

    async def run(self, call: Callable[[Connection], T]) -> T:
        """Run `call` on a reader's thread."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, call)

    def close(self) -> None:
        """Finish the reads that run, then close. Blocks; any number of calls, from any thread."""
        self._closed = True
        self._executor.shutdown(wait=True)
        with self._lock:
            while self._opened:
                self._opened.pop().close()

    def _read(self, call: Callable[[Connection], T]) -> T:
        try:
            return call(self._open())
        except Exception as exc:
            known = self._translate(exc)
            if known is None:
                raise
            self._disconnect()
            raise known from exc

    def _open(self) -> Connection:
        if self._mine.connection is None:
            self._mine.connection = connection = self._connect()
            with self._lock:
                self._opened.add(connection)
        return self._mine.connection

    def _disconnect(self) -> None:
        """Drop the thread's connection, so that its next read starts from a fresh one."""
        connection, self._mine.connection = self._mine.connection, None
        if connection is not None:
            with self._lock:
                self._opened.discard(connection)
            with contextlib.suppress(Exception):
                connection.close()
