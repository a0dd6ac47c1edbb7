"""Vectors of texts: from the cache, or embedded once, however many batches and generations ask for them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.store import Store

EMBED_SLICE = 256  # texts embedded between two saves, up to three slices at a time: what a crash can cost
RECENT = 4  # batches, of two generations that follow the log side by side


class Embedding:
    """Gives texts their vectors, through one embedder. Shared by a collection's generations that hold its vectors."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder
        # embedded last: nobody's look at the store is as new
        self._recent: deque[dict[bytes, Float32Array]] = deque(maxlen=RECENT)
        self._coming: dict[bytes, asyncio.Future[dict[bytes, Float32Array]]] = {}
        self._turn = asyncio.Lock()

    async def vectors(self, texts: Mapping[bytes, str]) -> dict[bytes, Float32Array]:
        """The vector of each text by its hash; only what is in no cache and on nobody's way is embedded."""
        known = await self._store.vectors(self._embedder.fingerprint, list(texts))
        while unknown := texts.keys() - known.keys():
            for recent in self._recent:
                known |= {digest: recent[digest] for digest in unknown if digest in recent}
            awaited = {self._coming[digest] for digest in unknown if digest in self._coming}
            new = {d: text for d, text in texts.items() if d not in known and d not in self._coming}
            if new:
                known |= await self._embed(new)
            for other in awaited:
                known |= await other
        return known

    async def _embed(self, new: Mapping[bytes, str]) -> dict[bytes, Float32Array]:
        """Embed texts, shortest first, and keep their vectors; others may wait for them meanwhile."""
        order = sorted(new, key=lambda digest: len(new[digest]))
        slices = [order[start : start + EMBED_SLICE] for start in range(0, len(order), EMBED_SLICE)]
        known: dict[bytes, Float32Array] = {}
        done: asyncio.Future[dict[bytes, Float32Array]] = asyncio.get_running_loop().create_future()
        self._coming |= dict.fromkeys(order, done)
        try:
            texts = [[new[digest] for digest in digests] for digests in slices]
            async with _Ahead(self._embedder, texts, self._turn) as ahead:
                for digests in slices:
                    # what is indexed is what the cache will give back: an index rebuilt from it is the same index
                    vectors = (await ahead.take()).astype(np.float16).astype(np.float32)
                    await self._store.put_vectors(self._embedder.fingerprint, digests, vectors)
                    known |= zip(digests, vectors, strict=True)
        finally:
            if known:
                self._recent.append(known)
            for digest in order:
                del self._coming[digest]
            done.set_result(known)  # when it failed only a part: who waits embeds the rest
        return known


class _Ahead:
    """Embeds lists of texts one after the other, each begun before the one before it is taken: no core waits.

    turn: held until the last list is begun, so that batches are embedded one after the other without a gap.
    """

    def __init__(self, embedder: Embedder, slices: Sequence[Sequence[str]], turn: asyncio.Lock) -> None:
        self._embedder, self._left, self._turn = embedder, deque(slices), turn
        self._begun: deque[asyncio.Task[Float32Array]] = deque()
        self._has_turn = False

    async def __aenter__(self) -> Self:
        await self._turn.acquire()
        self._has_turn = True
        self._begin()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._left.clear()
        self._begin()
        for task in self._begun:
            await stop(task)

    async def take(self) -> Float32Array:
        """The vectors of the next list; at most as often as there are lists."""
        self._begin()
        vectors = await self._begun[0]
        self._begun.popleft()
        return vectors

    def _begin(self) -> None:
        if self._left:
            texts = self._left.popleft()
            self._begun.append(asyncio.create_task(self._embedder.embed(texts, role="document")))
        if not self._left and self._has_turn:
            self._has_turn = False
            self._turn.release()


async def stop(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task and wait for its end. What it raises then concerns nobody."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
