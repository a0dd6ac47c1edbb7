"""The step of a search that reads constraints from the query, and takes them back where they leave nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nearfield.domain.filters import And
from nearfield.domain.ordering import read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.understood import ALL_KINDS, PartKind
from nearfield.search.lexicons import NEAR
from nearfield.search.understand.fields import fields_of
from nearfield.search.understand.known import NOTHING_KNOWN, KnownValues
from nearfield.search.understand.reader import understand
from nearfield.search.work import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nearfield.domain.collections import Collection
    from nearfield.domain.understood import Understood
    from nearfield.protocols.live import LiveIndex
    from nearfield.search.lexicon import Lexicon
    from nearfield.search.lexicons import Lexicons
    from nearfield.search.work import Work

SMALL: Final = 2_000  # values and titles: indexed in 10 ms, which a search may wait for
LONG: Final = 160  # characters: a longer query may take more than a millisecond or two, and is read in a thread
REST_SHARE: Final = 50
"""An index of known values is made anew once it is this many times older than it took to make: 2% of a core at most."""
MAX_KEPT: Final = 64  # collections
CHANGED: Final = ("ask", "meaning", "words", "where", "vector", "expansion", "corrections", "fallback", "near_share")
"""What a reading changes in a search, itself or by what it leaves for the readers after it and the embedder."""
FIRST_WAITS: Final = 6
"""How often the first search of a small collection waits again for its lexicon: 0.25 s each, where a box is busy."""
NEAR_SHARE: Final = 0.6
"""Of the best score: what has less is not put in an order read from the query. The cheapest of all that a search found
is a cable, not the cheapest television."""


@dataclass(frozen=True, slots=True)
class _Indexed:
    lexicon: Lexicon
    known: KnownValues
    cost_s: float
    made_at: float


class Understanding:
    """Reads queries with what each collection's documents hold. `reader` is its step in a search."""

    def __init__(self, lexicons: Lexicons, now: Callable[[], datetime]) -> None:
        self._lexicons, self._now = lexicons, now
        self._indexed: dict[int, _Indexed] = {}
        self._working: dict[int, asyncio.Task[KnownValues | None]] = {}

    @property
    def reader(self) -> Reader:
        return Reader("understand", lambda work: bool(kinds_of(work)), self._run)

    def steady(self, collection: Collection, lexicon: Lexicon | None) -> KnownValues | None:
        """The known values that a search would read with now and a moment later; None where they are due to be made
        anew. lexicon: as `Lexicons.steady` gives it."""
        kept = self._indexed.get(collection.id)
        if kept is None or lexicon is None or (kept.lexicon is not lexicon and _is_due(kept)):
            return None
        return kept.known

    async def close(self) -> None:
        """Abandon what is being made."""
        for task in self._working.values():
            task.cancel()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _run(self, work: Work) -> None:
        kinds = kinds_of(work)
        text = work.ask.query if isinstance(work.ask, Search) else None
        if text is None:
            return
        declared = work.collection.spec.fields
        known = await self._known(work)
        parts = (text, declared, known or NOTHING_KNOWN, self._now())
        if len(text) > LONG:
            found = await asyncio.to_thread(understand, *parts, kinds=kinds)
        else:
            found = understand(*parts, kinds=kinds)
        if found.note:
            work.notes.append(found.note)
        if known is None:
            work.lasting = False
            work.notes.append("the collection's values are still being counted; brands and the like were not read")
        if any(part.kind is PartKind.DATE for part in found.parts):
            work.lasting = False  # "last week" is another one next week
        if found.parts:
            apply(work, found)

    async def _known(self, work: Work) -> KnownValues | None:
        """What is known, which may be some changes old; None while it is first made, of a collection that is not small.

        Of 100,000 documents it takes half a second.
        """
        lexicon = await self._lexicons.current(work.collection, work.live)
        for _ in range(FIRST_WAITS):
            if lexicon is not None or work.live.applied_seq > NEAR:
                break
            lexicon = await self._lexicons.current(work.collection, work.live)
        kept = None if lexicon is None else self._indexed.get(work.collection.id)
        if kept is not None and (kept.lexicon is lexicon or not _is_due(kept)):
            return kept.known
        task = self._index(work.collection, work.live)
        if lexicon is not None and _size(lexicon) <= SMALL:
            return await asyncio.shield(task)
        return None if kept is None else kept.known

    def _index(self, collection: Collection, live: LiveIndex) -> asyncio.Task[KnownValues | None]:
        """Index the lexicon in the background, as soon as there is one."""
        task = self._working.get(collection.id)
        if task is None:
            task = asyncio.create_task(self._index_now(collection, live), name=f"values of {collection.name}")
            self._working[collection.id] = task
            task.add_done_callback(lambda _: self._working.pop(collection.id, None))
        return task

    async def _index_now(self, collection: Collection, live: LiveIndex) -> KnownValues | None:
        lexicon = await self._lexicons.made(collection, live)
        if lexicon is None:
            return None
        began = time.monotonic()
        known = await asyncio.to_thread(known_of, collection, lexicon)
        now = time.monotonic()
        self._indexed.pop(collection.id, None)
        self._indexed[collection.id] = _Indexed(lexicon, known, now - began, now)
        if len(self._indexed) > MAX_KEPT:
            del self._indexed[next(iter(self._indexed))]
        return known


def kinds_of(work: Work) -> frozenset[PartKind]:
    """The kinds a request wants read: those it names; unless it says, all in a hybrid search of words."""
    ask = work.ask
    if not isinstance(ask, Search) or ask.query is None or not work.collection.spec.fields:
        return frozenset()
    if ask.understand is not None:
        return ask.understand
    return ALL_KINDS if work.mode is Mode.HYBRID else frozenset()


def known_of(collection: Collection, lexicon: Lexicon) -> KnownValues:
    """Index a lexicon's values. Blocks: see `KnownValues.of`."""
    return KnownValues.of(
        fields_of(collection.spec.fields),
        lexicon.values,
        ranges={name: (span.low, span.high) for name, span in lexicon.spans.items()},
        frequencies=lexicon.words,
        titles=lexicon.titles,
    )


def apply(work: Work, found: Understood) -> None:
    """Search for what is left of the query, where the constraints hold too; undone where nothing is found."""
    before = {name: getattr(work, name) for name in CHANGED}

    def undo(work: Work) -> None:
        for name, value in before.items():
            setattr(work, name, value)
        work.understood = replace(found, applied=False)
        work.notes.append("nothing was found with what was understood; the query was searched as it was written")

    if found.where is not None:
        both = [where for where in (work.where, found.where) if where is not None]
        parts = [part for where in both for part in (where.parts if isinstance(where, And) else (where,))]
        work.where = parts[0] if len(parts) == 1 else And(tuple(parts))
    if found.sort and isinstance(work.ask, Search):
        if work.ask.sort:
            work.notes.append("the order read from the query was not used: the request names its own")
        else:
            work.ask, work.near_share = replace(work.ask, sort=read_sort(found.sort)), NEAR_SHARE
            work.notes.append(f"what has less than {NEAR_SHARE:.0%} of the best score follows the order read, unsorted")
    work.meaning = work.words = found.query
    work.understood = found
    work.fallback = undo


def _is_due(kept: _Indexed) -> bool:
    return time.monotonic() - kept.made_at >= kept.cost_s * REST_SHARE


def _size(lexicon: Lexicon) -> int:
    return len(lexicon.titles) + sum(len(values) for values in lexicon.values.values())
