"""The fenced blocks of a Markdown page, and how each is run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
PORT = "7700"  # as the pages say; a free one is taken in its place
LOG = "server.log"  # of the server, in the current folder
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NOT_RUN = ("pip install ", "git clone ", "make ")
"""Lines of a shell block that set up what the tests run in."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. info: what stands behind the fence, `python` or `sh background`. line: of its first line."""

    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    source = page.read_text(encoding="utf-8")
    return [
        Block(match[1].strip(), match[2], source.count("\n", 0, match.start(2)) + 1)
        for match in _FENCE.finditer(source)
    ]


def run_page(page: Path) -> int:
    """Run the blocks of a page in order, in the current folder: Python in one namespace, shell in bash.

    Returns how many were run. Raises what a Python block raises, AssertionError for a command that fails.
    """
    namespace: dict[str, Any] = {"__name__": "__page__"}
    port = free_port()
    ran = 0
    with _servers() as started:
        for block in blocks(page):
            kind, _, way = block.info.partition(" ")
            if kind == "python":
                # as many lines as stand before it, so that a traceback names the line of the page
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
            elif kind == "sh":
                _run_shell(page, block, port, started, background=way == "background")
            else:
                continue
            ran += 1
    return ran


def _run_shell(
    page: Path, block: Block, port: int, started: list[subprocess.Popen[bytes]], *, background: bool
) -> None:
    where = f"{page.name}:{block.line}"
    lines = block.text.replace(PORT, str(port)).splitlines()
    for line in lines:
        check_setup_line(line, where)
    kept = [line for line in lines if not line.startswith(_NOT_RUN)]
    serving = [line for line in kept if background or line.startswith("nearfield serve")]
    script = "\n".join(line for line in kept if line not in serving)
    if script.strip() and ("curl " not in script or shutil.which("curl")):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=_env(port), capture_output=True, timeout=180, check=False
        )
        assert ran.returncode == 0, f"{where}: {ran.stderr.decode()}"
        if script.startswith("curl "):
            answer = json.loads(ran.stdout)
            assert "code" not in answer, f"{where}: {answer}"
    if serving:
        # exec, so that the signal at the end reaches the server and not a shell in front of it
        command = "exec " + "\n".join(serving)
        with Path(LOG).open("wb") as log:  # a pipe nobody reads would stop the server once it is full
            started.append(subprocess.Popen(["bash", "-c", command], env=_env(port), stdout=log, stderr=log))
        _await_ready(started[-1], port, where)


def check_setup_line(line: str, where: str) -> None:
    """A line that is not run must still be true: the package installed is ours, a target of make is there."""
    if line.startswith("pip install "):
        assert line.split()[2].strip("'").split("[", maxsplit=1)[0] == "nearfield", f"{where}: {line}"
    if line.startswith("make "):
        makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), f"{where}: no target for {line}"


def _env(port: int) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NEARFIELD_PORT": str(port)}


def _await_ready(server: subprocess.Popen[bytes], port: int, where: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"{where}: the server ended: {Path(LOG).read_text()}")
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise AssertionError(f"{where}: the server did not become ready: {Path(LOG).read_text()}")


@contextmanager
def _servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Servers started on the way; each is ended, and must end well."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
        for server in started:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) in (0, 130, -signal.SIGTERM)
    finally:
        for server in started:
            if server.poll() is None:
                server.kill()
            server.wait()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
