from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearfield.search.service import SearchService

if TYPE_CHECKING:
    from httpx2 import AsyncClient

PATH = "/v1/collections/shop/search"
ASKED = {"query": "desk lamp", "filter": {"price": {"$lte": 50}}, "fields": ["name"]}
OWN = {"took_ms", "request_id", "plan"}


@pytest.fixture
def recalled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each search was answered without being parsed."""
    seen: list[bool] = []
    real = SearchService.recall

    async def recall(service: SearchService, name: str, spelled: bytes) -> Any:
        found = await real(service, name, spelled)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(SearchService, "recall", recall)
    return seen


async def repeated(client: AsyncClient, body: dict[str, Any], recalled: list[bool]) -> list[dict[str, Any]]:
    """The answers to the same body, sent until one was kept and sent again. Readers may be at work for some of them."""
    found = []
    for _ in range(200):
        answer = await client.post(PATH, json=body)
        assert answer.status_code == 200
        found.append(answer.json())
        if recalled[-1]:
            return found
    raise AssertionError("no answer was kept")


async def filled(client: AsyncClient) -> None:
    body = {"embed": "{name}", "fields": {"price": "float"}, "events": True}
    await client.put("/v1/collections/shop", json=body)
    lamps = [{"id": str(n), "name": f"desk lamp {n}", "price": 10.0 * n} for n in range(8)]
    written = await client.post("/v1/collections/shop/documents", json=lamps)
    for _ in range(4):  # until rules and words are read
        await client.post(PATH, json={"query": "lamp", "limit": 1, "min_seq": written.json()["seq"]})


async def test_the_same_body_is_answered_alike_without_being_parsed(service: Any, recalled: list[bool]) -> None:
    async with service(search_timeout_s=120) as (_, client):
        await filled(client)
        recalled.clear()
        answers = [await client.post(PATH, json=ASKED) for _ in range(4)]
        assert recalled == [False, False, True, True]
        bodies = [answer.json() for answer in answers]
        for one in bodies[1:]:
            assert {k: v for k, v in one.items() if k not in OWN} == {
                k: v for k, v in bodies[0].items() if k not in OWN
            }
            assert one["plan"] == bodies[0]["plan"] | {"cached": True}
            assert list(one) == list(bodies[0])
        assert len({one["request_id"] for one in bodies}) == 4
        assert all(one["took_ms"] > 0 for one in bodies)
        assert answers[3].headers["content-type"] == answers[0].headers["content-type"]
        named = await client.post(PATH, json=ASKED, headers={"x-request-id": "mine"})
        assert named.json()["request_id"] == "mine"
        assert 'nearfield_answer_cache_total{outcome="hit"}' in (await client.get("/metrics")).text


async def test_a_write_is_seen_by_the_next_search(service: Any, recalled: list[bool]) -> None:
    async with service(search_timeout_s=120) as (_, client):
        await filled(client)
        best = (await repeated(client, ASKED, recalled))[-1]["hits"][0]["id"]
        deleted = await client.delete(f"/v1/collections/shop/documents/{best}")
        assert deleted.status_code == 200
        for one in await repeated(client, ASKED, recalled):
            assert best not in {hit["id"] for hit in one["hits"]}
        written = await client.post(
            "/v1/collections/shop/documents", json=[{"id": "n", "name": "desk lamp", "price": 1}]
        )
        own = ASKED | {"min_seq": written.json()["seq"]}
        for one in await repeated(client, own, recalled):
            assert "n" in {hit["id"] for hit in one["hits"]}


async def test_shown_hits_are_noted_each_time(service: Any, recalled: list[bool]) -> None:
    async with service(search_timeout_s=120) as (_, client):
        await filled(client)
        found = await repeated(client, ASKED, recalled)
        events = [
            {"search_id": one["request_id"], "document_id": one["hits"][0]["id"], "kind": "click"} for one in found
        ]
        told = await client.post("/v1/collections/shop/events", json={"events": events})
        assert told.json() == {"accepted": len(found), "unmatched": 0}


async def test_what_the_route_refuses_is_refused_still(service: Any) -> None:
    async with service(search_timeout_s=120) as (_, client):
        await filled(client)
        for _ in range(3):
            answer = await client.post(PATH, json=ASKED)
        body = answer.request.content
        assert (await client.post(PATH, content=body, headers={"content-type": "text/plain"})).status_code == 415
        assert (await client.post(f"{PATH}?limit=3", json=ASKED)).status_code == 422
        assert (await client.post("/v1/collections/other/search", json=ASKED)).status_code == 404
        alike = await client.post("/v1/collections/shop/similar", content=body, headers=dict(answer.request.headers))
        assert alike.status_code == 422
