"""A server that keeps vectors is down, slow, or talks nonsense: what the service answers, and that it heals."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.engines.doors import WORDLESS, Door, DoorEngine

from nearfield import wiring
from nearfield.indexing import generations, indexer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import httpx2
    from tests.unit.api.conftest import Service

    Shops = Callable[..., AbstractAsyncContextManager["Shop"]]

ROWS = [
    {"id": "1", "name": "lamp", "text": "a warm red lamp", "price": 10.0},
    {"id": "2", "name": "chair", "text": "a steel chair", "price": 20.0},
    {"id": "3", "name": "desk", "text": "a red desk", "price": 30.0},
]
BODY = {"embed": "{name}: {text}", "fields": {"price": "float"}, "index": {"kind": "flat"}}


@dataclass(slots=True)
class Shop:
    """Two collections: `shop` on the server behind the door, `home` in the process."""

    client: httpx2.AsyncClient
    door: Door

    async def get(self, path: str) -> Any:
        return (await self.client.get(path)).json()

    async def search(self, status: int = 200, name: str = "shop", **ask: Any) -> Any:
        answer = await self.client.post(f"/v1/collections/{name}/search", json={"query": "red lamp", **ask})
        assert answer.status_code == status, answer.text
        if status == 503:
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"] == "engine_unavailable"
        return answer.json()

    async def write(self, *rows: Any, name: str = "shop") -> int:
        answer = await self.client.post(f"/v1/collections/{name}/documents", json=list(rows))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["seq"])

    async def settled(self, name: str = "shop") -> Any:
        """The collection's status once nothing is pending and it stands still no more."""
        async with asyncio.timeout(20):
            while True:
                status = (await self.get(f"/v1/collections/{name}"))["status"]
                if not status["pending"] and status["indexing_error"] is None:
                    return status
                await asyncio.sleep(0.02)


