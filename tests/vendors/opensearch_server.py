"""A real OpenSearch server, put together from the parts its makers publish for Java: the core, and the k-NN plugin.

Needs a JDK and, the first time, Maven and its registry; what it fetches is kept in `build/`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent / "opensearch_java"
KEPT: Final = Path(__file__).parent.parent.parent / "build" / "opensearch-server"
_FETCH_S: Final = 900.0
_START_S: Final = 240.0
_READY: Final = "ready"


class Server:
    """One node in a process of its own. `kill` and `start` may follow each other."""

    def __init__(self, classes: Path, folder: Path) -> None:
        self._classes, self._folder = classes, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it answers."""
        path = os.pathsep.join([str(self._classes), f"{self._classes / 'lib'}{os.sep}*"])
        command = ["java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", path, "Server"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder), str(self._port)], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no server: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.3)

    def kill(self) -> None:
        """As a power cut would, but for the page cache."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s", timeout=5
            ) as told:
                return bool(told.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def server(folder: Path) -> Iterator[Server]:
    """For fixtures: a running server, killed at the end. Skips where it cannot be had."""
    found = Server(_provision(), folder)
    try:
        found.start()
        yield found
    finally:
        found.kill()


def _provision() -> Path:
    """The folder of classes and libraries, fetched if it is not there."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("no JDK on this machine, so no OpenSearch server")
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT.with_suffix(".lock")):
        if not (KEPT / _READY).exists():
            _fetch()
    return KEPT


def _fetch() -> None:
    if shutil.which("mvn") is None:
        pytest.skip("no Maven on this machine to fetch OpenSearch's server with")
    lib = KEPT / "lib"
    command = [
        "mvn",
        "-B",
        "-q",
        "-f",
        str(HERE / "pom.xml"),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={lib}",
    ]
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if fetched.returncode:
        pytest.skip(f"OpenSearch's server cannot be fetched: {fetched.stdout[-300:]}")
    for archive in lib.glob("opensearch-knn-*.zip"):
        with zipfile.ZipFile(archive) as plugin:
            for name in plugin.namelist():
                if name.endswith(".jar") and not (lib / name).exists():
                    plugin.extract(name, lib)
    classpath = f"{lib}{os.sep}*"
    subprocess.run(
        ["javac", "-cp", classpath, "-d", str(KEPT), str(HERE / "Server.java")], check=True, timeout=_FETCH_S
    )
    (KEPT / _READY).touch()
