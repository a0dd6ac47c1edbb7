from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from nearfield.api.admission import Lane, Lanes
from nearfield.domain.errors import Overloaded
from nearfield.search.service import SearchService
from nearfield.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from httpx2 import AsyncClient

    from nearfield.domain.hits import Answer

ASKED = {"query": "tale"}
PATH = "/v1/collections/books/search"


def lane(places: int = 1, queue: int = 2, *, longest_s: float = 30.0) -> Lane:
    return Lane("test", places=places, queue=queue, longest_s=longest_s)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Holder:
    """Requests that hold their place until told to let go."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.served: list[int] = []
        self._go: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def ask(self, number: int) -> asyncio.Task[None]:
        self._go[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._hold(number))
        return self.tasks[number]

    async def _hold(self, number: int) -> None:
        async with self.lane.turn():
            self.served.append(number)
            await self._go[number].wait()

    def let_go(self, number: int) -> None:
        self._go[number].set()


async def test_first_come_first_served_and_what_is_beyond_the_queue_is_refused() -> None:
    held = Holder(lane(places=1, queue=2))
    for number in range(4):
        held.ask(number)
    await settled()
    assert held.served == [0]
    assert (held.lane.under_way, held.lane.waiting) == (1, 2)
    with pytest.raises(Overloaded) as refused:
        await held.tasks[3]
    assert refused.value.retry_after_s >= 1
    for number in range(3):
        held.let_go(number)
    await asyncio.gather(*[held.tasks[number] for number in range(3)])
    assert held.served == [0, 1, 2]
    assert (held.lane.under_way, held.lane.waiting) == (0, 0)


async def test_who_is_cancelled_leaves_the_queue_and_makes_room() -> None:
    held = Holder(lane(places=1, queue=2))
    for number in range(3):
        held.ask(number)
    await settled()
    held.tasks[1].cancel()
    await settled()
    assert held.lane.waiting == 1
    held.ask(3)
    held.let_go(0)
    held.let_go(2)
    held.let_go(3)
    await asyncio.gather(held.tasks[2], held.tasks[3])
    assert held.served == [0, 2, 3]


async def test_a_place_given_to_one_that_is_cancelled_in_that_moment_is_passed_on() -> None:
    held = Holder(lane(places=1, queue=2))
    for number in range(3):
        held.ask(number)
    await settled()
    held.let_go(0)
    held.tasks[0].add_done_callback(lambda _: held.tasks[1].cancel())
    await settled()
    held.let_go(2)
    await held.tasks[2]
    assert held.served[-1] == 2
    await settled()
    assert (held.lane.under_way, held.lane.waiting) == (0, 0)


async def test_a_client_that_goes_away_leaves_the_queue() -> None:
    held = Holder(lane(places=1, queue=1))
    held.ask(0)
    await settled()
    hung_up = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def wait() -> None:
        async with held.lane.turn(receive):
            raise AssertionError("no place was free")

    waiting = asyncio.create_task(wait())
    await settled()
    assert held.lane.waiting == 1
    hung_up.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert held.lane.waiting == 0
    held.let_go(0)
    await held.tasks[0]
    assert held.lane.under_way == 0


async def test_who_waits_too_long_is_refused_after_all() -> None:
    held = Holder(lane(longest_s=0.01))
    held.ask(0)
    await settled()
    with pytest.raises(Overloaded, match=r"0\.01 s"):
        await held.ask(1)
    assert held.lane.waiting == 0
    held.let_go(0)
    await held.tasks[0]


@settings(deadline=None, max_examples=50)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["ask", "let_go", "cancel"]), st.integers(0, 20)), max_size=40),
    places=st.integers(1, 3),
    queue=st.integers(0, 3),
    patient=st.booleans(),
)
def test_whatever_happens_the_bounds_hold_and_no_place_is_lost(
    steps: list[tuple[str, int]], places: int, queue: int, *, patient: bool
) -> None:
    """Places are given in order; who was given one runs some turns of the loop later, so only the patient see it."""

    async def run() -> None:
        held = Holder(lane(places=places, queue=queue))
        for step, which in steps:
            number = which % len(held.tasks) if held.tasks else 0
            if step == "ask" or not held.tasks:
                held.ask(len(held.tasks))
            elif step == "let_go":
                held.let_go(number)
            else:
                held.tasks[number].cancel()
            if patient:
                await settled()
            elif which % 2:
                await asyncio.sleep(0)
            assert held.lane.under_way <= places
            assert held.lane.waiting <= queue
        for number in list(held.tasks):
            held.let_go(number)
        await asyncio.gather(*held.tasks.values(), return_exceptions=True)
        assert (held.lane.under_way, held.lane.waiting) == (0, 0)
        if patient:
            assert held.served == sorted(held.served)

    asyncio.run(run())


def test_settings_say_how_many() -> None:
    given = Lanes.of(Settings.model_validate({"search_places": 3, "search_queue": 0}))
    assert (given.search.places, given.search.queue) == (3, 0)
    usual = Lanes.of(Settings())
    assert usual.search.places >= 16
    assert usual.search.queue == 4 * usual.search.places


class Slow:
    """A search service that answers when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.under_way = self.most = 0
        real = SearchService.search

        async def search(service: SearchService, *given: Any, **options: Any) -> Answer:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await self.go.wait()
                return await real(service, *given, **options)
            finally:
                self.under_way -= 1

        monkeypatch.setattr(SearchService, "search", search)


