"""A whole move, from filling to switching, with the verification between: where indexing and quality meet."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from nearfield.domain.collections import GenerationState, beside_live
from nearfield.domain.errors import GenerationNotFound, InvalidRequest, NearfieldError
from nearfield.domain.moves import Gates, Moved
from nearfield.domain.moves_json import verification_json
from nearfield.indexing.check import check_generation
from nearfield.indexing.truth import true_pages
from nearfield.quality.questions import gather_questions
from nearfield.quality.verification import Subject, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearfield.domain.hits import Answer
    from nearfield.domain.moves import Verification
    from nearfield.domain.queries import Search
    from nearfield.indexing.catalog import Catalog
    from nearfield.indexing.generations import Generations
    from nearfield.indexing.moves import Moves
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.store import Store
    from nearfield.quality.service import Quality
    from nearfield.quality.shadow import ShadowCounts, Shadows

QUESTIONS: Final = 500


class Searcher(Protocol):
    """Searches of one generation, answered as users' are."""

    async def search(self, name: str, ask: Search, *, recorded: bool = True) -> Answer: ...

    async def close(self) -> None: ...


class Moving:
    """Moves a collection and says whether that can be trusted.

    searcher: searches of one open generation, whatever is live.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        generations: Generations,
        moves: Moves,
        quality: Quality,
        shadows: Shadows,
        searcher: Callable[[OpenGeneration], Searcher],
        wait_timeout_s: float,
    ) -> None:
        self._store, self._catalog, self._generations = store, catalog, generations
        self._moves, self._quality, self._searcher = moves, quality, searcher
        self._shadows = shadows
        self._shadowing: dict[int, Searcher] = {}  # by collection
        self._wait_timeout_s = wait_timeout_s

    async def move(
        self,
        name: str,
        wish: Mapping[str, Any],
        *,
        gates: Gates | None = None,
        switch: bool = True,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> Moved:
        """Fill, verify, and switch where every gate holds. Cut short anywhere, it goes on when it is asked for again.

        wish: any of engine, embedder, index; empty to go on with the move under way. on_progress: what is done
        (`indexed`, `checked`, `searched`), how many, of how many. Raises MoveUnderWay, InvalidSchema,
        UnsupportedByEngine, EngineUnavailable, EmbedderUnavailable, IndexLagging.
        """
        made = await self._moves.begin(name, wish)
        if made.state is GenerationState.LIVE:
            return Moved(name, made.number, already=True)
        tell = on_progress or (lambda what, done, total: None)
        await self._moves.caught_up(
            name, made.number, on_progress=lambda one: tell("indexed", one.total - one.pending, one.total)
        )
        found = await self.verify(name, made.number, gates=gates, on_progress=tell)
        if found.passed and switch:
            await self._moves.switch(name, made.number)
        return Moved(name, made.number, switched=found.passed and switch, verification=found)

    async def verify(
        self,
        name: str,
        number: int,
        *,
        gates: Gates | None = None,
        questions: int = QUESTIONS,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> Verification:
        """Hold a generation against the store and beside the live one; what was found is kept with it.

        Raises GenerationNotFound, EngineUnavailable, IndexLagging.
        """
        collection = await self._catalog.get(name)
        new = await self._moves.opened(name, number)
        old = None
        with suppress(NearfieldError):  # what is moved away from may be why it is moved
            live = await self._generations.live(collection)
            old = None if live is new else live
        tell = on_progress or (lambda what, done, total: None)
        check = await check_generation(
            self._store,
            new,
            on_progress=lambda done, total: tell("checked", done, total),
            wait_timeout_s=self._wait_timeout_s,
        )
        judged = await self._quality.judged(name)
        asked = await gather_questions(self._store, collection, judged, count=questions)
        opened = [one for one in (new, old) if one is not None]
        searchers = [self._searcher(one) for one in opened]
        try:
            subjects = [self._subject(name, one, how) for one, how in zip(opened, searchers, strict=True)]
            found = await verify(
                self._store,
                collection,
                check,
                old=subjects[1] if old is not None else None,
                new=subjects[0],
                questions=asked,
                judged=judged,
                gates=gates or Gates(),
                on_progress=lambda done, total: tell("searched", done, total),
            )
        finally:
            await asyncio.gather(*(one.close() for one in searchers))
        await self._moves.record(name, number, orjson.dumps(verification_json(found)).decode())
        return found

    async def shadow(self, name: str, number: int, share: float) -> ShadowCounts | None:
        """Make a share of the searches of people on another generation too, and count what differs; 0 ends it.

        What was counted so far of that generation, None where nothing was. Nobody waits for a shadow. It ends by itself
        when the generation goes live or is given up. Raises GenerationNotFound, InvalidRequest, EngineUnavailable.
        """
        if not 0 <= share <= 1:
            raise InvalidRequest(f"share is {share:g}; expected 0 to 1", field="share")
        collection = await self._catalog.get(name)
        opened = await self._moves.opened(name, number)
        if share and opened.generation.state is GenerationState.LIVE:
            raise InvalidRequest(
                f"generation {number} of {name} is the live one; name one beside it", field="generation"
            )
        before = self._shadows.counts(collection, number)
        self._shadows.end(collection)
        searcher = self._shadowing.pop(collection.id, None)
        if searcher is not None:
            await searcher.close()
        if share:
            searcher = self._shadowing[collection.id] = self._searcher(opened)
            self._shadows.begin(
                collection,
                number,
                share,
                lambda ask: searcher.search(name, replace(ask, min_seq=None), recorded=False),
                there=lambda: self._generations.beside(collection, number) is opened,
            )
        return before

    async def shadowed(self, name: str, number: int) -> ShadowCounts | None:
        """What was counted of a generation since its shadow began; None where it was not shadowed."""
        return self._shadows.counts(await self._catalog.get(name), number)

    async def beside(self, name: str) -> int:
        """The generation that is meant where none is named: see `beside_live`. Raises GenerationNotFound."""
        collection = await self._catalog.get(name)
        records = await self._generations.records(collection)
        found = beside_live({one.number: one.state for one in records})
        if found is None:
            raise GenerationNotFound(f"{name} has no generation beside the live one; begin a move first")
        return found

    async def close(self) -> None:
        """Let go of the searchers of shadows."""
        await asyncio.gather(*(one.close() for one in self._shadowing.values()))
        self._shadowing.clear()

    def _subject(self, name: str, opened: OpenGeneration, searcher: Searcher) -> Subject:
        async def search(ask: Search) -> Answer:
            return await searcher.search(name, ask, recorded=False)

        return Subject(
            opened.generation,
            opened.embedder,
            search,
            pages=lambda: true_pages(self._store, opened),
            applied=lambda: opened.applied_seq,
        )
