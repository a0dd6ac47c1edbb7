"""Real Weaviate servers for tests, one node or several, each a process of this machine.

The program is looked for in the variable WEAVIATE_SERVER, on the PATH, in ~/go/bin and in build/go; heavy tests build
it there (`go install`, some minutes, once).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "weaviate-server"
VERSION = "v1.35.2"
PORTS = 6
KEY = "a-key-of-the-tests"
BUILT = Path(__file__).parents[2] / "build" / "go"
START_S = 120.0
BUILD_S = 3_600.0


def weaviate_program(*, build: bool = False) -> str:
    """The path of the server. build: make it where it is absent and Go is there. Skips where it cannot be had."""
    named = os.environ.get("WEAVIATE_SERVER")
    places = [named, shutil.which(PROGRAM), str(Path.home() / "go" / "bin" / PROGRAM), str(BUILT / PROGRAM)]
    found = next((place for place in places if place and Path(place).is_file()), None)
    if found is not None:
        return found
    go = shutil.which("go")
    if not build or go is None:
        pytest.skip(f"no {PROGRAM}: go install github.com/weaviate/weaviate/cmd/{PROGRAM}@{VERSION}")
    settings = {**os.environ, "GOBIN": str(BUILT), "CGO_ENABLED": "0", "GOFLAGS": "-p=1 -buildvcs=false"}
    source = f"github.com/weaviate/weaviate/cmd/{PROGRAM}@{VERSION}"
    made = subprocess.run(
        [go, "install", source], check=False, env=settings, capture_output=True, text=True, timeout=BUILD_S
    )
    if made.returncode:
        pytest.skip(f"{PROGRAM} cannot be built here: {made.stderr.strip().splitlines()[-1]}")
    return str(BUILT / PROGRAM)


@dataclass(slots=True)
class Node:
    """One server process. ports: of REST, gossip, data, RAFT, its calls, and gRPC."""

    program: str
    folder: Path
    name: str
    ports: list[int]
    key: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def address(self, **options: object) -> str:
        """The engine's address of this node."""
        asked = {"grpc_port": self.ports[5], **options}
        return f"weaviate+{self.url}?" + "&".join(f"{name}={value}" for name, value in asked.items())

    def start(self) -> None:
        """Start the process; `wait` waits for it."""
        access = {"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true"}
        if self.key is not None:
            access = {
                "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
                "AUTHENTICATION_APIKEY_ENABLED": "true",
                "AUTHENTICATION_APIKEY_ALLOWED_KEYS": self.key,
                "AUTHENTICATION_APIKEY_USERS": "tester",
            }
        settings = {
            "PATH": os.environ.get("PATH", ""),
            "PERSISTENCE_DATA_PATH": str(self.folder),
            "CLUSTER_HOSTNAME": self.name,
            "CLUSTER_IN_LOCALHOST": "true",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_GOSSIP_BIND_PORT": str(self.ports[1]),
            "CLUSTER_DATA_BIND_PORT": str(self.ports[2]),
            "RAFT_PORT": str(self.ports[3]),
            "RAFT_INTERNAL_RPC_PORT": str(self.ports[4]),
            "RAFT_JOIN": f"{self.name}:{self.ports[3]}",
            "RAFT_BOOTSTRAP_EXPECT": "1",
            "GRPC_PORT": str(self.ports[5]),
            "DISABLE_TELEMETRY": "true",
            "GO_PROFILING_DISABLE": "true",
            "PROMETHEUS_MONITORING_ENABLED": "false",
            "DISK_USE_READONLY_PERCENTAGE": "99",
            "LOG_LEVEL": "warning",
            **access,
            **self.settings,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.program, "--scheme", "http", "--host", "127.0.0.1", "--port", str(self.ports[0])]
        with (self.folder.parent / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=settings, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it is ready. Fails the test, with the end of its log, where it ends or takes too long."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/v1/.well-known/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        log = (self.folder.parent / f"{self.name}.log").read_text(errors="replace")
        pytest.fail(f"{self.name} did not get ready: ...{log[-2000:]}")

    def wait_for_gossip(self) -> None:
        """Until other nodes can join it."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process is not None and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.ports[1]), timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"{self.name} opened no port for gossip")

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Let it end by itself, then no longer."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None


@contextmanager
def weaviate_nodes(
    folder: Path, *, nodes: int = 1, build: bool = False, key: str | None = None
) -> Iterator[list[Node]]:
    """Some nodes of one cluster, ready, in folders below `folder`."""
    program = weaviate_program(build=build)
    mine = free_runs(nodes)
    members = ",".join(f"node{n}:{mine[n][3]}" for n in range(nodes))
    cluster = [
        Node(
            program,
            folder / f"node{n}",
            f"node{n}",
            mine[n],
            key,
            {
                "RAFT_JOIN": members,
                "RAFT_BOOTSTRAP_EXPECT": str(nodes),
                **({"CLUSTER_JOIN": f"127.0.0.1:{mine[0][1]}"} if n else {}),
            },
        )
        for n in range(nodes)
    ]
    with ExitStack() as stack:
        for node in cluster:
            stack.callback(node.stop)
            node.start()
            if node is cluster[0]:
                node.wait_for_gossip()  # the others end at once where there is nobody to join
        for node in cluster:
            node.wait()
        yield cluster


def free_runs(count: int) -> list[list[int]]:
    """Runs of PORTS neighbours that nobody has right now: Weaviate finds its data port one above that of gossip."""
    with ExitStack() as stack:
        runs: list[list[int]] = []
        for _ in range(1_000):
            if len(runs) == count:
                break
            with socket.socket() as first:
                first.bind(("127.0.0.1", 0))
                base = first.getsockname()[1]
            taken = ExitStack()
            try:
                for port in range(base, base + PORTS):
                    taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                taken.close()
                continue
            stack.enter_context(taken)
            runs.append(list(range(base, base + PORTS)))
        assert len(runs) == count, "no free ports"
        return runs
