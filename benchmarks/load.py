"""Load from a light generator: wrk, in a process of its own, whose cost is told with every figure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

SCRIPT = Path(__file__).with_name("load.lua")
ANSWER_S = 60  # before an answer counts as lost


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, to 127.0.0.1."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = "application/json"

    def wire(self) -> bytes:
        """As it is sent."""
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {self.media_type}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode("ascii") + self.body


@dataclass(frozen=True, slots=True)
class Load:
    """What came of firing requests for some seconds.

    good: answers 2xx. refused: answers 503; without_retry_after: those among them that do not say when to come again.
    other: answers of any other status. lost: requests without an answer. p50_ms, p95_ms, p99_ms: of all answers but
    503. generator_cpu: cores the generator itself was busy on, 0 to 1 for one thread.
    """

    seconds: float
    good: int
    refused: int
    without_retry_after: int
    other: int
    lost: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    generator_cpu: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    @property
    def failed(self) -> int:
        """Requests that had an error other than 503."""
        return self.other + self.lost


def fire(port: int, requests: Sequence[Request], *, clients: int, seconds: float) -> Load:
    """Send requests in their order from some connections at once, each sending its next when it has its answer.

    The first is sent again after the last. wrk where it is installed, else a client in Python, which costs more.
    """
    with tempfile.NamedTemporaryFile(prefix="requests-") as file:
        for request in requests:
            wire = request.wire()
            file.write(b"%d\n%s" % (len(wire), wire))
        file.flush()
        return parse_tally(*_run(_command(port, file.name, clients, seconds)), seconds=seconds)


def parse_tally(printed: str, cpu_s: float, *, seconds: float) -> Load:
    """What the generator printed. Raises ValueError when it holds no tally."""
    line = next((line for line in printed.splitlines() if line.startswith("TALLY ")), None)
    if line is None:
        raise ValueError(f"the load generator told no tally: {printed[-500:]!r}")
    told = orjson.loads(line.removeprefix("TALLY "))
    return Load(**told, generator_cpu=cpu_s / max(told["seconds"], seconds))


def _command(port: int, file: str, clients: int, seconds: float) -> list[str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        return [sys.executable, "-m", "benchmarks.client_load", str(port), file, str(clients), str(seconds)]
    url = f"http://127.0.0.1:{port}/"
    # One thread feeds 128 connections easily, and leaves the other core to the server.
    words = ["-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", f"--timeout={ANSWER_S}s"]
    return [wrk, *words, "-s", str(SCRIPT), url, "--", file]


def _run(command: Sequence[str]) -> tuple[str, float]:
    """What a command printed, and the CPU seconds it took."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read().decode("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(f"the load generator failed with {process.returncode}: {printed[-500:]}")
    return printed, usage.ru_utime + usage.ru_stime
