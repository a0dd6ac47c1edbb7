"""Gathers what concurrent callers ask into common batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.graphs.use import GraphUse

Item = TypeVar("Item")


class Gathering(Generic[Item]):
    """A call that finds nothing running starts at once; those that come meanwhile go together next.

    So nothing ever waits on a timer: the wait is the rest of the batch before, and under load batches grow by
    themselves.
    """

    def __init__(
        self, run: Callable[[list[Item]], Awaitable[Float32Array]], *, most: int, name: str, use: GraphUse
    ) -> None:
        """run: answers a batch of items, one row each. most: items in one batch, at least 1; a caller's own longer list
        stays whole. name: of the task, as debuggers show it. use: whose work it is, for its error.
        """
        self._run, self._most, self._name, self._use = run, most, name, use
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[Float32Array]]] = []
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    def check_open(self) -> None:
        """Raise the use's `unavailable` once closed."""
        if self._closed:
            raise self._use.unavailable(f"the {self._use.part} is closed")

    async def ask(self, items: Sequence[Item]) -> Float32Array:
        """The rows of some items, at least one, in order. A failure of a batch is every caller's.

        Raises what `run` raises, or the use's `unavailable` once closed.
        """
        self.check_open()
        future: asyncio.Future[Float32Array] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if self._running is None:
            self._running = asyncio.create_task(self._drain(), name=self._name)
        return await future

    async def close(self) -> None:
        """Refuse new calls; what waits is still answered."""
        self._closed = True
        if self._running is not None:
            await self._running

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._take())
        finally:
            self._running = None
            for _, future in self._waiting:  # none, unless this task was cancelled with its loop
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[Float32Array]]]:
        """The oldest callers, up to `most` items, at least one caller. Those who gave up are passed over."""
        taken: list[tuple[Sequence[Item], asyncio.Future[Float32Array]]] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0][0]) <= self._most):
            items, future = self._waiting.pop(0)
            if not future.done():
                taken.append((items, future))
                size += len(items)
        return taken

    async def _answer(self, taken: list[tuple[Sequence[Item], asyncio.Future[Float32Array]]]) -> None:
        if not taken:
            return
        try:
            rows = await self._run([item for items, _ in taken for item in items])
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        except Exception as exc:  # whatever it is, someone waits for it  # noqa: BLE001
            for _, future in taken:
                if not future.done():
                    future.set_exception(exc)
            return
        ends = np.cumsum([len(items) for items, _ in taken])
        for (_, future), own in zip(taken, np.split(rows, ends[:-1]), strict=True):
            if not future.done():
                future.set_result(own)
