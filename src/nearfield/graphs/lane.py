"""The threads that models run in, so that the event loop never does."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.graphs.use import GraphUse

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Runs calls in the order they come, as many at a time as it has threads. They start when first needed."""

    def __init__(self, name: str, use: GraphUse, *, threads: int = 1) -> None:
        """name: of the threads, as debuggers show it. use: whose work it is, for its error.

        threads: at least 1; with 1 calls run one after the other.
        """
        self._use = use
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._closed = False

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises what `work` raises, or the use's `unavailable` once closed.

        A cancelled caller stops waiting; work that has begun goes on to its end.
        """
        if self._closed:
            raise self._use.unavailable(f"the {self._use.part} is closed")
        future = self._threads.submit(work, *args, **kwargs)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Refuse new calls, finish those taken. Idempotent."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
