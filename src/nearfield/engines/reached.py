"""An engine on a server as it is seen from here: whether it answers, and indexes handed out though it does not.

A process that starts while the server is down still opens its collections: their documents are read and written, words
kept beside are searched, and each call tries once more to open the index.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from nearfield.domain.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import EngineCapabilities, IndexSpec, IndexStats, VectorEngine, VectorIndex

T = TypeVar("T")
OPEN_S: Final = 5.0
"""How long an opening is waited for before the index is handed out unopened."""


class Reached:
    """Passes everything on, and remembers how the last call ended."""

    def __init__(self, engine: VectorEngine, *, open_s: float = OPEN_S) -> None:
        self._engine, self._open_s = engine, open_s
        self._open: dict[str, ReachedIndex] = {}
        self.error: str | None = None
        """Why the last call found the engine down; None where it was answered."""

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def capabilities(self) -> EngineCapabilities:
        return self._engine.capabilities

    async def create(self, spec: IndexSpec) -> VectorIndex:
        index = ReachedIndex(self, spec, self._engine.open)
        index.inner = await self.noted(self._engine.create(spec))
        return self._hand_out(index)

    async def open(self, spec: IndexSpec) -> VectorIndex:
        """As the protocol says, but that an engine which does not answer raises in the index's methods, not here."""
        index = ReachedIndex(self, spec, self._engine.open)
        with suppress(EngineUnavailable, TimeoutError):
            async with asyncio.timeout(self._open_s):
                await index.reach()
        return self._hand_out(index)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        await self.noted(self._engine.drop(name))

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._engine.close()

    async def noted(self, call: Awaitable[T]) -> T:
        """What a call answers, once it is noted how it ended."""
        try:
            answer = await call
        except EngineUnavailable as exc:
            self.error = str(exc)
            raise
        self.error = None
        return answer

    def _hand_out(self, index: ReachedIndex) -> ReachedIndex:
        self._open[index.spec.name] = index
        return index


class ReachedIndex:
    """An index that is opened by the first call that gets through."""

    def __init__(
        self, engine: Reached, spec: IndexSpec, opening: Callable[[IndexSpec], Awaitable[VectorIndex]]
    ) -> None:
        self._engine, self._spec, self._open = engine, spec, opening
        self._opening: asyncio.Task[VectorIndex] | None = None
        self._closed = False
        self.inner: VectorIndex | None = None

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    async def reach(self) -> VectorIndex:
        """The index, opened now where it is not yet. Raises EngineUnavailable, IndexMissing, IndexDamaged."""
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")
        if self.inner is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._reach(), name=f"reaching {self._spec.name}")
                self._opening.add_done_callback(_told_elsewhere)
            opening = self._opening
            await asyncio.wait({opening})  # not the task itself: who has no more time must not end it for the others
            if opening.cancelled():  # by `close`; it is not the caller that was cancelled
                raise EngineUnavailable(f"index {self._spec.name!r} is closed")
            return opening.result()
        return self.inner

    def unsupported(self, where: Filter) -> bool:
        """As the protocol says; of an index that was never reached nothing is known, and the plan does without it."""
        return self.inner is None or self.inner.unsupported(where)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        await self._engine.noted((await self.reach()).upsert(keys, vectors, rows, texts))

    async def delete(self, keys: Int64Array) -> None:
        await self._engine.noted((await self.reach()).delete(keys))

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        index = await self.reach()
        return await self._engine.noted(index.nearest(vector, limit=limit, where=where, effort=effort, exact=exact))

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        return await self._engine.noted((await self.reach()).lexical(text, limit=limit, where=where))

    async def count(self, where: Filter | None = None) -> int:
        return await self._engine.noted((await self.reach()).count(where))

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        return await self._engine.noted((await self.reach()).vectors(keys))

    async def keys(self) -> AsyncIterator[Int64Array]:
        async for batch in (await self.reach()).keys():
            yield batch

    async def flush(self) -> None:
        await self._engine.noted((await self.reach()).flush())

    async def optimize(self, *, all_cores: bool = False) -> None:
        await self._engine.noted((await self.reach()).optimize(all_cores=all_cores))

    async def stats(self) -> IndexStats:
        return await self._engine.noted((await self.reach()).stats())

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self.inner is not None:
            await self.inner.close()

    async def _reach(self) -> VectorIndex:
        index = self.inner = await self._engine.noted(self._open(self._spec))
        return index


def _told_elsewhere(opening: asyncio.Task[VectorIndex]) -> None:
    """Take note of an error that nobody waits for any more: the next call meets it again."""
    if not opening.cancelled():
        opening.exception()
