from __future__ import annotations

import asyncio
import gc

import pytest

from nearfield.domain.errors import IndexLagging
from nearfield.indexing.progress import Progress


async def test_a_change_that_is_applied_is_not_waited_for() -> None:
    await Progress(5).wait_for(5, timeout_s=0)


async def test_each_waiter_is_woken_by_its_own_change() -> None:
    progress = Progress(0)
    woken: list[int] = []

    async def wait(seq: int) -> None:
        await progress.wait_for(seq, timeout_s=20)
        woken.append(seq)

    tasks = [asyncio.create_task(wait(seq)) for seq in (3, 1, 2, 2)]
    await asyncio.sleep(0)
    progress.advance(2)
    await asyncio.sleep(0.01)
    assert sorted(woken) == [1, 2, 2]
    progress.advance(7)
    await asyncio.gather(*tasks)
    assert sorted(woken) == [1, 2, 2, 3]
    assert (progress.applied, progress.latest) == (7, 7)


async def test_it_never_goes_back() -> None:
    progress = Progress(9)
    progress.advance(4)
    assert (progress.applied, progress.latest) == (9, 9)


async def test_who_waits_too_long_is_told_how_far_it_is_and_why() -> None:
    progress = Progress(3)
    progress.fail("the model is gone")
    with pytest.raises(IndexLagging, match=r"change 8 .* after 0\.01 s; it has applied 3: the model is gone") as told:
        await progress.wait_for(8, timeout_s=0.01)
    assert told.value.field == "min_seq"
    progress.advance(4)
    with pytest.raises(IndexLagging, match=r"it has applied 4$"):
        await progress.wait_for(8, timeout_s=0.01)


async def test_who_gives_up_is_forgotten() -> None:
    progress = Progress(0)
    for _ in range(200):
        with pytest.raises(IndexLagging):
            await progress.wait_for(1, timeout_s=0)
    cancelled = asyncio.create_task(progress.wait_for(1, timeout_s=20))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    gc.collect()
    assert (
        sum(isinstance(each, asyncio.Future) and not isinstance(each, asyncio.Task) for each in gc.get_objects()) < 50
    )
