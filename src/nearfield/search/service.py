"""One search from question to answer: plan → retrieve → fuse → present."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.errors import InvalidRequest, TimedOut, UnsupportedByEngine
from nearfield.domain.hits import Answer
from nearfield.domain.plans import Mode, Plan
from nearfield.domain.schema import IndexKind
from nearfield.protocols.engine import check_vectors
from nearfield.search.examples import example_documents, example_vectors
from nearfield.search.filters import is_light, place
from nearfield.search.fuse import JUDGES, Ranked, fuse, rank_dense, rank_lexical
from nearfield.search.present import present
from nearfield.search.retrieve import Candidates, Retrieval
from nearfield.search.selectivity import Selectivity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array
    from nearfield.domain.filters import Filter
    from nearfield.domain.queries import Search, Similar
    from nearfield.protocols.live import LiveIndex, LiveIndexes
    from nearfield.protocols.store import Store

HYBRID_DEPTHS = (50, 100, 250, 500, 1_000, 2_500, 5_000)
"""Passages asked of each side, at least: in steps, because a deeper list may rank the same documents anew, and the
pages of one question should be cut from one ranking."""
SPARE = 4  # candidates beyond what is wanted, for documents deleted since they were indexed
UNLIKE_WEIGHT = 0.5
CANCELLED = 1e-6  # of an example's length: what is left then is rounding, and points nowhere


@dataclass(slots=True, eq=False)
class _Asked:
    """A search on its way: what both kinds of question share."""

    mode: Mode
    limit: int
    offset: int
    retrieval: Retrieval
    waited_for: int
    text: str | None = None
    vector: Float32Array | None = None
    excluded: frozenset[int] = frozenset()
    depth: int = 0


class SearchService:
    """Answers questions to any collection."""

    def __init__(
        self,
        store: Store,
        indexes: LiveIndexes,
        collection: Callable[[str], Awaitable[Collection]],
        *,
        search_timeout_s: float,
        wait_timeout_s: float,
    ) -> None:
        self._store, self._indexes, self._collection = store, indexes, collection
        self._search_timeout_s, self._wait_timeout_s = search_timeout_s, wait_timeout_s
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
        async with _limit(self._search_timeout_s):
            retrieval = await self._retrieval(collection, live, ask.where, exact=ask.exact, effort=ask.effort)
            asked = _Asked(
                ask.resolved_mode,
                ask.limit,
                ask.offset,
                retrieval,
                waited_for,
                ask.query,
                self._vector(live, ask.vector),
            )
            return await self._answer(asked, started)

    async def similar(self, name: str, ask: Similar) -> Answer:
        """Find documents like some, and unlike others, by meaning.

        Raises as `search` does, and DocumentNotFound for an id that is not there, InvalidRequest when likes and
        unlikes cancel each other out.
        """
        started = time.perf_counter()
        collection, live, waited_for = await self._begin(name, ask.min_seq)
        examples = partial(example_documents, self._store, collection, live, wait_timeout_s=self._wait_timeout_s)
        liked = await examples(ask.ids, field="ids")
        unliked = await examples(ask.unlike_ids, field="unlike_ids")
        async with _limit(self._search_timeout_s):
            retrieval = await self._retrieval(collection, live, ask.where, exact=ask.exact, effort=None)
            vectors = partial(example_vectors, self._store, live)
            likes = await vectors(liked, ask.texts, field="ids")
            vector = likes.mean(axis=0)
            if unliked or ask.unlike_texts:
                unlikes = await vectors(unliked, ask.unlike_texts, field="unlike_ids")
                vector = vector - UNLIKE_WEIGHT * unlikes.mean(axis=0)
            if np.linalg.norm(vector) <= CANCELLED * np.linalg.norm(likes, axis=1).max():
                raise InvalidRequest("likes and unlikes cancel each other out; change one of them", field="unlike_ids")
            asked = _Asked(Mode.SEMANTIC, ask.limit, ask.offset, retrieval, waited_for)
            asked.vector = self._vector(live, vector)
            asked.excluded = frozenset(example.key for example in (*liked, *unliked))
            return await self._answer(asked, started)

    # -- plan ----------------------------------------------------------------------------------------------------
    async def _begin(self, name: str, min_seq: int | None) -> tuple[Collection, LiveIndex, int]:
        collection = await self._collection(name)
        live = await self._indexes.live(collection)
        if min_seq is None or live.applied_seq >= min_seq:
            return collection, live, 0
        waited_for = await self._store.pending(collection, after=live.applied_seq)
        await live.wait_for(min_seq, timeout_s=self._wait_timeout_s)
        return collection, live, waited_for

    async def _retrieval(
        self, collection: Collection, live: LiveIndex, where: Filter | None, *, exact: bool, effort: int | None
    ) -> Retrieval:
        if exact and not live.capabilities.exact:
            raise UnsupportedByEngine(f"engine {live.generation.engine} has no exact search", field="exact")
        if effort is not None and not live.capabilities.effort:
            raise UnsupportedByEngine(f"engine {live.generation.engine} takes no effort per query", field="ef")
        if effort is not None and effort < 1:
            raise InvalidRequest(f"ef is {effort}; expected at least 1", field="ef")
        parts = (where, collection.spec.fields, live.index)
        placed = place(*parts) if is_light(where) else await asyncio.to_thread(place, *parts)
        return Retrieval(self._store, collection, live, placed, self._selectivity, exact, effort, live.applied_seq)

    def _vector(self, live: LiveIndex, vector: Float32Array | None) -> Float32Array | None:
        if vector is None:
            return None
        return check_vectors(vector, live.generation.dimension, metric=live.generation.index.metric)

    # -- retrieve and fuse ---------------------------------------------------------------------------------------
    async def _answer(self, asked: _Asked, started: float) -> Answer:
        want = asked.offset + asked.limit + len(asked.excluded)
        spare = SPARE
        while True:
            ranked = await self._rank(asked, want + spare)
            hits, dropped = await present(
                asked.retrieval,
                ranked,
                limit=asked.limit,
                offset=asked.offset,
                spare=spare,
                excluded=asked.excluded,
            )
            if not dropped or len(hits) == asked.limit or len(ranked.documents) < want + spare:
                break
            spare = (spare + dropped) * 2
        return Answer(tuple(hits), self._plan(asked), (time.perf_counter() - started) * 1000)

    async def _rank(self, asked: _Asked, want: int) -> Ranked:
        retrieval, mode = asked.retrieval, asked.mode
        metric = retrieval.live.generation.index.metric
        if mode is not Mode.SEMANTIC and not retrieval.live.capabilities.lexical:
            if mode is Mode.LEXICAL:
                engine = retrieval.live.generation.engine
                raise UnsupportedByEngine(f"engine {engine} has no lexical search; use mode semantic", field="mode")
            asked.mode = mode = Mode.SEMANTIC
            retrieval.notes.append("the engine has no lexical search; meaning alone decided")
        if mode is Mode.LEXICAL:
            found = await retrieval.lexical(asked.text or "", want)
            asked.depth = len(found)
            return rank_lexical(found, asked.text or "")
        if mode is Mode.SEMANTIC:
            found = await retrieval.dense(await self._query_vector(asked), want)
            asked.depth = len(found)
            return rank_dense(found, metric)
        depth = next((step for step in HYBRID_DEPTHS if step >= want), want)
        vector = await self._query_vector(asked)
        # beside the search by meaning, not beside the embedding, which takes every core there is
        by_words = asyncio.create_task(self._by_words(retrieval, asked.text or "", want, depth))
        try:
            dense = await retrieval.dense(vector, want, depth=depth)
            lexical = await by_words
        finally:
            by_words.cancel()
            await asyncio.gather(by_words, return_exceptions=True)
        asked.depth = len(dense) + len(lexical)
        return await fuse(retrieval, vector, dense, rank_lexical(lexical, asked.text or ""), want)

    async def _by_words(self, retrieval: Retrieval, text: str, want: int, depth: int) -> Candidates:
        """The lexical side, and the vectors that fusing asks for in nine searches of ten."""
        found = await retrieval.lexical(text, want, depth=depth)
        if len(found):
            await retrieval.foresee(found.chunks[:JUDGES])
        return found

    async def _query_vector(self, asked: _Asked) -> Float32Array:
        if asked.vector is None:
            live = asked.retrieval.live
            vectors = await live.embedder.embed([asked.text or ""], role="query")
            asked.vector = self._vector(live, vectors[0])
        assert asked.vector is not None  # noqa: S101 - for the type checker
        return asked.vector

    def _plan(self, asked: _Asked) -> Plan:
        retrieval = asked.retrieval
        live, where = retrieval.live, retrieval.where
        settings = live.generation.index
        effort, notes = None, list(dict.fromkeys(retrieval.notes))
        if retrieval.approximate:
            graph = settings.kind in (IndexKind.HNSW, IndexKind.DISKANN)
            effort = retrieval.effort or (settings.ef_search if graph else settings.probes or None)
        elif retrieval.effort is not None:
            notes.append("ef had no use: no approximate index was searched")
        return Plan(
            mode=asked.mode,
            access=retrieval.access,
            engine=live.generation.engine,
            index=f"{settings.kind}/{settings.metric}/{settings.quantization}",
            embedder=live.embedder.name,
            generation=live.generation.number,
            applied_seq=retrieval.as_of,
            waited_for=asked.waited_for,
            effort=effort,
            candidates=asked.depth,
            matches=None,
            filter_native=where.native_text,
            filter_residual=where.residual_text,
            notes=tuple(notes),
        )


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise TimedOut(f"the search took longer than {seconds:g} s (setting search_timeout_s)") from exc
