"""Waiting for a server: until something holds there, and for several calls at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nearfield.domain.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

T = TypeVar("T")

LONGEST_PAUSE_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.02


async def until(
    engine: str,
    holds: Callable[[], Awaitable[bool]],
    what: str,
    *,
    patience_s: float,
    longest_pause_s: float | None = None,
) -> None:
    """Look again and again, at growing intervals, until something holds.

    engine: its name, for the error. what: what is waited for, as in "index x is ready". longest_pause_s: between looks,
    None for LONGEST_PAUSE_S.
    Raises EngineUnavailable after patience_s.
    """
    end, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while not await holds():
        if time.monotonic() > end:
            raise EngineUnavailable(f"engine {engine}: waited {patience_s:g} s until {what}, in vain")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_pause_s or LONGEST_PAUSE_S)


async def all_of(
    engine: str, doing: str, sizes: Sequence[int], calls: Sequence[Coroutine[Any, Any, T]], *, at_once: int
) -> list[T]:
    """Run calls, a few at once, each to its end.

    engine, doing: for the error. sizes: rows of each. Raises EngineUnavailable with how many rows failed, or the first
    error of another kind.
    """
    free = asyncio.Semaphore(at_once)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with free:
            return await call

    done = await asyncio.gather(*map(one, calls), return_exceptions=True)
    failed = [(size, result) for size, result in zip(sizes, done, strict=True) if isinstance(result, BaseException)]
    for _, error in failed:
        if not isinstance(error, EngineUnavailable):
            raise error
    if failed and len(done) > 1:
        rows, (_, first) = sum(size for size, _ in failed), failed[0]
        raise EngineUnavailable(f"engine {engine}, {doing}: {rows} of {sum(sizes)} rows failed: {first}") from first
    if failed:
        raise failed[0][1]
    return [result for result in done if not isinstance(result, BaseException)]