async def until(app: FastAPI, *, under_way: int, waiting: int) -> None:
    lane = app.state.lanes.search
    async with asyncio.timeout(30):
        while (lane.under_way, lane.waiting) != (under_way, waiting):
            await asyncio.sleep(0.005)


async def filled(client: AsyncClient) -> None:
    await client.put("/v1/collections/books", json={"embed": "{t}"})
    answer = await client.post("/v1/collections/books/documents", json=[{"id": "1", "t": "a tale"}])
    assert answer.status_code == 200


async def test_under_overload_searches_are_refused_and_everything_else_goes_on(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(search_places=2, search_queue=3) as (app, client):
        await filled(client)
        slow = Slow(monkeypatch)
        taken = [asyncio.create_task(client.post(PATH, json=ASKED)) for _ in range(5)]
        await until(app, under_way=2, waiting=3)
        for path, asked in (
            (PATH, ASKED),
            ("/v1/collections/books/similar", {"ids": ["1"]}),
            ("/v1/search", {"searches": [{"collection": "books", **ASKED}]}),
            (PATH, {"no": "search at all"}),  # refused before it is read
        ):
            refused = await client.post(path, json=asked)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) >= 1
        written = await client.post("/v1/collections/books/documents", json=[{"id": "2", "t": "another tale"}])
        assert written.status_code == 200
        assert (await client.get("/v1/collections/books/documents/2")).status_code == 200
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.post("/v1/embeddings", json={"input": "tale"})).status_code == 200
        told = (await client.get("/metrics")).text
        assert 'nearfield_requests_waiting{lane="search"} 3.0' in told
        assert 'nearfield_requests_under_way{lane="search"} 2.0' in told
        assert 'nearfield_refused_total{lane="search"}' in told
        slow.go.set()
        assert {answer.status_code for answer in await asyncio.gather(*taken)} == {200}
        assert slow.most == 2
        await until(app, under_way=0, waiting=0)
        assert (await client.post(PATH, json=ASKED)).status_code == 200


async def test_each_search_of_a_multi_search_has_its_own_place(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(search_places=1, search_queue=3) as (app, client):
        await filled(client)
        slow = Slow(monkeypatch)
        asked = {"searches": [{"collection": "books", **ASKED}] * 6}
        answering = asyncio.create_task(client.post("/v1/search", json=asked))
        await until(app, under_way=1, waiting=3)
        slow.go.set()
        answers = (await answering).json()["answers"]
        assert [one["status"] for one in answers] == [200] * 6
        assert slow.most == 1


async def test_a_search_that_fails_gives_its_place_back(service: Any) -> None:
    async with service(search_places=1, search_queue=0) as (app, client):
        for _ in range(3):
            assert (await client.post("/v1/collections/nobody/search", json=ASKED)).status_code == 404
        assert app.state.lanes.search.under_way == 0
