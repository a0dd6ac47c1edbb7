"""The yardstick itself: it must tell what is wrong, or a green stub says nothing."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.vendors.schema import Answer, Contract, Request
from tests.vendors.serving import Trouble, Watched, served

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

JSON = {"content-type": "application/json"}
PINECONE = {**JSON, "x-pinecone-api-version": "2026-04"}
THING = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "note": {"$ref": "#/components/schemas/Note"},
    },
    "required": ["size"],
    "additionalProperties": False,
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/things/{name}": {
            "parameters": [
                {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 5}}
            ],
            "post": {
                "parameters": [
                    {"name": "wait", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "Api-Version", "in": "header", "required": True, "schema": {"enum": ["7"]}},
                ],
                "requestBody": {"$ref": "#/components/requestBodies/Thing"},
                "responses": {"200": {"description": "", "content": {"application/json": {"schema": THING}}}},
            },
        },
        "/things/_all": {"get": {"responses": {"200": {"description": ""}}}},
        "/things/_lines": {
            "post": {
                "requestBody": {"content": {"application/x-ndjson": {"schema": {"type": "array", "items": THING}}}},
                "responses": {"2XX": {"description": ""}},
            }
        },
    },
    "components": {
        "requestBodies": {"Thing": {"required": True, "content": {"application/json": {"schema": THING}}}},
        "schemas": {"Note": {"type": "string", "nullable": True}},
    },
}
CONTRACT = Contract(DOCUMENT)


def post(body: object, *, path: str = "/things/a", query: str = "", **headers: str) -> Request:
    return Request("POST", path, query, {**JSON, "api-version": "7", **headers}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (post({"size": 1, "note": None}), ""),
        (post({"size": 1}, query="wait=true"), ""),
        (post({"size": 0}), "size"),
        (post({"size": "1"}), "size"),
        (post({"size": 1, "note": 3}), "note"),
        (post({"size": 1, "other": 3}), "other"),
        (post({}), "size"),
        (post({"size": 1}, query="wait=perhaps"), "wait"),
        (post({"size": 1}, query="hurry=1"), "hurry"),
        (post({"size": 1}, path="/things/too_long"), "name"),
        (post({"size": 1}, path="/nothings/a"), "no such operation"),
        (Request("POST", "/things/a", headers={"api-version": "7"}), "body is missing"),
        (Request("POST", "/things/a", headers=JSON, body=b'{"size": 1}'), "Api-Version"),
        (Request("POST", "/things/a", headers={**JSON, "api-version": "7"}, body=b"{"), "no application/json"),
        (Request("GET", "/things/_all"), ""),
        (Request("GET", "/things/_all", headers=JSON, body=b"{}"), "a body where none"),
        (Request("POST", "/things/_lines", headers={"content-type": "application/x-ndjson"}, body=b'{"size":1}\n'), ""),
        (
            Request("POST", "/things/_lines", headers={"content-type": "application/x-ndjson"}, body=b'{"size":-1}\n'),
            "0/size",
        ),
        (Request("POST", "/things/_lines", headers=JSON, body=b'[{"size":1}]'), "content type"),
    ],
)
def test_a_wrong_request_is_told(request_: Request, wrong: str) -> None:
    told = CONTRACT.wrong_request(request_)
    assert bool(told) is bool(wrong), told
    assert wrong in "".join(told)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (Answer(200, JSON, b'{"size": 2}'), ""),
        (Answer(200, JSON, b'{"size": "two"}'), "size"),
        (Answer(201, JSON, b'{"size": 2}'), "no such answer"),
        (Answer(503, {}, b"busy"), ""),
    ],
)
def test_a_wrong_answer_is_told(answer: Answer, wrong: str) -> None:
    told = CONTRACT.wrong_answer(post({"size": 1}), answer)
    assert bool(told) is bool(wrong), told
    assert wrong in "".join(told)


def test_a_contract_that_lists_every_status_is_held_to_it() -> None:
    strict = Contract(DOCUMENT, every_status=True)
    assert "no such answer" in strict.wrong_answer(post({"size": 1}), Answer(503))[0]


async def thing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": (await receive())["body"]})


def test_a_served_stand_in_is_watched_and_makes_trouble() -> None:
    watched = Watched(thing, CONTRACT)
    watched.troubles = [
        Trouble(on="POST /things/b", status=429, headers={"retry-after": "3"}, body=b"later", times=1),
        Trouble(on="POST /things/c", cut=True),
    ]

    def ask(url: str, name: str, body: bytes) -> tuple[int, bytes]:
        asked = urllib.request.Request(f"{url}/things/{name}", body, {**JSON, "Api-Version": "7"}, method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read()

    with served(watched) as url:
        assert ask(url, "a", b'{"size": 1}') == (200, b'{"size": 1}')
        assert watched.wrong == []
        with pytest.raises(urllib.error.HTTPError, match="429") as throttled:
            ask(url, "b", b'{"size": 1}')
        assert throttled.value.headers["retry-after"] == "3"
        throttled.value.close()
        assert ask(url, "b", b'{"size": 1}')[0] == 200
        with pytest.raises(http.client.IncompleteRead):
            ask(url, "c", b'{"size": 1}')
        assert watched.wrong == []
        ask(url, "a", b'{"size": "one"}')
        assert len(watched.wrong) == 2  # the request and the answer that repeats it
        assert [seen.path for seen in watched.seen] == [f"/things/{name}" for name in "abbca"]


@pytest.mark.parametrize(
    ("document", "right", "wrong"),
    [
        (
            "pinecone.db_data.2026-04.oas.yaml",
            Request("POST", "/query", headers=PINECONE, body=b'{"topK": 3, "id": "a"}'),
            Request("POST", "/query", headers=PINECONE, body=b'{"topK": "x"}'),
        ),
        (
            "qdrant.openapi.json",
            Request("POST", "/collections/a/points/count", headers=JSON, body=b'{"exact": true}'),
            Request("POST", "/collections/a/points/count", headers=JSON, body=b'{"exact": "yes"}'),
        ),
        (
            "opensearch.openapi.yaml",
            Request("POST", "/a/_search", headers=JSON, body=b'{"query": {"term": {"x": {"value": 1}}}}'),
            Request("POST", "/a/_search", headers=JSON, body=b'{"size": "many"}'),
        ),
    ],
    ids=["pinecone", "qdrant", "opensearch"],
)
def test_the_vendors_documents_can_be_held_against(
    shared_schemas: Path, document: str, right: Request, wrong: Request
) -> None:
    contract = Contract.load(shared_schemas / document)
    assert contract.wrong_request(right) == []
    assert contract.wrong_request(wrong) != []
