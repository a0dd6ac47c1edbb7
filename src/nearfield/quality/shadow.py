"""A share of the searches that people make is made on another generation too, and what differs is counted."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import NearfieldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.collections import Collection
    from nearfield.domain.hits import Answer
    from nearfield.domain.queries import Search

AT_ONCE: Final = 2
"""Searches under way beside those of people; what comes meanwhile is passed over, so that nobody waits for a shadow."""


@dataclass(slots=True)
class ShadowCounts:
    """share: of searches tried, 0 once it ended. same: answered with the same documents in the same order. overlap_sum:
    of the shares of documents both found. missed: passed over. slower: took longer than the live one. live_ms,
    shadow_ms: sums, over those that did not fail."""

    generation: int
    share: float
    asked: int = 0
    same: int = 0
    overlap_sum: float = 0.0
    failed: int = 0
    missed: int = 0
    slower: int = 0
    live_ms: float = 0.0
    shadow_ms: float = 0.0

    @property
    def overlap(self) -> float:
        """The mean share of documents both found; 1 before anything was asked."""
        return self.overlap_sum / self.answered if self.answered else 1.0

    @property
    def answered(self) -> int:
        """How many both answered."""
        return self.asked - self.failed

    @property
    def mean_live_ms(self) -> float:
        """How long the live one took; 0 before anything was asked."""
        return self.live_ms / max(self.answered, 1)

    @property
    def mean_shadow_ms(self) -> float:
        """How long this one took for the same."""
        return self.shadow_ms / max(self.answered, 1)


@dataclass(frozen=True, slots=True)
class _Shadow:
    """search: on the generation. there: whether it still is the one beside the live one that was meant."""

    counts: ShadowCounts
    search: Callable[[Search], Awaitable[Answer]]
    there: Callable[[], bool]


class Shadows:
    """At most one generation of each collection is shadowed. Counts last as long as the process."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._counts: dict[int, ShadowCounts] = {}
        self._shadows: dict[int, _Shadow] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(
        self,
        collection: Collection,
        generation: int,
        share: float,
        search: Callable[[Search], Awaitable[Answer]],
        *,
        there: Callable[[], bool],
    ) -> None:
        """Count anew, with a share of the searches from now on.

        search: on the generation. there: whether it is still beside the live one; it ends by itself once it is not.
        """
        counts = self._counts[collection.id] = ShadowCounts(generation, share)
        self._shadows[collection.id] = _Shadow(counts, search, there)

    def end(self, collection: Collection) -> None:
        """Shadow it no more; the counts stay."""
        shadow = self._shadows.pop(collection.id, None)
        if shadow is not None:
            shadow.counts.share = 0.0

    def counts(self, collection: Collection, generation: int) -> ShadowCounts | None:
        """What was counted of a generation until now; None where it was not shadowed."""
        shadow = self._shadows.get(collection.id)
        if shadow is not None and not shadow.there():
            self.end(collection)
        found = self._counts.get(collection.id)
        return replace(found) if found is not None and found.generation == generation else None

    def watch(self, collection: Collection, ask: Search, answer: Answer) -> None:
        """Take note of an answered search; quick, whatever comes of it."""
        shadow = self._shadows.get(collection.id)
        if shadow is None or self._chance() >= shadow.counts.share:
            return
        if not shadow.there():
            self.end(collection)
            return
        counts = shadow.counts
        if len(self._under_way) >= AT_ONCE:
            counts.missed += 1
            return
        task = asyncio.create_task(_try(shadow.search, counts, ask, answer), name="shadow search")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Let go of what is under way."""
        self._shadows.clear()
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def _try(
    search: Callable[[Search], Awaitable[Answer]], counts: ShadowCounts, ask: Search, answer: Answer
) -> None:
    counts.asked += 1
    began = time.perf_counter()
    try:
        found = await search(ask)
    except NearfieldError:
        counts.failed += 1
        return
    took_ms = (time.perf_counter() - began) * 1000
    ids, others = [hit.id for hit in answer], [hit.id for hit in found]
    most = max(len(ids), len(others))
    counts.overlap_sum += len(set(ids) & set(others)) / most if most else 1.0
    counts.same += ids == others
    counts.slower += took_ms > answer.took_ms
    counts.live_ms += answer.took_ms
    counts.shadow_ms += took_ms