@pytest.fixture
def shops(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
    known = wiring.engine_class
    monkeypatch.setattr(wiring, "engine_class", lambda name: DoorEngine if name == "door" else known(name))
    monkeypatch.setattr(indexer, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(indexer, "RETRY_MOST_S", 0.1)
    monkeypatch.setattr(generations, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(DoorEngine, "timeout_s", 60.0)
    place = tmp_path / "server"

    @asynccontextmanager
    async def start(*, degraded: str | None = None, state: str = "open") -> AsyncIterator[Shop]:
        door = DoorEngine.doors.setdefault(str(place), Door())
        door.state = state  # type: ignore[assignment]
        async with service(search_timeout_s=4.0, wait_timeout_s=10.0) as (_, client):
            shop = Shop(client, door)
            if (await client.get("/v1/collections/shop")).status_code == 404:
                there = BODY | {"engine": f"door+http://server{place}", "degraded": degraded}
                for name, body in (("shop", there), ("home", BODY)):
                    assert (await client.put(f"/v1/collections/{name}", json=body)).status_code in (200, 201)
                    await shop.write(*ROWS, name=name)
                    await shop.settled(name)
            yield shop
            door.state = "open"

    return start


@pytest.mark.parametrize("state", ["shut", "hangs", "garbage"])
async def test_a_search_by_meaning_is_told_and_others_go_on(shops: Shops, state: Any) -> None:
    async with shops() as shop:
        before = await shop.search()
        assert not before["plan"]["degraded"]
        assert "words were searched in an index beside the engine" in before["plan"]["notes"]
        shop.door.state = state
        for mode in ("hybrid", "semantic"):
            await shop.search(503, mode=mode)
        by_words = await shop.search(mode="lexical", filter={"price": {"$lt": 20}})
        assert [hit["id"] for hit in by_words["hits"]] == ["1"]
        assert not by_words["plan"]["degraded"]
        assert len((await shop.search(name="home"))["hits"]) == 3
        assert (
            len((await shop.search(query=None, filter={"price": {"$gt": 15}}))["hits"]) == 2
        )  # a listing needs no index
        status = (await shop.get("/v1/collections/shop"))["status"]
        assert status["engine_down"]
        assert "does not answer" in status["indexing_error"]
        shop.door.state = "open"
        async with asyncio.timeout(10):
            while (
                await shop.client.post("/v1/collections/shop/search", json={"query": "red lamp"})
            ).status_code != 200:
                await asyncio.sleep(0.02)
        assert (await shop.search())["hits"] == before["hits"]
        assert (await shop.settled())["engine_down"] is False


@pytest.mark.parametrize("state", ["shut", "hangs", "garbage"])
async def test_words_answer_alone_where_the_collection_allows_it(shops: Shops, state: Any) -> None:
    async with shops(degraded="lexical") as shop:
        shop.door.state = state
        for mode in ("hybrid", "semantic"):
            answer = await shop.search(mode=mode, filter={"price": {"$lt": 20}}, diversity=0.5)
            assert [hit["id"] for hit in answer["hits"]] == ["1"]
            plan = answer["plan"]
            assert plan["degraded"]
            assert (plan["mode"], plan["access"], plan["fusion"]) == ("lexical", "none", None)
            assert any("does not answer: words alone decided" in note for note in plan["notes"])
            assert any("not made diverse" in note for note in plan["notes"])
        told = await shop.search(limit=1)
        rest = await shop.search(limit=5, cursor=told["cursor"])
        assert rest["plan"]["degraded"]
        assert sorted(hit["id"] for hit in told["hits"] + rest["hits"]) == ["1", "3"]
        await shop.search(503, query=None, vector=[1.0] + [0.0] * 255)  # a vector has no words
        similar = await shop.client.post("/v1/collections/shop/similar", json={"ids": ["1"]})
        assert similar.status_code == 503


async def test_pages_begun_with_meaning_do_not_go_on_without(shops: Shops) -> None:
    async with shops(degraded="lexical") as shop:
        rows = [{"id": f"n{i}", "name": "red lamp", "text": f"number {i}", "price": 1.0} for i in range(120)]
        await shop.write(*rows)
        await shop.settled()
        first = await shop.search(limit=2)
        shop.door.state = "shut"
        second = await shop.client.post(
            "/v1/collections/shop/search", json={"query": "red lamp", "limit": 110, "cursor": first["cursor"]}
        )
        assert second.status_code == 503
        shop.door.state = "open"


async def test_it_is_switched_on_for_a_collection_that_exists(shops: Shops) -> None:
    async with shops() as shop:
        assert (await shop.client.patch("/v1/collections/shop", json={"degraded": "lexical"})).status_code == 200
        shop.door.state = "shut"
        assert (await shop.search())["plan"]["degraded"]
        answer = await shop.client.patch("/v1/collections/shop", json={"degraded": None})
        assert answer.status_code == 200, answer.text
        await shop.search(503)
        refused = await shop.client.patch("/v1/collections/shop", json={"degraded": "semantic"})
        assert refused.status_code == 422
        assert "expected one of lexical" in refused.json()["detail"]


async def test_an_engine_with_words_gets_them_beside_where_they_may_answer(
    shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DoorEngine, "capabilities", replace(WORDLESS, lexical=True))
    async with shops() as shop:
        shop.door.claims = replace(WORDLESS, lexical=True)
        assert (await shop.search())["plan"]["notes"] == []
        shop.door.state = "shut"
        await shop.search(503, mode="lexical")
        shop.door.state = "open"
        assert (await shop.client.patch("/v1/collections/shop", json={"degraded": "lexical"})).status_code == 200
        async with asyncio.timeout(20):  # filled from the store, the vectors left as they are
            while (await shop.search(mode="lexical"))["plan"]["notes"] != [
                "words were searched in an index beside the engine"
            ]:
                await asyncio.sleep(0.02)
        upserts = shop.door.calls["upsert"]
        shop.door.state = "shut"
        answer = await shop.search()
        assert answer["plan"]["degraded"]
        assert sorted(hit["id"] for hit in answer["hits"]) == ["1", "3"]
        assert shop.door.calls["upsert"] == upserts
        shop.door.claims = WORDLESS


async def test_writes_wait_and_are_applied_when_it_is_back(shops: Shops, caplog: pytest.LogCaptureFixture) -> None:
    async with shops(degraded="lexical") as shop:
        shop.door.state = "shut"
        seq = await shop.write({"id": "4", "name": "red lamp", "text": "another", "price": 5.0})
        await shop.client.delete("/v1/collections/shop/documents/1")
        async with asyncio.timeout(10):
            while "stands still" not in caplog.text:
                await asyncio.sleep(0.02)
        caplog.clear()
        with caplog.at_level(logging.INFO, "nearfield.indexing"):
            await asyncio.sleep(1.0)  # ten tries
        assert not [one for one in caplog.records if one.name == "nearfield.indexing"]
        status = (await shop.get("/v1/collections/shop"))["status"]
        assert (status["pending"], status["documents"]) == (2, 3)
        assert [hit["id"] for hit in (await shop.search())["hits"]] == ["3"]  # 1 is deleted in the store already
        shop.door.state = "open"
        await shop.settled()
        hits = (await shop.search(min_seq=seq))["hits"]
        assert sorted(hit["id"] for hit in hits) == ["2", "3", "4"]


async def test_a_service_started_while_it_is_down_answers_and_heals(shops: Shops) -> None:
    async with shops(degraded="lexical"):
        pass
    async with shops(state="shut") as shop:
        async with asyncio.timeout(20):
            while (await shop.client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        assert len((await shop.search(name="home"))["hits"]) == 3
        answer = await shop.search()
        assert answer["plan"]["degraded"]
        assert sorted(hit["id"] for hit in answer["hits"]) == ["1", "3"]
        await shop.write({"id": "5", "name": "red lamp", "text": "new", "price": 5.0})
        shop.door.state = "open"
        await shop.settled()
        assert len((await shop.search())["hits"]) == 4


async def test_an_index_that_the_server_lost_meanwhile_is_built_again(shops: Shops, tmp_path: Path) -> None:
    async with shops():
        pass
    for index in (tmp_path / "server").iterdir():
        (index / "spec.json").unlink()
    async with shops(state="shut") as shop:
        await shop.search(503)
        shop.door.state = "open"
        async with asyncio.timeout(20):
            while (await shop.client.post("/v1/collections/shop/search", json={"query": "lamp"})).status_code != 200:
                await asyncio.sleep(0.02)
        await shop.settled()
        assert len((await shop.search())["hits"]) == 3


async def test_an_engine_that_is_down_is_named_for_those_who_watch(shops: Shops, tmp_path: Path) -> None:
    async with shops() as shop:
        name = f"door+http://server{tmp_path / 'server'}"
        await shop.search()
        assert f'nearfield_engine_up{{engine="{name}"}} 1.0' in (await shop.client.get("/metrics")).text
        shop.door.state = "shut"
        await shop.search(503)
        async with asyncio.timeout(5):
            metrics = (await shop.client.get("/metrics")).text
        assert f'nearfield_engine_up{{engine="{name}"}} 0.0' in metrics
        assert 'nearfield_collection_documents{collection="home"} 3.0' in metrics
        ready = await shop.client.get("/readyz")
        assert (ready.status_code, ready.json()["engines_down"]) == (200, [name])


async def test_no_collection_is_made_on_a_server_that_is_down(shops: Shops, tmp_path: Path) -> None:
    async with shops() as shop:
        shop.door.state = "shut"
        body = BODY | {"engine": f"door+http://server{tmp_path / 'server'}"}
        refused = await shop.client.put("/v1/collections/other", json=body)
        assert refused.status_code == 503
        shop.door.state = "open"
        assert (await shop.client.get("/v1/collections/other")).status_code == 404
