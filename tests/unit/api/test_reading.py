from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.api.limits import METER, BodyMeter
from nearfield.api.problems import InvalidJson
from nearfield.api.reading import IN_THREAD_BYTES, JsonRequest, line_batches, parse_json

if TYPE_CHECKING:
    from starlette.types import Message


async def cut(
    pieces: list[bytes], *, max_line_bytes: int = 1_000_000, batch_bytes: int = 1
) -> list[tuple[int, bytes | None]]:
    left = list(pieces)

    async def receive() -> Message:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    meter = BodyMeter(receive, 0, 10)
    request = JsonRequest({"type": "http", "headers": [], METER: meter}, meter.receive)
    found: list[tuple[int, bytes | None]] = []
    async for batch in line_batches(request, max_line_bytes=max_line_bytes, batch_bytes=batch_bytes):
        found += [(batch.first + place, line) for place, line in enumerate(batch.lines)]
    return found


@given(st.lists(st.binary(max_size=12)), st.integers(1, 300))
async def test_lines_are_those_of_the_whole_however_it_was_cut(pieces: list[bytes], batch_bytes: int) -> None:
    whole = b"".join(pieces).split(b"\n")
    if not whole[-1]:
        whole.pop()
    assert await cut(pieces, batch_bytes=batch_bytes) == list(enumerate(whole, start=1))


@given(st.lists(st.binary(max_size=12)), st.integers(0, 8))
async def test_a_line_over_the_limit_is_none_and_the_others_stay(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces).split(b"\n")
    if not whole[-1]:
        whole.pop()
    expected = [(n, line if len(line) <= limit else None) for n, line in enumerate(whole, start=1)]
    assert await cut(pieces, max_line_bytes=limit) == expected


@pytest.mark.parametrize("size", [10, IN_THREAD_BYTES + 10])
async def test_json_is_parsed_whatever_its_size(size: int) -> None:
    assert await parse_json(b'["' + b"x" * size + b'"]') == ["x" * size]
    with pytest.raises(InvalidJson, match="line 1 column"):
        await parse_json(b'["' + b"x" * size + b'"')


@pytest.mark.parametrize("body", [b"NaN", b'"\xff"', b"[" * 5000, b"{'a': 1}", b"[1e999]", b'"\\ud800"'])
async def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        await parse_json(body)


async def test_an_absent_body_is_told_as_such() -> None:
    with pytest.raises(InvalidJson, match="the request has no body"):
        await parse_json(b"")
