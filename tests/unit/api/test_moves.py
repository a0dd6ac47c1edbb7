from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2
    from tests.unit.api.conftest import Service

BOOKS = "/v1/collections/books"
OF = f"{BOOKS}/generations"


async def until_shadowed(client: httpx2.AsyncClient, asked: int) -> None:
    """A shadow is behind the answer it shadows."""
    async with asyncio.timeout(20):
        while True:
            shadow = (await client.get(f"{OF}/2")).json()["shadow"]
            if shadow["asked"] == asked and shadow["shadow_ms"] > 0:
                return
            await asyncio.sleep(0.01)


async def test_a_move_in_steps_over_http(service: Service) -> None:
    async with service(search_timeout_s=30) as (_, client):
        spec = {"embed": "{text}", "fields": {"n": "int"}}
        assert (await client.put(BOOKS, json=spec)).status_code == 201
        rows = [{"id": str(n), "text": f"book number {n}", "n": n} for n in range(50)]
        await client.post(f"{BOOKS}/documents", json=rows)

        planned = (await client.post(f"{OF}/estimate", json={"engine": "local", "price": 1.0})).json()
        assert (planned["to"]["engine"], planned["documents"]) == ("local", 50)
        begun = await client.post(OF, json={"engine": "local"})
        assert (begun.status_code, begun.json()["number"], begun.json()["state"]) == (202, 2, "building")
        other = await client.post(OF, json={"engine": "local", "index": {"m": 32}})
        assert (other.status_code, other.json()["code"]) == (409, "move_under_way")
        early = await client.post(f"{OF}/2/switch")
        assert (early.status_code, early.json()["code"]) == (409, "generation_not_ready")

        verified = (await client.post(f"{OF}/2/verify", json={"questions": 20})).json()
        assert verified["passed"], verified["gates"]
        assert verified["queries"] == 20
        shown = (await client.get(f"{OF}/2")).json()
        assert (shown["state"], shown["pending"], shown["report"]["passed"]) == ("ready", 0, True)
        assert shown["shadow"] is None
        assert (await client.post(f"{OF}/2/shadow", json={"share": 1.0})).status_code == 204
        for n in range(5):
            await client.post(f"{BOOKS}/search", json={"query": f"number {n}"})
            await until_shadowed(client, n + 1)
        assert (await client.post(f"{OF}/2/shadow", json={"share": 0.0})).status_code == 204
        await client.post(f"{BOOKS}/search", json={"query": "number 9"})
        shadow = (await client.get(f"{OF}/2")).json()["shadow"]
        assert (shadow["asked"], shadow["failed"], shadow["missed"]) == (5, 0, 0)
        assert 0 < shadow["overlap"] <= 1  # many books are as near as one another
        moved = (await client.post(f"{OF}/2/switch")).json()
        assert moved["engine"] == "local"
        answer = (await client.post(f"{BOOKS}/search", json={"query": "number 7"})).json()
        assert answer["plan"]["generation"] == 2
        again = await client.put(BOOKS, json=spec)  # a program that makes its collection at every start
        assert (again.status_code, again.json()["engine"]) == (200, "local")

        assert (await client.post(f"{OF}/rollback")).json() == {"generation": 1}
        assert (await client.get(BOOKS)).json()["engine"] == "exact"
        assert (await client.delete(f"{OF}/2")).status_code == 204
        gone = await client.post(f"{OF}/rollback")
        assert (gone.status_code, gone.json()["code"]) == (404, "generation_not_found")
        assert (await client.delete(f"{OF}/1")).status_code == 404
        states = {one["number"]: one["state"] for one in (await client.get(OF)).json()["generations"]}
        assert states[1] == "live"
