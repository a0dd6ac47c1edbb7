"""What searches showed, kept in memory for a moment and then written in one go: a search never waits for it.

A crash loses what is not yet written, at most FLUSH_S seconds of impressions. They are statistics: the clicks
themselves are acknowledged when they are durable, and one whose impression is lost teaches nothing and harms nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import NearfieldError
from nearfield.domain.events import Impression
from nearfield.observe.logging import request_id

if TYPE_CHECKING:
    from nearfield.domain.collections import Collection
    from nearfield.domain.hits import Answer
    from nearfield.domain.queries import Search
    from nearfield.protocols.store import Store

log = logging.getLogger(__name__)

FLUSH_S: Final = 2.0
CAPACITY: Final = 20_000
"""Impressions waiting at most; a store that is behind loses the oldest, and the log says how many."""
MAX_SHOWN: Final = 100
"""Documents kept of one search."""
DAY_MS: Final = 86_400_000


class Impressions:
    """Collects impressions and writes them behind the searches' backs. Used on one event loop."""

    def __init__(self, store: Store, *, keep_days: int, flush_s: float = FLUSH_S) -> None:
        """keep_days: impressions and events older than that are removed, once a day."""
        self._store, self._keep_days, self._flush_s = store, keep_days, flush_s
        self._waiting: deque[tuple[Collection, Impression]] = deque(maxlen=CAPACITY)
        self._ids: set[str] = set()
        self._lost = 0
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._swept: dict[int, int] = {}

    def note(self, collection: Collection, ask: Search, answer: Answer) -> str:
        """Take note of an answer; the search's id. The request's id is it, where a request searched once."""
        base = request_id.get() or secrets.token_hex(16)
        name, number = base, 1
        while name in self._ids:
            number += 1
            name = f"{base}.{number}"
        self._ids.add(name)
        if len(self._waiting) == CAPACITY:
            self._lost += 1
        self._waiting.append(
            (
                collection,
                Impression(
                    search_id=name,
                    query=ask.query or "",
                    shown=tuple(hit.id for hit in answer.hits[:MAX_SHOWN]),
                    offset=ask.offset,
                    complete=len(answer.hits) < ask.limit,
                    at=now_ms(),
                ),
            )
        )
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())
        return name

    async def flush(self) -> None:
        """Write what was noted so far. A failure of the store is raised, and what was noted waits on."""
        async with self._writing:
            batch, self._waiting = self._waiting, deque(maxlen=CAPACITY)
            self._ids.clear()
            by_collection: dict[int, tuple[Collection, list[Impression]]] = {}
            for collection, impression in batch:
                by_collection.setdefault(collection.id, (collection, []))[1].append(impression)
            try:
                while by_collection:
                    collection_id, (collection, shown) = next(iter(by_collection.items()))
                    await self._store.put_impressions(collection_id, shown)
                    del by_collection[collection_id]
                    await self._sweep(collection)
            finally:
                for collection, shown in by_collection.values():
                    self._waiting.extendleft((collection, one) for one in reversed(shown))
            if self._lost:
                log.warning("impressions lost: the store is behind", extra={"count": self._lost})
                self._lost = 0

    async def close(self) -> None:
        """Write the rest. Never raises: nobody is left to be told, the log is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._flush_or_log()

    async def _later(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._flush_s)
            await self._flush_or_log()

    async def _flush_or_log(self) -> None:
        try:
            await self.flush()
        except NearfieldError as exc:
            log.warning("impressions could not be written yet", exc_info=exc)

    async def _sweep(self, collection: Collection) -> None:
        today = now_ms() // DAY_MS
        if self._swept.get(collection.id) != today:
            self._swept[collection.id] = today
            await self._store.forget_events(collection, before=now_ms() - self._keep_days * DAY_MS)


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
