"""Waiting for an engine on a server, but not as long as a search may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from nearfield.domain.errors import EngineUnavailable, IndexDamaged

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nearfield.protocols.live import LiveIndex

T = TypeVar("T")


async def patiently(call: Awaitable[T], live: LiveIndex, patience_s: float | None) -> T:
    """What an engine answers. patience_s: how long it is waited for; None where it is in this process.

    Raises EngineUnavailable.
    """
    try:
        if patience_s is None:
            return await call
        async with asyncio.timeout(patience_s):
            return await call
    except IndexDamaged as exc:  # found when the server came back; the indexer finds it too, and sees to it
        raise EngineUnavailable(f"{exc}; it is being built again") from exc
    except TimeoutError as exc:
        if patience_s is None:
            raise
        raise EngineUnavailable(f"engine {live.generation.engine} gave no answer within {patience_s:g} s") from exc
