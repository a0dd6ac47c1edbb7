"""Chroma's real server, `chroma run`, on a port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

START_S: Final = 60.0


def binary() -> Path | None:
    """The command that the package `chromadb` installs, None where it is not installed."""
    found = Path(sysconfig.get_path("scripts")) / ("chroma.exe" if sys.platform == "win32" else "chroma")
    return found if found.exists() else None


class ChromaRun:
    """One server over a folder; `kill` and `start` again as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            self.port: int = place.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run, and wait until it answers."""
        command = [str(binary()), "run", "--path", str(self._folder), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        late = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=2) as answer:
                    answer.read()
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > late or self._process.poll() is not None:
                    self.kill()
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(folder: Path) -> Iterator[ChromaRun]:
    """A server that runs until the block ends."""
    server = ChromaRun(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """An ASGI application that hands requests on to a server, for a watch to stand before it."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        async with httpx2.AsyncClient() as client:
            answer = await client.request(
                scope["method"],
                self._url + scope["path"],
                content=message.get("body", b""),
                headers={"content-type": "application/json"},
            )
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})
