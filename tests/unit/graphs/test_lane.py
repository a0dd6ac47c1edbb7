from __future__ import annotations

import asyncio
import threading

import pytest

from nearfield.domain.errors import EmbedderUnavailable
from nearfield.embedders.encoder_ports import ENCODER
from nearfield.graphs.lane import Lane


async def test_work_runs_elsewhere_in_order_one_at_a_time() -> None:
    lane = Lane("testing", ENCODER)
    done: list[tuple[int, str]] = []

    def work(number: int) -> int:
        done.append((number, threading.current_thread().name))
        return number

    assert await asyncio.gather(*(lane.run(work, number) for number in range(20))) == list(range(20))
    assert [number for number, _ in done] == list(range(20))
    assert {name.split("_")[0] for _, name in done} == {"testing"}
    await lane.close()


async def test_what_work_raises_comes_back() -> None:
    lane = Lane("testing", ENCODER)
    with pytest.raises(ZeroDivisionError):
        await lane.run(divmod, 1, 0)
    await lane.close()


async def test_closing_finishes_what_was_taken_and_takes_no_more() -> None:
    lane = Lane("testing", ENCODER)
    let = threading.Event()
    taken = [asyncio.create_task(lane.run(let.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    with pytest.raises(EmbedderUnavailable, match="closed"):
        await lane.run(int)
    let.set()
    await closing
    assert await asyncio.gather(*taken) == [True, True, True]
    await lane.close()
