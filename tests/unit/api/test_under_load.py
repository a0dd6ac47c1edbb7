from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.api.server import favour_requests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2

DOCUMENTS = 10_000
LONGEST_SEARCH_S = 2.0
LONGEST_STALL_S = 0.1
TICK_S = 0.005
ATTEMPTS = 3
DICE = random.Random(7)
WORDS = [f"word{n}" for n in range(3_000)]


async def lines() -> AsyncIterator[bytes]:
    """The documents as a client sends them: some at a time, as fast as they are taken."""
    for start in range(0, DOCUMENTS, 50):
        yield b"".join(
            json.dumps({"id": str(n), "text": " ".join(DICE.choices(WORDS, k=45)), "price": n % 500}).encode() + b"\n"
            for n in range(start, start + 50)
        )
        await asyncio.sleep(0)


async def tick(stalls: list[float]) -> None:
    """How much later than asked the event loop woke us, each time."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK_S)
        stalls.append(time.perf_counter() - before - TICK_S)


async def ask(client: httpx2.AsyncClient, shop: str, waits: list[float], statuses: set[int]) -> None:
    dice = random.Random(id(waits))
    while True:
        body: dict[str, Any] = {"query": " ".join(dice.choices(WORDS, k=4)), "limit": 10}
        if dice.random() < 0.5:
            body["filter"] = {"price": {"$lte": dice.choice([5, 50, 250])}}
        before = time.perf_counter()
        answer = await client.post(f"/v1/collections/{shop}/search", json=body)
        waits.append(time.perf_counter() - before)
        statuses.add(answer.status_code)
        await asyncio.sleep(0.01)


@pytest.fixture
def favoured() -> Iterator[None]:
    """The interpreter as `serve` sets it up."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    favour_requests()
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.heavy
async def test_searches_go_on_while_documents_come_in_and_the_index_is_optimised(service: Any, favoured: None) -> None:
    for attempt in range(ATTEMPTS):  # a neighbour on the machine may take the cores for a while
        slowest, stall = await under_load(service, f"shop{attempt}")
        print(f"attempt {attempt}: slowest search {slowest:.3f} s, longest stall {stall:.3f} s")
        if slowest < LONGEST_SEARCH_S and stall < LONGEST_STALL_S:
            return
    pytest.fail(f"in {ATTEMPTS} attempts a search took {slowest:.3f} s or the event loop stalled {stall:.3f} s")


async def under_load(service: Any, shop: str) -> tuple[float, float]:
    """The slowest search and the longest stall, in seconds. No search may fail and no write be lost at any speed."""
    async with service(engine="local", optimize_after=4_000) as (app, client):
        spec = {"embed": "{text}", "fields": {"price": "int"}}
        assert (await client.put(f"/v1/collections/{shop}", json=spec)).status_code == 201
        first = await client.post(f"/v1/collections/{shop}/documents", json=[{"id": "0", "text": "word1", "price": 0}])
        await client.post(f"/v1/collections/{shop}/search", json={"query": "word1", "min_seq": first.json()["seq"]})
        stalls: list[float] = []
        waits: list[float] = []
        statuses: set[int] = set()
        around = [
            asyncio.create_task(tick(stalls)),
            *(asyncio.create_task(ask(client, shop, waits, statuses)) for _ in "ab"),
        ]
        taken = await client.post(
            f"/v1/collections/{shop}/documents", content=lines(), headers={"content-type": "application/x-ndjson"}
        )
        assert taken.json()["accepted"] == DOCUMENTS
        await app.state.backend.documents.wait(shop, timeout_s=300)
        await app.state.backend.catalog.optimize(shop)
        for each in around:
            each.cancel()
        await asyncio.gather(*around, return_exceptions=True)
        status = (await client.get(f"/v1/collections/{shop}")).json()["status"]
    assert (status["documents"], status["pending"]) == (DOCUMENTS, 0)
    assert statuses == {200}
    assert len(waits) > 20
    return max(waits), max(stalls)
