"""Events in, judgments and reports out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.events import EventReceipt
from nearfield.domain.judgments import JudgmentSource
from nearfield.quality.clicks import ClickTally, by_search

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.events import Event, QueryReport
    from nearfield.protocols.store import Store
    from nearfield.quality.impressions import Impressions

PAGE: Final = 1_000  # impressions read at a time
FEW: Final = 5
"""A query that finds fewer documents than that is reported."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt from clicks.

    searches, clicks: read. elsewhere: events on documents their search had not shown, which say nothing.
    judgments, queries: stored. examination: how likely each of the first ten ranks is looked at.
    """

    searches: int
    clicks: int
    elsewhere: int
    judgments: int
    queries: int
    examination: tuple[float, ...]


class Feedback:
    """What people do with the answers of collections that collect events."""

    def __init__(
        self, store: Store, collection: Callable[[str], Awaitable[Collection]], impressions: Impressions
    ) -> None:
        self._store, self._collection, self._impressions = store, collection, impressions

    async def record(self, name: str, events: Sequence[Event]) -> EventReceipt:
        """Store events; durable on return. Raises InvalidRequest unless the collection collects events."""
        collection = await self._collecting(name)
        await self._impressions.flush()  # so that the search of a quick click is known
        return EventReceipt(len(events), await self._store.put_events(collection, events))

    async def learn(self, name: str) -> Learnt:
        """Fit the click model to all that was recorded, and put its judgments in place of earlier ones from clicks.

        Judgments given by people stay, and count before these. Raises InvalidRequest unless events are collected.
        """
        collection = await self._collecting(name)
        await self._impressions.flush()
        tally, after = ClickTally(), 0
        while page := await self._store.impressions(collection, after=after, limit=PAGE):
            shown = [impression for _, impression in page]
            events = by_search(await self._store.events(collection, [one.search_id for one in shown]))
            await asyncio.to_thread(tally.add, shown, events)
            after = page[-1][0]
        model = await asyncio.to_thread(tally.fit)
        judgments = await asyncio.to_thread(model.judgments)
        await self._store.replace_judgments(collection, JudgmentSource.CLICKS, judgments)
        return Learnt(
            searches=tally.searches,
            clicks=tally.clicks,
            elsewhere=tally.elsewhere,
            judgments=len(judgments),
            queries=len({one.query for one in judgments}),
            examination=tuple(model.examination[:10].tolist()),
        )

    async def report(self, name: str, *, below: int = FEW, limit: int = 100) -> list[QueryReport]:
        """Queries that found fewer than `below` documents in all at least once, the most searched first."""
        if not 1 <= below <= PAGE:
            raise InvalidRequest(f"below is {below}; expected 1 to {PAGE}", field="below")
        if not 1 <= limit <= PAGE:
            raise InvalidRequest(f"limit is {limit}; expected 1 to {PAGE}", field="limit")
        collection = await self._collecting(name)
        await self._impressions.flush()
        return await self._store.report_queries(collection, below=below, limit=limit)

    async def _collecting(self, name: str) -> Collection:
        collection = await self._collection(name)
        if not collection.spec.events:
            raise InvalidRequest(
                f'collection {name!r} collects no events; switch it on: change its settings to {{"events": true}}',
                field="events",
            )
        return collection
