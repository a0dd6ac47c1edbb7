"""One thread that embedding runs in, so that the event loop never does."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nearfield.domain.errors import EmbedderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Runs one call after the other, in the order they come. Its thread starts with the first call."""

    def __init__(self, name: str) -> None:
        """name: of the thread, as debuggers show it."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._closed = False

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises what `work` raises, or EmbedderUnavailable once closed.

        A cancelled caller stops waiting; work that has begun goes on to its end.
        """
        if self._closed:
            raise EmbedderUnavailable("the embedder is closed")
        future = self._threads.submit(work, *args, **kwargs)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Refuse new calls, finish those taken. Idempotent."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
