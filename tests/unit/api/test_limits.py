from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.api.limits import METER, BodyLimit, check_length
from nearfield.domain.errors import TooLarge

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


async def _no_send(message: Message) -> None:
    raise AssertionError


async def read(pieces: list[bytes], *, limit: int, announced: int | None = None, lift: bool = False) -> tuple[int, int]:
    """How many bytes a reader behind the limit gets, and how many messages were taken off the wire."""
    taken = 0
    seen = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": pieces[taken - 1], "more_body": taken < len(pieces)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal seen
        if lift:
            scope[METER].lift()
        while True:
            message = await receive()
            seen += len(message["body"])
            if not message["more_body"]:
                return

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    try:
        await BodyLimit(app, limit)({"type": "http", "headers": headers}, receive, _no_send)
    finally:
        read.taken = taken  # type: ignore[attr-defined]
    return seen, taken


async def test_a_body_at_the_limit_passes() -> None:
    assert await read([b"12345", b"67890"], limit=10, announced=10) == (10, 2)


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match=r"11 bytes.*at most 10.*NEARFIELD_MAX_BODY_BYTES"):
        await read([b"12345678901"], limit=10, announced=11)
    assert read.taken == 0  # type: ignore[attr-defined]


async def test_a_body_without_a_length_is_counted_as_it_comes() -> None:
    with pytest.raises(TooLarge):
        await read([b"12345", b"67890", b"1", b"never read"], limit=10)
    assert read.taken == 3  # type: ignore[attr-defined]


async def test_a_length_that_lies_does_not_help() -> None:
    with pytest.raises(TooLarge):
        await read([b"12345", b"67890", b"1"], limit=10, announced=3)


async def test_a_reader_that_keeps_nothing_may_lift_the_limit() -> None:
    assert await read([b"12345"] * 100, limit=10, announced=500, lift=True) == (500, 100)


def test_a_count_at_the_limit_passes_and_one_more_does_not() -> None:
    check_length(3, 3, "ids", "NEARFIELD_X")
    with pytest.raises(TooLarge, match=r"4 ids; at most 3 are taken at once \(NEARFIELD_X\)"):
        check_length(4, 3, "ids", "NEARFIELD_X")
