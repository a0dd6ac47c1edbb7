"""How many searches are under way and how many wait; what comes beyond is refused at once, before it is read.

A search that is refused costs a fraction of a millisecond, one that is taken in costs several. So under any load a
search takes (places + queue) / throughput at most, where an unbounded queue grows until clients give up and ask again.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from starlette.requests import ClientDisconnect

from nearfield.api.reading import JsonRequest, JsonRoute
from nearfield.domain.errors import Overloaded
from nearfield.observe import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive

    from nearfield.settings import Settings

PLACES_A_CORE: Final = 16
"""On two cores 32: a batch of the embedder's (which takes 32 queries) while those of the batch before are searched."""
QUEUE_A_PLACE: Final = 4
"""On two cores 128 wait: at 200 searches a second the last of them is answered within 0.8 s."""
LONGEST_RETRY_S: Final = 60
_PACE: Final = 0.1  # weight of the latest interval in the mean


class Lane:
    """A bounded number of requests under way and a bounded queue before them, first come, first served.

    Used on one event loop. longest_s: the longest that one waits before it is refused after all.
    """

    def __init__(self, name: str, *, places: int, queue: int, longest_s: float) -> None:
        """places: at least 1. queue: 0 or more."""
        self.name, self.places, self.queue = name, places, queue
        self._longest_s = longest_s
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._under_way = 0
        self._left_at = 0.0
        self._interval_s = 0.0  # between two that end, while others wait
        self._seconds = metrics.QUEUE_SECONDS.labels(name)
        self._refused = metrics.REFUSED.labels(name)

    @property
    def under_way(self) -> int:
        """Requests that have a place."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def check(self) -> None:
        """Raise Overloaded where `turn` would at once."""
        if self._under_way >= self.places and self.waiting >= self.queue:
            raise self._overloaded(f"{self.waiting} {self.name} requests wait already and {self._under_way} run")

    @asynccontextmanager
    async def turn(self, receive: Receive | None = None) -> AsyncIterator[None]:
        """A place, once it is this request's turn.

        receive: of a request whose body was read to its end; a client that goes away then leaves the queue.
        Raises Overloaded, ClientDisconnect.
        """
        if self._under_way < self.places:  # then nobody waits
            self._under_way += 1
            self._seconds.observe(0)
        else:
            self.check()
            await self._wait(receive)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, receive: Receive | None) -> None:
        began = perf_counter()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        gone = None if receive is None else asyncio.ensure_future(receive())
        try:
            both: set[asyncio.Future[Any]] = {turn} if gone is None else {turn, gone}
            await asyncio.wait(both, timeout=self._longest_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._withdraw(turn)
            raise
        finally:
            if gone is not None and not gone.done():
                gone.cancel()
        if gone is not None and gone.done() and not gone.cancelled():
            self._withdraw(turn)
            raise ClientDisconnect
        if not turn.done():
            self._withdraw(turn)
            raise self._overloaded(f"no place came free within {self._longest_s:g} s")
        self._seconds.observe(perf_counter() - began)

    def _withdraw(self, turn: asyncio.Future[None]) -> None:
        if turn.done():  # it was given its place in this very moment
            self._leave()
        else:
            del self._waiting[turn]

    def _leave(self) -> None:
        now = perf_counter()
        if self._waiting:
            self._interval_s += _PACE * (min(now - self._left_at, self._longest_s) - self._interval_s)
            first, _ = self._waiting.popitem(last=False)
            first.set_result(None)
        else:
            self._under_way -= 1
        self._left_at = now

    def _overloaded(self, detail: str) -> Overloaded:
        """Who is refused may come again when those who wait now will have been answered, at the pace of the last."""
        self._refused.inc()
        seconds = math.ceil(self.waiting * self._interval_s)
        return Overloaded(f"{detail}; try again later", retry_after_s=max(1, min(seconds, LONGEST_RETRY_S)))


class AdmittedRoute(JsonRoute):
    """A route whose requests wait for their turn in a lane. What cannot be taken in is refused before it is parsed."""

    lane: ClassVar[str]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def wait_then_handle(given: Request) -> Response:
            request = JsonRequest.of(given)
            found = await self.answer_at_once(request)
            if found is not None:
                return found
            lane: Lane = getattr(request.app.state.lanes, self.lane)
            lane.check()
            await request.body()  # before the turn: a place is not held while a slow client sends
            async with lane.turn(request.receive):
                return await handle(request)

        return wait_then_handle

    async def answer_at_once(self, request: JsonRequest) -> Response | None:
        """An answer that needs no place; None where there is none."""
        return None


class SearchRoute(AdmittedRoute):
    """One search."""

    lane = "search"


class EmbeddingsRoute(AdmittedRoute):
    """One request for embeddings."""

    lane = "embeddings"


@dataclass(frozen=True, slots=True)
class Lanes:
    """Kinds of requests that do not wait for each other; what has no lane is never refused.

    search: searches, one place each, those of a multi-search too. embeddings: requests for embeddings, which share the
    processor with searches but not their queue.
    """

    search: Lane
    embeddings: Lane

    @classmethod
    def of(cls, settings: Settings) -> Lanes:
        places = settings.search_places or PLACES_A_CORE * (os.cpu_count() or 1)
        queue = QUEUE_A_PLACE * places if settings.search_queue is None else settings.search_queue
        longest_s = settings.wait_timeout_s
        return cls(
            search=Lane("search", places=places, queue=queue, longest_s=longest_s),
            embeddings=Lane("embeddings", places=places, queue=queue, longest_s=longest_s),
        )

    def readings(self) -> list[metrics.Reading]:
        """What is under way and what waits, for Prometheus."""
        lanes = (self.search, self.embeddings)
        under_way: dict[tuple[str, ...], float] = {(lane.name,): float(lane.under_way) for lane in lanes}
        waiting: dict[tuple[str, ...], float] = {(lane.name,): float(lane.waiting) for lane in lanes}
        return [
            metrics.gauge("nearfield_requests_under_way", "Requests that have a place.", ("lane",), under_way),
            metrics.gauge("nearfield_requests_waiting", "Requests in the queue before them.", ("lane",), waiting),
        ]
