"""Runs the golden files beside it: each says why it exists, what is sent, and what must come back.

given: what was there before: `books` (five documents, searchable), `ready`, `wait`, or a request that must succeed.
settings: other than the usual. send: method, url, headers, and a body as json or text.
expect: status, headers and json (a part of the answer; lists have the same length), text (the whole body), contains
(pieces of the body), absent (dotted paths), nowhere (a value no element of a list has). In json and headers
`<int>`, `<float>`, `<str>` and `<list>` stand for any of their kind, `~ …` for a regular expression of the whole value.

Beyond what a file says: every problem has the form of RFC 9457 with our members, and every other answer is read back
through the model under which /openapi.json describes it.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import yaml
from starlette.routing import Match

from nearfield.api.app import create_app
from nearfield.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

HERE = Path(__file__).parent
GOLDEN = sorted(HERE.glob("*/*.yaml"))
KINDS = {"<int>": int, "<float>": float, "<str>": str, "<list>": list}

BOOKS_SPEC = {
    "embed": "{title}: {text}",
    "fields": {"year": "int", "price": "float", "tags": "keyword[]", "author": "keyword"},
}
BOOKS = [
    {"id": "moon", "title": "Moon", "text": "The landing and what came before", "year": 1989, "tags": ["sky", "space"]},
    {
        "id": "stars",
        "title": "Stars",
        "text": "Stars and their names",
        "year": 2005,
        "price": 12.5,
        "tags": ["sky"],
        "author": "Ada",
    },
    {"id": "fire", "title": "Fire", "text": "Life beside a volcano", "year": 2011, "tags": ["earth"]},
    {"id": "bread", "title": "Bread", "text": "Baking with sourdough", "year": 2019, "price": 20.0, "author": "Bo"},
    {"id": "tea", "title": "Tea", "text": "Leaves and water", "year": 1975, "price": 5.0, "author": "Chen"},
]


@asynccontextmanager
async def running(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    """An application over a data directory of its own, and a client for it."""
    usual = {"embedder": "hashing", "engine": "exact", "environment": "test", "data_dir": tmp_path / "data"}
    app = create_app(Settings.model_validate(usual | settings))
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service", timeout=30) as client:
            yield app, client


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_golden(path: Path, tmp_path: Path) -> None:
    golden = yaml.safe_load(path.read_text("utf-8"))
    assert golden.keys() <= {"why", "settings", "given", "send", "expect"}, "unknown key in the file"
    async with running(tmp_path, **golden.get("settings", {})) as (app, client):
        for step in golden.get("given", []):
            await prepare(app, client, step)
        response = await send(client, golden["send"])
        check(app, golden["send"], golden["expect"], response)


async def prepare(app: FastAPI, client: httpx2.AsyncClient, step: str | dict[str, Any]) -> None:
    match step:
        case "books":
            await prepare(app, client, {"method": "PUT", "url": "/v1/collections/books", "json": BOOKS_SPEC})
            await prepare(app, client, {"method": "POST", "url": "/v1/collections/books/documents", "json": BOOKS})
            await app.state.backend.documents.wait("books")
        case "wait":
            for collection in await app.state.backend.catalog.list():
                await app.state.backend.documents.wait(collection.name)
        case "ready":
            await app.state.backend.warm()
        case dict():
            response = await send(client, step)
            assert response.is_success, response.text
        case _:
            raise AssertionError(f"unknown step {step!r}")


async def send(client: httpx2.AsyncClient, request: dict[str, Any]) -> httpx2.Response:
    assert request.keys() <= {"method", "url", "headers", "json", "text"}, "unknown key in send"
    body: dict[str, Any] = {}
    if "json" in request:
        body["json"] = request["json"]
    if "text" in request:
        body["content"] = request["text"].encode()
    return await client.request(request["method"], request["url"], headers=request.get("headers"), **body)


def check(app: FastAPI, request: dict[str, Any], expect: dict[str, Any], response: httpx2.Response) -> None:
    assert expect.keys() <= {"status", "headers", "json", "text", "contains", "absent", "nowhere"}
    assert response.status_code == expect["status"], response.text
    for name, wanted in expect.get("headers", {}).items():
        agree(wanted, response.headers.get(name), name)
    if "json" in expect:
        agree(expect["json"], response.json(), "body")
    if "text" in expect:
        assert response.text == expect["text"]
    for piece in expect.get("contains", []):
        assert piece in response.text
    for place in expect.get("absent", []):
        assert not present(response.json(), place.split(".")), f"{place} is there"
    for place, value in expect.get("nowhere", {}).items():
        name, _, key = place.rpartition(".")
        assert value not in [each[key] for each in response.json()[name]]
    if response.status_code >= 400:
        check_problem(response)
    elif response.headers.get("content-type") == "application/json" and request["method"] != "HEAD":
        check_described(app, request, response)


def check_problem(response: httpx2.Response) -> None:
    told = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert told.keys() >= {"type", "title", "status", "code", "detail", "field", "request_id"}
    assert told["status"] == response.status_code
    assert told["type"] == f"urn:nearfield:error:{told['code']}"
    assert told["request_id"] == response.headers["x-request-id"]
    assert told["detail"][0] == told["detail"][0].lower()


def check_described(app: FastAPI, request: dict[str, Any], response: httpx2.Response) -> None:
    """Read an answer back through the model that describes it."""
    scope = {"type": "http", "method": request["method"], "path": request["url"].partition("?")[0]}
    route = next(each for each in app.router.routes if each.matches(scope)[0] is Match.FULL)
    model = getattr(route, "responses", {})[response.status_code]["model"]
    model.model_validate_json(response.content)


def agree(wanted: Any, got: Any, where: str) -> None:
    """Assert that `got` holds all that `wanted` says."""
    match wanted:
        case dict():
            assert isinstance(got, dict), f"{where}: {got!r}"
            for name, value in wanted.items():
                assert name in got, f"{where}.{name} is missing in {got!r}"
                agree(value, got[name], f"{where}.{name}")
        case list():
            assert isinstance(got, list), f"{where}: {got!r}"
            assert len(got) == len(wanted), f"{where}: {got!r}"
            for place, value in enumerate(wanted):
                agree(value, got[place], f"{where}[{place}]")
        case str() if wanted in KINDS:
            assert isinstance(got, KINDS[wanted]), f"{where}: {got!r}"
        case str() if wanted.startswith("~ "):
            assert isinstance(got, str), f"{where}: {got!r}"
            assert re.fullmatch(wanted[2:], got, re.DOTALL), f"{where}: {got!r} is not like {wanted!r}"
        case _:
            assert got == wanted, f"{where}: {got!r} is not {wanted!r}"


def present(content: Any, place: list[str]) -> bool:
    for part in place:
        if isinstance(content, list) and int(part) < len(content):
            content = content[int(part)]
        elif isinstance(content, dict) and part in content:
            content = content[part]
        else:
            return False
    return True


def test_every_golden_file_says_why() -> None:
    for path in GOLDEN:
        assert len(yaml.safe_load(path.read_text("utf-8"))["why"].split()) >= 4, path
