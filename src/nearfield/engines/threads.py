"""The threads of an engine in the process, and the calls under way in them."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from nearfield.domain.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Threads:
    """A long optimize must not hold up a search, nor many searches a write: each kind has its own."""

    def __init__(self, engine: str) -> None:
        cores = os.cpu_count() or 1
        self.reading = ThreadPoolExecutor(min(16, cores + 4), f"{engine}-read")
        self.writing = ThreadPoolExecutor(4, f"{engine}-write")
        self.upkeep = ThreadPoolExecutor(1, f"{engine}-upkeep")

    def shutdown(self) -> None:
        for pool in (self.reading, self.writing, self.upkeep):
            pool.shutdown()


class CallsUnderWay:
    """Runs the calls of one index and counts them, so that a close can let them end: none may be closed under."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._under_way = 0
        self._closed = False
        self._changed = threading.Condition()

    async def run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """Call in a thread of a pool. Raises EngineUnavailable when the index, or the pool, is closed."""
        self._enter()
        try:
            future = pool.submit(work)
        except RuntimeError as exc:  # the engine was closed
            self._leave()
            raise EngineUnavailable(f"index {self._name!r} is closed") from exc
        # also called when the waiting task is cancelled before the work began; work begun goes on to its end
        future.add_done_callback(lambda _: self._leave())
        return await asyncio.wrap_future(future)

    def refuse(self) -> bool:
        """Take no more calls. Returns whether this was the first to say so."""
        with self._changed:
            first, self._closed = not self._closed, True
            return first

    def drain(self) -> None:
        """Wait until no call is under way."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0)

    def _enter(self) -> None:
        with self._changed:
            if self._closed:
                raise EngineUnavailable(f"index {self._name!r} is closed")
            self._under_way += 1

    def _leave(self) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()


async def in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Call in a thread of a pool."""
    return await asyncio.wrap_future(pool.submit(work))
