"""Shadows of a service that runs, as a process: begun, looked at and ended from outside."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import orjson
import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run, Start


def free_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def searched(url: str, text: str, key: str) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = Request(f"{url}/v1/collections/shop/search", orjson.dumps({"query": text}), headers)
    with urlopen(request, timeout=30) as answer:
        return orjson.loads(answer.read())


def test_a_running_service_tries_another_index(shop: Run, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop("move", "shop", "--engine", "local", "--verify-only", "--yes", "--json").code == 0
    monkeypatch.setenv("NEARFIELD_API_KEYS", "first-key,second-key")
    monkeypatch.setenv("NEARFIELD_SEARCH_TIMEOUT_S", "30")  # of a shadow too, however busy the machine
    process = start("serve", "--port", "0", "--json")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    url = orjson.loads(line)["url"]

    assert "not shadowed" in shop("shadow", "shop", "--url", url).out
    begun = shop("shadow", "shop", "--share", "1", "--url", url, "--json")
    assert (begun.code, begun.json["generation"], begun.json["shadow"]["share"]) == (0, 2, 1.0)
    searched(url, "lamp", "second-key")
    until = time.monotonic() + 30
    while not (seen := shop("shadow", "shop", "--url", url, "--json").json["shadow"])["shadow_ms"]:
        assert time.monotonic() < until, seen
    assert (seen["asked"], seen["failed"], seen["missed"]) == (1, 0, 0)
    ended = shop("shadow", "shop", "--stop", "--url", url)
    assert ended.code == 0
    assert "ended" in ended.out
    assert "searches tried" in ended.out

    absent = shop("shadow", "shop", "--generation", "7", "--share", "1", "--url", url, "--json")
    assert (absent.code, absent.json["code"]) == (1, "generation_not_found")
    live = shop("shadow", "shop", "--generation", "1", "--share", "1", "--url", url, "--json")
    assert (live.code, live.json["code"], live.json["field"]) == (2, "invalid_request", "generation")
    assert shop("shadow", "nowhere", "--url", url, "--json").json["code"] == "collection_not_found"
    monkeypatch.setenv("NEARFIELD_API_KEYS", "another-key")
    refused = shop("shadow", "shop", "--url", url)
    assert (refused.code, refused.out) == (1, "")
    assert "NEARFIELD_API_KEYS" in refused.err
    assert "another-key" not in refused.err


def test_no_service_is_told(nearfield: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = free_url()
    ran = nearfield("shadow", "shop", "--url", url, "--json")
    assert (ran.code, ran.json["code"], ran.json["retryable"]) == (1, "service_unreachable", True)
    assert url in ran.json["detail"]
    host, port = url.removeprefix("http://").split(":")
    monkeypatch.setenv("NEARFIELD_HOST", host)
    monkeypatch.setenv("NEARFIELD_PORT", port)
    assert url in nearfield("shadow", "shop").err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--url", "ftp://somewhere"), "expected http"),
        (("--share", "0.5", "--stop"), "one of them"),
        (("--share", "2"), "--share"),
    ],
)
def test_wrong_use_is_told(nearfield: Run, given: tuple[str, ...], told: str) -> None:
    ran = nearfield("shadow", "shop", *given)
    assert ran.code == 2
    assert told in ran.err


def test_a_service_on_any_free_port_has_to_be_named(nearfield: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_PORT", "0")
    ran = nearfield("shadow", "shop", "--json")
    assert (ran.code, ran.json["field"]) == (2, "port")
    assert "--url" in ran.json["detail"]
