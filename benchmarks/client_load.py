"""A load generator where wrk is not installed: `python -m benchmarks.client_load PORT FILE CLIENTS SECONDS`.

FILE is as load.lua says, and so is what is printed. It takes some ten times wrk's share of the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HINT = re.compile(rb"\r\nretry-after:", re.IGNORECASE)


def read_requests(file: Path) -> list[bytes]:
    """The requests of a file, as they go over the wire."""
    raw, found, at = file.read_bytes(), [], 0
    while at < len(raw):
        start = raw.index(b"\n", at) + 1
        at = start + int(raw[at:start])
        found.append(raw[start:at])
    return found


class _Tally:
    def __init__(self) -> None:
        self.took: list[float] = []
        self.refused = self.unhinted = self.other = self.lost = 0

    def note(self, head: bytes, ms: float) -> None:
        status = int(head[9:12])
        if status == 503:
            self.refused += 1
            self.unhinted += _HINT.search(head) is None
            return
        self.took.append(ms)
        self.other += not 200 <= status < 300


async def _client(port: int, turns: Iterator[bytes], until: float, tally: _Tally) -> None:
    """One connection, opened again when it is lost."""
    while time.perf_counter() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while (since := time.perf_counter()) < until:
                writer.write(next(turns))
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length.group(1)) if length else 0)
                tally.note(head, (time.perf_counter() - since) * 1000)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            tally.lost += 1


async def _fire(port: int, requests: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    tally, turns, started = _Tally(), itertools.cycle(requests), time.perf_counter()
    await asyncio.gather(*(_client(port, turns, started + seconds, tally) for _ in range(clients)))
    took = tally.took or [0.0]
    return {
        "seconds": time.perf_counter() - started,
        "good": len(tally.took) - tally.other,
        "refused": tally.refused,
        "without_retry_after": tally.unhinted,
        "other": tally.other,
        "lost": tally.lost,
        **{f"p{share}_ms": percentile(took, share / 100) for share in (50, 95, 99)},
    }


def main() -> None:
    """Fire, and print the tally."""
    port, file, clients, seconds = sys.argv[1:5]
    told = asyncio.run(_fire(int(port), read_requests(Path(file)), int(clients), float(seconds)))
    print(f"TALLY {json.dumps(told)}")


if __name__ == "__main__":
    main()
