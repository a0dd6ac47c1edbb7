"""How often an index is made durable. Documents are durable before: a crash only has to apply again what was not.

Each flush may leave files behind until the next upkeep: `local` starts a segment, some 4 MB and 5 open files. So a
trickle of writes is flushed at once only a few times, then every minute, and an upkeep follows many flushes however
few rows they brought.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

FLUSH_EVERY_S: Final = 5.0  # 0.2 s of work each; what a crash has to apply again, from cached vectors
QUIET_FLUSH_S: Final = 0.2
QUICK_FLUSHES: Final = 8  # since the last upkeep; after these a few rows wait
SLOW_FLUSH_S: Final = 60.0
MANY_ROWS: Final = 256  # that are not made to wait
MOST_FLUSHES: Final = 32


@dataclass(slots=True)
class Flushes:
    """Those of one index."""

    rows: int = 0  # written since the last one
    count: int = 0  # since the last upkeep
    at: float = field(default_factory=time.monotonic)

    @property
    def many(self) -> bool:
        """Whether an upkeep is due for what they left behind."""
        return self.count >= MOST_FLUSHES

    def wait_s(self, *, quiet: bool) -> float:
        """Seconds until the next one; none or less where it is due. quiet: whether nothing else is to be done."""
        since = time.monotonic() - self.at
        usual = QUIET_FLUSH_S if quiet else FLUSH_EVERY_S - since
        if self.count < QUICK_FLUSHES or self.rows >= MANY_ROWS:
            return usual
        return max(usual, SLOW_FLUSH_S - since)

    def made(self) -> None:
        """Note one."""
        self.rows, self.count, self.at = 0, self.count + 1, time.monotonic()
