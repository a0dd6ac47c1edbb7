"""One thread that writes. What waits is grouped into one transaction, so that one fsync makes many writes durable."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nearfield.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from nearfield.store.failures import Translate

T = TypeVar("T")
log: Final = logging.getLogger(__name__)

GROUP_CALLS: Final = 128
GROUP_WEIGHT: Final = 20_000
"""Bounds of one transaction: calls, and their rows together, so that a small write never waits for a mountain."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    call: Callable[[Connection], Any]
    weight: int
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    write: _Write
    result: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        """On the write's own event loop. A caller that was cancelled meanwhile is no longer there to be told."""
        if self.write.future.done():
            return
        if self.error is None:
            self.write.future.set_result(self.result)
        else:
            self.write.future.set_exception(self.error)


class Writer:
    """Runs functions of a connection, each whole or not at all, and returns once they are durable.

    connect: opens the writer's connection; `begin` on it must take the database's write lock.
    after_commit: called on the writer's thread with nothing open; its failures are logged and harm no write.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        translate: Translate,
        after_commit: Callable[[Connection], None],
    ) -> None:
        self._connect = connect
        self._translate = translate
        self._after_commit = after_commit
        self._connection: Connection | None = None
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closing = False
        self._door = threading.Lock()  # nothing may enter the queue behind the None that ends it
        # A process that ends without closing the store must not hang on this thread; what it had not
        # acknowledged is lost, as with any crash.
        self._thread = threading.Thread(target=self._serve, name="nearfield-store-writer", daemon=True)
        self.commits = 0
        self._thread.start()

    async def run(self, call: Callable[[Connection], T], *, weight: int = 1) -> T:
        """Run `call` on the writer's thread and return its result when it has been committed and fsynced.

        weight: rows it writes, roughly. A call that raises is undone alone; the others of its transaction stand. A
        call may be run again when the transaction it was in fails. Cancelling leaves the write either whole or undone.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._door:
            if self._closing:
                raise StoreUnavailable("the store is closed")
            self._waiting.put(_Write(call, weight, future, loop))
        return await future

    def close(self) -> None:
        """Finish what was accepted, then end the thread. Blocks; any number of calls, from any thread."""
        with self._door:
            if not self._closing:
                self._closing = True
                self._waiting.put(None)
        self._thread.join()

    def _serve(self) -> None:
        more = True
        while more:
            group, more = self._next_group()
            if not group:
                continue
            try:
                self._write(group)
            except Exception as exc:  # noqa: BLE001 - whatever happened, the callers are told and the thread goes on
                _deliver([_Outcome(write, error=exc) for write in group])
        self._disconnect()

    def _next_group(self) -> tuple[list[_Write], bool]:
        """What is waiting, at least one, and whether to go on after it."""
        group: list[_Write] = []
        weight = 0
        try:
            while len(group) < GROUP_CALLS and weight < GROUP_WEIGHT:
                write = self._waiting.get(block=not group)
                if write is None:
                    return group, False
                if not write.future.cancelled():
                    group.append(write)
                    weight += write.weight
        except queue.Empty:
            pass
        return group, True

    def _write(self, group: list[_Write]) -> None:
        try:
            outcomes = self._transact(group)
        except Exception as exc:
            self._disconnect()
            known = self._translate(exc)
            if known is None:
                raise
            if len(group) > 1:
                # One write that does not fit, say, must not fail its neighbours: each is tried on its own.
                for write in group:
                    self._write([write])
                return
            known.__cause__ = exc
            _deliver([_Outcome(group[0], error=known)])
            return
        self.commits += 1
        _deliver(outcomes)
        try:
            self._after_commit(self._open())
        except Exception:
            log.exception("upkeep of the store after a commit failed; the writes themselves are durable")

    def _transact(self, group: list[_Write]) -> list[_Outcome]:
        connection = self._open()
        with connection.begin():
            return [self._attempt(connection, write) for write in group]

    def _attempt(self, connection: Connection, write: _Write) -> _Outcome:
        savepoint = connection.begin_nested()
        try:
            result = write.call(connection)
        except Exception as exc:
            if self._translate(exc) is not None:
                raise  # the database failed, and with it perhaps the whole transaction
            savepoint.rollback()
            return _Outcome(write, error=exc)
        savepoint.commit()
        return _Outcome(write, result)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        """Drop the connection, so that the next write starts from a fresh one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _deliver(outcomes: list[_Outcome]) -> None:
    """Wake the callers, each on its own event loop, one wake-up for a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_loop[outcome.write.loop].append(outcome)
    for loop, its_outcomes in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
            loop.call_soon_threadsafe(_deliver_here, its_outcomes)


def _deliver_here(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        outcome.deliver()
