"""The test server as a process of its own, which can be killed. Its folder is best in memory."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

QDRANT_KEY = "correct horse"
SERVER = Path(__file__).with_name("qdrant_server.py")
SCHEMA = Path(__file__).parents[3] / "shared" / "schemas" / "qdrant.openapi.json"


def why_no_qdrant() -> str | None:
    """What is missing to run one."""
    found = importlib.util.find_spec("qdrant_edge") is not None
    return None if found else "no Qdrant engine to test with; run: pip install 'qdrant-edge-py>=0.9,<0.10'"


class QdrantProcess:
    """Started on entry, stopped on exit. `restart` keeps its port and its folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """folder: for its rows, once it is made. arguments: as qdrant_server.py takes them."""
        self._folder = folder
        self._command = [sys.executable, str(SERVER), str(folder), *arguments]
        if SCHEMA.is_file():
            self._command += ["--schema", str(SCHEMA)]
        self._process: subprocess.Popen[str] | None = None
        self.port = self.grpc_port = 0

    def __enter__(self) -> QdrantProcess:
        self.restart()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def address(self) -> str:
        return f"qdrant+http://127.0.0.1:{self.port}"

    def restart(self) -> None:
        """Start it, again on the port it had. Waits until it listens."""
        self._folder.mkdir(exist_ok=True)
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self._process.stdout is not None
        self.port, self.grpc_port = map(int, self._process.stdout.readline().split())

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def faults(self, *faults: dict[str, Any]) -> None:
        """What the next requests meet; none, to be well again."""
        self._tell("/_faults", list(faults))

    def reset(self) -> None:
        """Well again, and empty: a collection takes some 100 MB, however few its rows."""
        self._tell("/_faults", [])
        self._tell("/_empty", [])

    def _tell(self, path: str, body: list[Any]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60):
            pass
