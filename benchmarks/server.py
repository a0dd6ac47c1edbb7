"""A program that listens on a port: started, asked, watched, stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from benchmarks.load import Load, Request
from benchmarks.report import percentile

POLL_S = 0.02
STOP_S = 30.0
ANSWER_S = 120.0


class Server:
    """One process and its children, in a session of their own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it. log: gets what it prints. env: besides this process's own."""
        self.port = port
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, request: Request) -> Any:
        """Send one request over a connection of its own. Returns its answer, read as JSON; None when it is empty.

        Raises ConnectionError while nothing listens, and RuntimeError for any other answer than 2xx or 503, which is a
        ConnectionError too, and when the process has ended.
        """
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}: {self._last_words()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            connection.request(request.method, request.path, request.body, {"content-type": request.media_type})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status == 503:
            raise ConnectionRefusedError(body[:200].decode("utf-8", "replace"))
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{request.method} {request.path} was answered {answer.status}: {body[:300]!r}")
        return orjson.loads(body) if body else None

    def one_after_the_other(self, groups: Sequence[Sequence[Request]], *, seconds: float) -> Load:
        """Send groups of requests from one client for some seconds, each group being one act."""
        took, started, cpu = [], time.perf_counter(), time.process_time()
        for group in groups:
            since = time.perf_counter()
            if since - started >= seconds:
                break
            for request in group:
                self.ask(request)
            took.append((time.perf_counter() - since) * 1000)
        wall = time.perf_counter() - started
        p50, p95, p99 = (percentile(took, share) for share in (0.50, 0.95, 0.99))
        return Load(wall, len(took), 0, 0, 0, 0, p50, p95, p99, (time.process_time() - cpu) / wall)

    def peak_bytes(self) -> int:
        """The most memory each process of the session has had resident, summed."""
        return sum(peak_bytes(pid) for pid in session(self._process.pid))

    def stop(self) -> None:
        """End it by SIGTERM, and whatever is left of its session by SIGKILL. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        for pid in session(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", "replace")[-600:]


def stop_on_sigterm() -> None:
    """Have SIGTERM end this process as an exception does, so that no server outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def cores_busy(seconds: float = 0.5) -> float:
    """How many cores the machine keeps busy at the moment, measured over some seconds."""
    before, since = _busy_ticks(), time.perf_counter()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - since)


def _busy_ticks() -> int:
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return user + nice + system + irq + softirq


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def until(attempt: Callable[[], object], *, timeout_s: float) -> None:
    """Try again and again while it raises ConnectionError; its last one is raised when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            attempt()
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return


def session(leader: int) -> list[int]:
    """The processes of a session that are not yet reaped zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, owner = _stat(entry)[:4]
                if int(owner) == leader and state != "Z":
                    found.append(int(entry.name))
    return found


def peak_bytes(pid: int | Literal["self"]) -> int:
    """VmHWM of a process, 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def folder_bytes(folder: Path) -> int:
    """What the files under a folder take on disk, a file with several names once."""
    blocks = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            blocks[status.st_ino] = status.st_blocks * 512
    return sum(blocks.values())


def _stat(process: Path) -> list[str]:
    """State, parent, group, session, ... of a process; its name, which may hold anything, left out."""
    return (process / "stat").read_text().rpartition(")")[2].split()
