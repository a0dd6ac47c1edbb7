"""One search from question to answer: understand → plan → retrieve → fuse → rerank → present.

What is asked travels in a `Work`. Readers change it before the plan is made, stages reorder what was found; both are
given by wiring, and those a request does not ask for are passed over.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.errors import InvalidRequest, TimedOut
from nearfield.domain.hits import Answer
from nearfield.domain.plans import Mode
from nearfield.search.examples import example_documents, example_vectors
from nearfield.search.plan import checked_vector, plan, plan_of
from nearfield.search.present import present
from nearfield.search.rank import rank
from nearfield.search.selectivity import Selectivity
from nearfield.search.trace import timed
from nearfield.search.work import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.queries import Search, Similar
    from nearfield.protocols.live import LiveIndex, LiveIndexes
    from nearfield.protocols.store import Store
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Reader, Stage

SPARE = 4  # candidates beyond what is wanted, for documents deleted since they were indexed
UNLIKE_WEIGHT = 0.5
CANCELLED = 1e-6  # of an example's length: what is left then is rounding, and points nowhere


class SearchService:
    """Answers questions to any collection.

    readers, stages: in the order they run.
    """

    def __init__(
        self,
        store: Store,
        indexes: LiveIndexes,
        collection: Callable[[str], Awaitable[Collection]],
        *,
        search_timeout_s: float,
        wait_timeout_s: float,
        readers: Sequence[Reader] = (),
        stages: Sequence[Stage] = (),
    ) -> None:
        self._store, self._indexes, self._collection = store, indexes, collection
        self._search_timeout_s, self._wait_timeout_s = search_timeout_s, wait_timeout_s
        self._readers, self._stages = tuple(readers), tuple(stages)
        self._selectivity = Selectivity(store)

    async def close(self) -> None:
        """Stop background work."""
        await self._selectivity.close()

    async def search(self, name: str, ask: Search) -> Answer:
        """Find documents. Always min(limit, matches) hits, best first; the plan says what was done.

        Raises CollectionNotFound, InvalidFilter, InvalidVector, DimensionMismatch, UnsupportedByEngine, IndexLagging,
        TimedOut, EngineUnavailable, EmbedderUnavailable.
        """
        started = time.perf_counter()
        collection, live, waited_for = await self._begin(name, ask.min_seq)
        work = Work(ask, collection, live, ask.resolved_mode, ask.where, waited_for, started=started)
        async with _limit(self._search_timeout_s):
            work.meaning, work.words = ask.query, ask.query or ""
            if ask.vector is not None:
                work.vector = checked_vector(live, ask.vector)
            for reader in self._readers:
                if reader.asked(work):
                    with timed(work.trace, reader.name):
                        await reader.run(work)
            return await self._answer(work)

    async def similar(self, name: str, ask: Similar) -> Answer:
        """Find documents like some, and unlike others, by meaning.

        Raises as `search` does, and DocumentNotFound for an id that is not there, InvalidRequest when likes and
        unlikes cancel each other out.
        """
        started = time.perf_counter()
        collection, live, waited_for = await self._begin(name, ask.min_seq)
        work = Work(ask, collection, live, Mode.SEMANTIC, ask.where, waited_for, started=started)
        examples = partial(example_documents, self._store, collection, live, wait_timeout_s=self._wait_timeout_s)
        liked = await examples(ask.ids, field="ids")
        unliked = await examples(ask.unlike_ids, field="unlike_ids")
        async with _limit(self._search_timeout_s):
            vectors = partial(example_vectors, self._store, live)
            likes = await vectors(liked, ask.texts, field="ids")
            vector = likes.mean(axis=0)
            if unliked or ask.unlike_texts:
                unlikes = await vectors(unliked, ask.unlike_texts, field="unlike_ids")
                vector = vector - UNLIKE_WEIGHT * unlikes.mean(axis=0)
            if np.linalg.norm(vector) <= CANCELLED * np.linalg.norm(likes, axis=1).max():
                raise InvalidRequest("likes and unlikes cancel each other out; change one of them", field="unlike_ids")
            work.vector = checked_vector(live, vector)
            work.excluded = frozenset(example.key for example in (*liked, *unliked))
            return await self._answer(work)

    async def _begin(self, name: str, min_seq: int | None) -> tuple[Collection, LiveIndex, int]:
        collection = await self._collection(name)
        live = await self._indexes.live(collection)
        if min_seq is None or live.applied_seq >= min_seq:
            return collection, live, 0
        waited_for = await self._store.pending(collection, after=live.applied_seq)
        await live.wait_for(min_seq, timeout_s=self._wait_timeout_s)
        return collection, live, waited_for

    async def _answer(self, work: Work) -> Answer:
        await plan(work, self._store, self._selectivity)
        ask = work.ask
        stages = [(stage, depth) for stage in self._stages if (depth := stage.wants(work)) is not None]
        want = max([ask.offset + ask.limit + len(work.excluded), *(depth for _, depth in stages)])
        spare = SPARE
        while True:
            work.want = want + spare
            ranked = await self._staged(work, [stage for stage, _ in stages])
            with timed(work.trace, "present"):
                hits, dropped = await present(work, ranked, limit=ask.limit, offset=ask.offset, spare=spare)
            if not dropped or len(hits) == ask.limit or len(ranked.documents) < work.want:
                break
            spare = (spare + dropped) * 2
        if not hits and work.fallback is not None:
            undo, work.fallback = work.fallback, None
            undo(work)
            return await self._answer(work)
        return Answer(tuple(hits), plan_of(work), (time.perf_counter() - work.started) * 1000)

    async def _staged(self, work: Work, stages: Sequence[Stage]) -> Ranked:
        ranked = await rank(work)
        for stage in stages:
            before = ranked
            with timed(work.trace, stage.name):
                ranked = await stage.run(work, before)
            if work.trace is not None:
                work.trace.changed(stage.name, before, ranked)
        return ranked


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise TimedOut(f"the search took longer than {seconds:g} s (setting search_timeout_s)") from exc
