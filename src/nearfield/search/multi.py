"""Several searches of one request, side by side, each answering or failing on its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.hits import Answer

MAX_SEARCHES: Final = 50
AT_ONCE: Final = 4
"""Searches of one request under way at a time: more would make the other requests wait."""


async def side_by_side(searches: Sequence[Callable[[], Awaitable[Answer]]]) -> list[Answer | Exception]:
    """The answer of each search, or the exception it raised, in the order asked."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(search: Callable[[], Awaitable[Answer]]) -> Answer | Exception:
        async with free:
            try:
                return await search()
            except Exception as exc:  # noqa: BLE001 - handed to the caller, who tells or raises it
                return exc

    return await asyncio.gather(*map(one, searches))
