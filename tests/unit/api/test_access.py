from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.api.access import OPEN, AccessGuard
from nearfield.domain.errors import Unauthorized

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


class Reached(Exception):
    pass


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    raise Reached


async def _never(message: Message | None = None) -> Message:
    raise AssertionError


async def ask(keys: list[str], path: str, **headers: str) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": raw}
    await AccessGuard(_app, keys)(scope, _never, _never)  # type: ignore[arg-type]


async def test_without_keys_all_is_open() -> None:
    with pytest.raises(Reached):
        await ask([], "/v1/collections")


@pytest.mark.parametrize(
    "path", ["/v1/collections", "/metrics", "/", "/v1", "//v1/collections", "/HEALTHZ", "/x/healthz"]
)
async def test_with_keys_whatever_is_not_named_open_is_closed(path: str) -> None:
    with pytest.raises(Unauthorized):
        await ask(["key"], path)


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_probes_need_no_key(path: str) -> None:
    with pytest.raises(Reached):
        await ask(["key"], path)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer two"},
        {"authorization": "bearer  two "},
        {"x_api_key": "one"},
        {"authorization": "Basic abc", "x_api_key": "one"},
        {"authorization": "Bearer ", "x_api_key": "one"},
    ],
)
async def test_either_header_opens(headers: dict[str, str]) -> None:
    with pytest.raises(Reached):
        await ask(["one", "two"], "/v1/collections", **headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer tw"},
        {"authorization": "Bearer two2"},
        {"authorization": "two"},
        {"authorization": "Basic two"},
        {"x_api_key": ""},
        {"x_api_key": "\xff\xfe"},
        {"authorization": "Bearer wrong", "x_api_key": "one"},
    ],
)
async def test_nothing_else_does(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        await ask(["one", "two"], "/v1/collections", **headers)
