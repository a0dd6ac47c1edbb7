"""How far an indexer is, and waiting for it to be further."""

from __future__ import annotations

import asyncio

from nearfield.domain.errors import IndexLagging


class Progress:
    """applied: changes up to here are visible to searches. latest: the newest change heard of. error: why it stands.

    mended: how often rows were put right outside the log.
    """

    def __init__(self, applied: int) -> None:
        self.applied = applied
        self.latest = applied
        self.error: str | None = None
        self.mended = 0
        self._waiting: dict[asyncio.Future[None], int] = {}

    def advance(self, seq: int) -> None:
        """Move `applied` to `seq` and wake who waited for it."""
        self.applied = max(self.applied, seq)
        self.latest = max(self.latest, self.applied)
        self.error = None
        for waiter, wanted in self._waiting.items():
            if wanted <= self.applied and not waiter.done():
                waiter.set_result(None)

    def fail(self, error: str) -> None:
        self.error = error

    def recover(self) -> None:
        self.error = None

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        """Return once `applied >= seq`. Raises IndexLagging after `timeout_s`, saying how far it is and why."""
        if self.applied >= seq:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = seq
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError as exc:
            reason = f": {self.error}" if self.error else ""
            raise IndexLagging(
                f"change {seq} is not in the index after {timeout_s:g} s; it has applied {self.applied}{reason}",
                field="min_seq",
            ) from exc
        finally:
            del self._waiting[waiter]  # those that gave up too, else an index that stands still fills the memory
