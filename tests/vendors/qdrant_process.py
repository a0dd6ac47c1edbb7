"""The test server as a process of its own, which can be killed. Its folder is best in memory."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import ssl
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
    """Started on entry, stopped on exit. `restart` keeps its ports and its folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """folder: for its rows, once it is made. arguments: as qdrant_server.py takes them."""
        self._folder = folder
        self._command = [sys.executable, str(SERVER), str(folder), *arguments]
        if SCHEMA.is_file():
            self._command += ["--schema", str(SCHEMA)]
        self._process: subprocess.Popen[str] | None = None
        self.port = self._grpc_port = 0
        self._scheme = "https" if "--tls" in arguments else "http"

    def __enter__(self) -> QdrantProcess:
        self.restart()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def address(self) -> str:
        return f"qdrant+{self._scheme}://127.0.0.1:{self.port}"

    @property
    def grpc_address(self) -> str:
        """The same, to be spoken to by gRPC."""
        self._serve_grpc()
        return f"{self.address}?grpc_port={self._grpc_port}"

    def restart(self) -> None:
        """Start it, again on the ports it had. Waits until it listens."""
        self._folder.mkdir(exist_ok=True)
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        if self._grpc_port:
            self._serve_grpc()

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

    def _serve_grpc(self) -> None:
        self._grpc_port = self._tell("/_grpc", {"port": self._grpc_port})["port"]

    def _tell(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self._scheme}://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), method="POST"
        )
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
            return json.load(answer)
