"""One search from question to answer: understand → plan → retrieve → fuse → rerank → present.

What is asked travels in a `Work`. Readers change it before the plan is made, stages reorder what was found; both are
given by wiring, and those a request does not ask for are passed over.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from nearfield.domain.addresses import is_remote
from nearfield.domain.errors import CursorExpired, InvalidCursor, InvalidRequest, TimedOut
from nearfield.domain.facets import FacetScope
from nearfield.domain.hits import Answer
from nearfield.domain.plans import Mode
from nearfield.domain.queries import MAX_OFFSET, Search
from nearfield.search.answer_cache import AnswerCache, question_of
from nearfield.search.cursors import Frozen, check_same
from nearfield.search.examples import example_documents, example_vectors
from nearfield.search.groups import cut_groups
from nearfield.search.paging import Page, cut, is_calm
from nearfield.search.plan import checked_vector, explanation_of, plan, plan_of
from nearfield.search.present import present
from nearfield.search.rank import rank
from nearfield.search.selectivity import Selectivity
from nearfield.search.trace import Trace, timed
from nearfield.search.whole import CANDIDATES, EVERYTHING, check_whole, count, freeze, is_whole, settle
from nearfield.search.work import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.hits import Hit
    from nearfield.domain.plans import Plan
    from nearfield.domain.queries import Similar
    from nearfield.protocols.live import LiveIndex, LiveIndexes
    from nearfield.protocols.store import Store
    from nearfield.search.answer_cache import Kept
    from nearfield.search.completions import PastQueries
    from nearfield.search.cursors import Cursors
    from nearfield.search.highlight import Highlighter
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Reader, Stage

PAGE = 50  # hits; who asks for more is no person at a search box, whose queries others may be offered
PATIENCE = 0.75  # of a search's time, for one call to an engine on a server: the rest is for going on without it
SPARE = 4  # candidates beyond what is wanted, for documents deleted since they were indexed
UNLIKE_WEIGHT = 0.5
CANCELLED = 1e-6  # of an example's length: what is left then is rounding, and points nowhere


class Recalled(NamedTuple):
    """form: as it was kept. answer: what is new in it, `took_ms` and `search_id`; its hits have no documents."""

    form: bytes
    answer: Answer


class SearchService:
    """Answers questions to any collection.

    readers, stages: in the order they run. shown: takes note of what was shown, where that is collected; an id for it.
    watch: told of every first page that people are shown.
    """

    def __init__(
        self,
        store: Store,
        indexes: LiveIndexes,
        collection: Callable[[str], Awaitable[Collection]],
        *,
        search_timeout_s: float,
        wait_timeout_s: float,
        cursors: Cursors,
        readers: Sequence[Reader] = (),
        stages: Sequence[Stage] = (),
        shown: Callable[[Collection, Search, Answer], str] | None = None,
        highlighter: Highlighter | None = None,
        past: PastQueries | None = None,
        watch: Callable[[Collection, Search, Answer], None] | None = None,
        answers: AnswerCache | None = None,
    ) -> None:
        self._store, self._indexes, self._collection = store, indexes, collection
        self._search_timeout_s, self._wait_timeout_s = search_timeout_s, wait_timeout_s
        self._cursors = cursors
        self._readers, self._stages = tuple(readers), tuple(stages)
        self._shown = shown
        self._highlighter, self._past, self._watch = highlighter, past, watch
        self.answers = AnswerCache(budget_bytes=0) if answers is None else answers
        """Answers kept for who asks the same again."""
        self._selectivity = Selectivity(store)

    async def close(self) -> None:
        """Stop background work."""
        await self._selectivity.close()

    async def warm(self, name: str) -> None:
        """Search once, and begin what a first filtered search would begin. Raises as `search` does."""
        await self.search(name, Search(query="warm", limit=1), recorded=False)
        collection, live, _ = await self._begin(name, None)
        if collection.spec.fields:
            self._selectivity.draw(collection, live)

    async def search(self, name: str, ask: Search, *, recorded: bool = True) -> Answer:
        """Find documents. Always min(limit, matches) hits, best first; the plan says what was done.

        recorded: whether a person sees the answer, and a collection that collects events keeps what was shown.

        Raises CollectionNotFound, InvalidFilter, InvalidVector, DimensionMismatch, UnsupportedByEngine, IndexLagging,
        TimedOut, EngineUnavailable, EmbedderUnavailable, InvalidCursor, CursorExpired.
        """
        started = time.perf_counter()
        collection, live, waited_for = await self._begin(name, ask.min_seq)
        if ask.cursor is not None:
            return await self._later(ask, ask.cursor, collection, live, waited_for, recorded=recorded)
        question = question_of(ask) if recorded else None
        ground = None if question is None else self.answers.ground(collection, live)
        if question is not None and ground is not None:
            kept = self._usable(collection, self.answers.find(collection, question))
            if kept is not None:
                return self._again(kept.answer(), kept, collection, waited_for, started)
            self.answers.misses += 1
        work = Work(ask, collection, live, ask.resolved_mode, ask.where, waited_for, started=started)
        work.trace = Trace() if ask.explain else None
        work.fusion = ask.fusion or collection.spec.fusion
        async with _limit(self._search_timeout_s):
            work.meaning, work.words = ask.query, ask.query or ""
            if ask.vector is not None:
                work.vector = checked_vector(live, ask.vector)
            await _read(work, self._readers)
            answer = await self._answer(work)
        unchanged = ground is not None and self.answers.ground(collection, live) == ground
        if question is not None and unchanged and work.lasting:
            self.answers.keep(collection, question, ask, answer)
        return self._told(collection, ask, answer, first=answer) if recorded else answer

    async def recall(self, name: str, spelled: bytes) -> Recalled | None:
        """An answer kept in a form that `remember` was given for that spelling; None where it has to be searched for.

        Everything else is as if it had been searched for: what is shown is noted, its search has an id of its own.
        Raises as `search` does where the collection cannot be opened.
        """
        started = time.perf_counter()
        if not len(self.answers):
            return None
        collection, live, _ = await self._begin(name, None)
        if self.answers.ground(collection, live) is None:
            return None
        kept = self._usable(collection, self.answers.find_spelled(collection, spelled))
        if kept is None or (kept.ask.min_seq or 0) > live.applied_seq:
            return None
        answer = self._again(kept.skeleton, kept, collection, 0, started)
        return Recalled(kept.forms[spelled], answer)

    async def remember(self, name: str, ask: Search, answer: Answer, spelled: bytes, form: bytes) -> None:
        """Keep the form in which a caller writes an answer that was kept (`plan.cached`), for `recall`."""
        collection, live, _ = await self._begin(name, None)
        question = question_of(ask)
        if question is not None and self.answers.ground(collection, live) is not None:
            self.answers.keep_form(collection, question, answer, spelled, form)

    async def similar(self, name: str, ask: Similar) -> Answer:
        """Find documents like some, and unlike others, by meaning.

        Raises as `search` does, and DocumentNotFound for an id that is not there, InvalidRequest when likes and
        unlikes cancel each other out.
        """
        started = time.perf_counter()
        collection, live, waited_for = await self._begin(name, ask.min_seq)
        if ask.cursor is not None:
            return await self._later(ask, ask.cursor, collection, live, waited_for)
        work = Work(ask, collection, live, Mode.SEMANTIC, ask.where, waited_for, started=started)
        work.trace = Trace() if ask.explain else None
        examples = partial(example_documents, self._store, collection, live, wait_timeout_s=self._wait_timeout_s)
        liked = await examples(ask.ids, field="ids")
        unliked = await examples(ask.unlike_ids, field="unlike_ids")
        async with _limit(self._search_timeout_s):
            vectors = partial(example_vectors, self._store, live, patience_s=self._patience_s(live))
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
        ask = work.ask
        if is_whole(ask):
            return await self._whole(work, cast("Search", ask))
        await self._plan(work)
        want = max(ask.offset + ask.limit, self._depth(work)) + len(work.excluded)
        spare = SPARE
        while True:
            work.want = want + spare
            ranked = await self._candidates(work)
            with timed(work.trace, "present"):
                page = await present(work, ranked, limit=ask.limit, offset=ask.offset, spare=spare)
            if len(page.hits) == ask.limit or work.exhausted:
                break
            spare = (spare + ask.limit - len(page.hits)) * 2
        if not page.hits and not len(ranked) and await _undone(work):
            return await self._answer(work)
        cursor = None
        place = len(ranked) if page.next is None and not work.exhausted else page.next
        told = plan_of(work)
        if place is not None:
            frozen = Frozen(work, ranked, work.retrieval.as_of, complete=work.exhausted and is_calm(work))
            frozen.shown = {hash(hit.id): key for hit, key in zip(page.hits, page.keys, strict=True)}
            if work.trace is not None:
                frozen.traces.append((0, work.trace))
            cursor = self._freeze(frozen, place)
        return _answer(work, await self._marked(work, page.hits), told, cursor)

    async def _whole(self, work: Work, ask: Search) -> Answer:
        """An answer that needs the values of all candidates: sorted, counted or grouped."""
        check_whole(work, ask)
        await self._plan(work)
        depth = max(CANDIDATES, ask.offset + ask.limit, self._depth(work)) + SPARE + len(work.excluded)
        work.want = EVERYTHING if work.mode is None else depth
        ranked = await self._candidates(work)
        with timed(work.trace, "present"):
            found = await settle(work, ranked)
            if not len(found.ranked) and await _undone(work):
                return await self._answer(work)
            if not work.exhausted and (ask.sort or (ask.facets and ask.facet_scope is FacetScope.CANDIDATES)):
                work.notes.append(f"the best {len(ranked):,} candidates were sorted or counted; more match")
            facets = await count(work, ask, found, plan=self._plan, candidates=self._candidates)
            frozen = freeze(work, ask, found)
            work.rows = {}
            page = await self._cut(work, frozen, ask.offset)
        told = plan_of(work)
        cursor = None if page.next is None else self._freeze(frozen, page.next)
        return replace(_answer(work, await self._marked(work, page.hits), told, cursor), facets=facets)

    async def _cut(self, work: Work, frozen: Frozen, place: int) -> Page:
        group = work.ask.group_by if isinstance(work.ask, Search) else None
        if group is not None:
            page = await cut_groups(work, frozen, group, place, self._candidates)
        else:
            page = await cut(work, frozen, place, self._candidates)
        if page.next is None and frozen.cut:
            work.notes.append(f"the pages of one search end at its {len(frozen.ranked):,}th document")
        return page

    async def _plan(self, work: Work) -> None:
        await plan(work, self._store, self._selectivity, patience_s=self._patience_s(work.live))

    def _patience_s(self, live: LiveIndex) -> float | None:
        return PATIENCE * self._search_timeout_s if is_remote(live.generation.engine) else None

    def _depth(self, work: Work) -> int:
        """How many candidates the stages want."""
        return max((depth for stage in self._stages if (depth := stage.wants(work)) is not None), default=0)

    def _freeze(self, frozen: Frozen, place: int) -> str:
        """Keep a list for its further pages, and let go of what the search read on its way."""
        frozen.work.planned = frozen.work.fallback = None
        return self._cursors.keep(frozen, place)

    async def _later(
        self,
        ask: Search | Similar,
        cursor: str,
        collection: Collection,
        live: LiveIndex,
        waited_for: int,
        *,
        recorded: bool = False,
    ) -> Answer:
        """A page after the first. Raises InvalidCursor, CursorExpired, and what a search raises where the list ends too
        early and has to be made longer."""
        frozen, place = self._cursors.find(cursor)
        if frozen.work.collection.id != collection.id:
            raise InvalidCursor(f"cursor is not of collection {collection.name}", field="cursor")
        first = frozen.work.ask
        check_same(ask, first)
        before = frozen.work.live
        if before.generation.id != live.generation.id:  # its list was made there, and grows there
            if before.closed:
                raise CursorExpired("the index this list was made on is gone; begin the search anew", field="cursor")
            live = before
        work = replace(
            frozen.work,
            ask=replace(first, limit=ask.limit, min_seq=ask.min_seq),
            live=live,
            waited_for=waited_for,
            notes=[],
            trace=None,
            started=time.perf_counter(),
        )
        async with _limit(self._search_timeout_s):
            await self._plan(work)
            page = await self._cut(work, frozen, place)
        following = None if page.next is None else self._cursors.move(cursor, page.next)
        work.trace = frozen.trace_of_page(place)
        answer = _answer(work, await self._marked(work, page.hits), plan_of(work), following)
        if not recorded or not isinstance(first, Search):
            return answer
        return self._noted(collection, replace(first, limit=ask.limit, offset=min(place, MAX_OFFSET)), answer)

    def _usable(self, collection: Collection, kept: Kept | None) -> Kept | None:
        """A kept answer whose further pages can still be asked for; counts as a use of their list."""
        cursor = None if kept is None else kept.skeleton.cursor
        if kept is not None and cursor is not None and not self._cursors.touch(cursor):
            self.answers.forget(collection, kept.question)
            return None
        return kept

    def _again(self, answer: Answer, kept: Kept, collection: Collection, waited_for: int, started: float) -> Answer:
        """A kept answer as that of the search at hand."""
        self.answers.hits += 1
        took_ms = (time.perf_counter() - started) * 1000
        plan = replace(answer.plan, waited_for=waited_for) if waited_for else answer.plan
        return self._told(collection, kept.ask, replace(answer, took_ms=took_ms, plan=plan), first=kept.skeleton)

    def _told(self, collection: Collection, ask: Search, answer: Answer, *, first: Answer) -> Answer:
        """Take note of an answer that people see; the answer with its id. first: the one that was searched for, which
        this one may repeat."""
        if self._past is not None and answer.hits and _is_typed(ask):
            self._past.note(collection.id, ask.query or "")
        if self._watch is not None:
            self._watch(collection, ask, first)
        return self._noted(collection, ask, answer)

    def _noted(self, collection: Collection, ask: Search, answer: Answer) -> Answer:
        """The answer with its id, where the collection keeps what searches show."""
        if not collection.spec.events or ask.query is None or self._shown is None:
            return answer
        return replace(answer, search_id=self._shown(collection, ask, answer))

    async def _marked(self, work: Work, hits: Sequence[Hit]) -> Sequence[Hit]:
        asked = work.ask.highlight if isinstance(work.ask, Search) else None
        if asked is None or self._highlighter is None or not hits:
            return hits
        with timed(work.trace, "highlight"):
            return await self._highlighter.mark(work, asked, hits)

    async def _candidates(self, work: Work) -> Ranked:
        """Retrieve and fuse, then every stage that this request asks for."""
        ranked = await rank(work)
        for stage in self._stages:
            if stage.wants(work) is None:
                continue
            before = ranked
            with timed(work.trace, stage.name):
                ranked = await stage.run(work, before)
            if work.trace is not None:
                work.trace.changed(stage.name, before, ranked)
        return ranked


def _is_typed(ask: Search) -> bool:
    """Whether a person may have typed it just now: words, and the first page of few hits. Further pages ask no more."""
    return ask.query is not None and ask.limit <= PAGE and not ask.offset


async def _read(work: Work, readers: Sequence[Reader]) -> None:
    for place, reader in enumerate(readers, 1):
        if not reader.asked(work):
            continue
        before = work.fallback
        with timed(work.trace, reader.name):
            await reader.run(work)
        if work.fallback is not before:
            work.reread = readers[place:]


async def _undone(work: Work) -> bool:
    """Whether readers had changed the question, and no longer have."""
    if work.fallback is None:
        return False
    undo, work.fallback = work.fallback, None
    undo(work)
    await _read(work, work.reread)
    return True


def _answer(work: Work, hits: Sequence[Hit], told: Plan, cursor: str | None) -> Answer:
    explanation = None if work.trace is None else explanation_of(work, work.trace)
    took_ms = (time.perf_counter() - work.started) * 1000
    return Answer(tuple(hits), told, took_ms, cursor, explanation, understood=work.understood)


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise TimedOut(f"the search took longer than {seconds:g} s (setting search_timeout_s)") from exc
