"""Gathers queries of concurrent requests into one batch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.errors import EmbedderUnavailable
from nearfield.embedders.wrapper import EmbedderWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Embedder, Role

MAX_BATCH: Final = 32  # texts; on two cores 32 short queries take about 30 ms


class BatchingEmbedder(EmbedderWrapper):
    """See `Embedder`. A query that finds the embedder idle starts at once; those that come meanwhile go together next.

    So nothing ever waits on a timer: the wait is the rest of the batch before, and under load batches grow by
    themselves. Documents pass through: they come in lists already.
    """

    def __init__(self, inner: Embedder, *, max_batch: int = MAX_BATCH) -> None:
        """max_batch: texts in one gathered call, at least 1; a caller's own longer list stays whole."""
        super().__init__(inner)
        self._max_batch = max_batch
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Float32Array]]] = []
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`. A failure of a gathered call is every caller's."""
        if role != "query" or not len(texts):
            return await self._inner.embed(texts, role=role)
        if self._closed:
            raise EmbedderUnavailable("the embedder is closed")
        future: asyncio.Future[Float32Array] = asyncio.get_running_loop().create_future()
        self._waiting.append((texts, future))
        if self._running is None:
            self._running = asyncio.create_task(self._drain(), name="embed queries together")
        return await future

    async def close(self) -> None:
        """See `Embedder.close`. What waits is still answered."""
        self._closed = True
        if self._running is not None:
            await self._running
        await super().close()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._take())
        finally:
            self._running = None
            for _, future in self._waiting:  # none, unless this task was cancelled with its loop
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[Sequence[str], asyncio.Future[Float32Array]]]:
        """The oldest callers, up to `max_batch` texts, at least one caller. Those who gave up are passed over."""
        taken: list[tuple[Sequence[str], asyncio.Future[Float32Array]]] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0][0]) <= self._max_batch):
            texts, future = self._waiting.pop(0)
            if not future.done():
                taken.append((texts, future))
                size += len(texts)
        return taken

    async def _answer(self, taken: list[tuple[Sequence[str], asyncio.Future[Float32Array]]]) -> None:
        together = [text for texts, _ in taken for text in texts]
        if not together:
            return
        try:
            vectors = await self._inner.embed(together, role="query")
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        except Exception as exc:  # whatever it is, someone waits for it  # noqa: BLE001
            for _, future in taken:
                if not future.done():
                    future.set_exception(exc)
            return
        ends = np.cumsum([len(texts) for texts, _ in taken])
        for (_, future), own in zip(taken, np.split(vectors, ends[:-1]), strict=True):
            if not future.done():
                future.set_result(own)
