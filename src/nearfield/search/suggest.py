"""Suggestions for a search box, as it is typed into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.suggestions import MAX_SUGGESTIONS, MAX_TYPED, Suggestions
from nearfield.search.completions import PastQueries, merged
from nearfield.search.lexicons import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.collections import Collection
    from nearfield.protocols.live import LiveIndexes
    from nearfield.search.lexicon import Lexicon
    from nearfield.search.lexicons import Lexicons

LOOK_AGAIN_S: Final = 0.1
WARM_S: Final = 5.0
"""The longest a start waits for the titles of a small collection; those of a large one are read in the background."""
MANY_TITLES: Final = 2_000
"""Beyond so many, completing takes more than the event loop can spare, and goes to a thread."""


class Suggester:
    """Completes what is typed into a search box."""

    def __init__(
        self,
        indexes: LiveIndexes,
        collection: Callable[[str], Awaitable[Collection]],
        lexicons: Lexicons,
        past: PastQueries,
    ) -> None:
        self._indexes, self._collection, self._lexicons, self._past = indexes, collection, lexicons, past

    async def suggest(self, name: str, typed: str, *, limit: int = 10, wait: bool = False) -> Suggestions:
        """Completions of what is typed, the best first; none for a blank text.

        limit: 1 to MAX_SUGGESTIONS. wait: until the titles are read, however long that takes; else nothing is waited
        for, and titles may be some changes old.
        Raises CollectionNotFound, InvalidRequest, EngineUnavailable, EmbedderUnavailable.
        """
        if not 1 <= limit <= MAX_SUGGESTIONS:
            raise InvalidRequest(f"limit is {limit}; expected 1 to {MAX_SUGGESTIONS}", field="limit")
        if len(typed) > MAX_TYPED:
            raise InvalidRequest(f"q has {len(typed)} characters; at most {MAX_TYPED} are completed", field="q")
        collection = await self._collection(name)
        lexicon = await self._read(collection, wait_s=WAIT_S if wait else 0.0)
        while lexicon is None and wait:
            await asyncio.sleep(LOOK_AGAIN_S)
            lexicon = await self._read(collection, wait_s=WAIT_S)
        queries = self._past.complete(collection.id, typed, limit)
        if lexicon is None:
            return Suggestions(tuple(queries), ready=False)
        titles = lexicon.completions
        if len(titles.texts) > MANY_TITLES:
            found = await asyncio.to_thread(titles.complete, typed, limit)
        else:
            found = titles.complete(typed, limit)
        return Suggestions(tuple(merged(queries, found, limit)))

    async def warm(self, collection: Collection) -> None:
        """Begin to read a collection's titles, so that the first who types need not wait for them."""
        await self._read(collection, wait_s=WARM_S)

    async def _read(self, collection: Collection, *, wait_s: float) -> Lexicon | None:
        return await self._lexicons.current(collection, await self._indexes.live(collection), wait_s=wait_s)
