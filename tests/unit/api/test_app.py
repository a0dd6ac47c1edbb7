from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.api import app as app_module
from nearfield.api.app import create_app
from nearfield.domain.errors import InvalidSetting, ModelUnreachable
from nearfield.settings import Settings
from nearfield.wiring import Backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_an_address_outside_loopback_needs_a_key() -> None:
    with pytest.raises(InvalidSetting, match="NEARFIELD_API_KEYS"):
        create_app(Settings.model_validate({"host": "0.0.0.0"}))
    create_app(Settings.model_validate({"host": "0.0.0.0", "api_keys": "secret"}))


async def test_ready_is_red_until_warm_then_green(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    real = Backend.warm

    async def slow(self: Backend) -> None:
        await go.wait()
        await real(self)

    monkeypatch.setattr(Backend, "warm", slow)
    async with service() as (_, client):
        before = await client.get("/readyz")
        assert (before.status_code, before.json()["code"]) == (503, "embedder_unavailable")
        assert before.headers["retry-after"]
        assert (await client.get("/healthz")).status_code == 200
        go.set()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)


async def test_warming_is_tried_again_while_there_is_hope(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0
    real = Backend.warm

    async def second_time_lucky(self: Backend) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ModelUnreachable("no source of weights answered")
        await real(self)

    monkeypatch.setattr(Backend, "warm", second_time_lucky)
    monkeypatch.setattr(app_module, "WARM_AGAIN_S", 0.01)
    async with service() as (_, client), asyncio.timeout(10):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
    assert tries == 2


async def test_while_shutting_down_nothing_new_is_taken_and_what_is_running_is_finished(service: Any) -> None:
    async with service() as (app, client):
        await client.put("/v1/collections/books", json={"embed": "{t}"})
        gate, sent = asyncio.Event(), asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield b'{"id": "1", "t": "first"}\n'
            sent.set()
            await gate.wait()
            yield b'{"id": "2", "t": "second"}\n'

        upload = asyncio.create_task(
            client.post(
                "/v1/collections/books/documents", content=lines(), headers={"content-type": "application/x-ndjson"}
            )
        )
        await sent.wait()
        app.state.traffic.close()
        refused = await client.get("/v1/collections")
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"]
        assert (await client.get("/readyz")).json()["code"] == "shutting_down"
        assert (await client.get("/healthz")).status_code == 200
        assert not await app.state.traffic.drained(0.01)
        gate.set()
        assert (await upload).json()["accepted"] == 2
        assert await app.state.traffic.drained(5)


async def test_a_defect_is_a_500_without_its_text_and_is_logged_with_the_request_id(
    service: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with service() as (app, client):

        async def broken() -> list[object]:
            raise KeyError("the cellar key")

        monkeypatch.setattr(app.state.backend.catalog, "list", broken)
        with caplog.at_level(logging.INFO, "nearfield.api"):
            answer = await client.get("/v1/collections", headers={"x-request-id": "find-me"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == "find-me"
    assert "cellar" not in answer.text
    assert "the cellar key" in caplog.text


async def test_a_large_body_is_parsed_beside_the_event_loop(service: Any) -> None:
    async with service() as (_, client):
        await client.put("/v1/collections/books", json={"embed": "{t}"})
        documents = [{"id": str(n), "t": "word " * 20} for n in range(4_000)]
        answer = await client.post("/v1/collections/books/documents", json=documents)
        assert answer.json()["accepted"] == 4_000


async def test_a_stream_longer_than_the_body_limit_goes_in_whole(service: Any) -> None:
    async with service(max_body_bytes=10_000) as (_, client):
        await client.put("/v1/collections/books", json={"embed": "{t}"})

        async def lines() -> AsyncIterator[bytes]:
            for n in range(3_000):
                yield b'{"id": "%d", "t": "a line of text"}\n{bad}\n' % n

        answer = await client.post(
            "/v1/collections/books/documents", content=lines(), headers={"content-type": "application/x-ndjson"}
        )
        told = answer.json()
        assert (told["accepted"], told["rejected_total"]) == (3_000, 3_000)
        assert [each["line"] for each in told["rejected"]] == list(range(2, 2_002, 2))
        shown = await client.get("/v1/collections/books")
        assert shown.json()["status"]["documents"] == 3_000


async def test_head_has_the_head_of_get_and_no_body(service: Any) -> None:
    async with service() as (_, client):
        got, head = await client.get("/v1/collections"), await client.head("/v1/collections")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_metrics_count_by_template_never_by_path(service: Any) -> None:
    async with service() as (_, client):
        await client.get("/v1/collections/secret-name")
        await client.request("BREW", "/v1/collections/secret-name")
        await client.get("/no/such/path")
        shown = (await client.get("/metrics")).text
    assert "secret-name" not in shown
    assert "/no/such" not in shown
    assert 'method="BREW"' not in shown
    assert 'nearfield_http_requests_total{method="GET",route="/v1/collections/{name}",status="404"}' in shown
    assert 'route="none",status="404"' in shown
