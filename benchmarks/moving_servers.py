"""The servers a collection is moved to, each a process of this machine, and the service that is moved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.vendors import chroma_server, weaviate_server
from tests.vendors.postgres_server import PASSWORD, PostgresServer, postgres_binaries
from tests.vendors.qdrant_process import QDRANT_KEY, QdrantProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 120.0
MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to move to. wish: as the API takes it. shown: in the table. key: where the engine asks for one."""

    shown: str
    wish: dict[str, Any]
    key: str | None = None

    @property
    def engine(self) -> str:
        return str(self.wish.get("engine", "")).partition("+")[0]


LOCAL = Place("`local`, HNSW", {"engine": "local", "index": {"kind": "hnsw", "quantization": "none"}})
FAISS = Place("`faiss`, IVF+PQ", {"engine": "faiss", "index": {"kind": "ivf", "quantization": "product"}})


def _graph(address: str) -> dict[str, Any]:
    return {"engine": address, "index": {"kind": "hnsw", "quantization": "none"}}


@contextmanager
def round_places(folder: Path) -> Iterator[list[Place]]:
    """FAISS, the four servers, running until the block ends, and `local` again."""
    binaries = postgres_binaries()
    if binaries is None or chroma_server.binary() is None:
        raise SystemExit("no servers to move to: install the development dependencies")
    with ExitStack() as stack:
        chroma = stack.enter_context(chroma_server.running(folder / "chroma"))
        # in memory, as PostgreSQL's: it syncs its files at every write, where a real server syncs its log alone
        rows = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else folder))
        qdrant = stack.enter_context(QdrantProcess(Path(rows) / "qdrant", "--key", QDRANT_KEY))
        postgres = PostgresServer(binaries)
        stack.callback(postgres.stop)
        nodes = weaviate_server.weaviate_nodes(folder / "weaviate", key=weaviate_server.KEY)
        node = stack.enter_context(nodes)[0]
        yield [
            FAISS,
            Place("`chroma`, its server", _graph(f"chroma+{chroma.url}")),
            Place("`qdrant`, qdrant-edge behind REST", _graph(qdrant.address), QDRANT_KEY),
            Place("`pgvector`, HNSW", _graph(postgres.address()), PASSWORD),
            Place("`weaviate`, HNSW", _graph(node.address()), weaviate_server.KEY),
            LOCAL,
        ]


@contextmanager
def service(data: Path, log: Path, keys: dict[str, str]) -> Iterator[str]:
    """`nearfield serve` over a data directory; its URL. log: what it says, appended."""
    environment = os.environ | {"NEARFIELD_ENGINE_KEYS": json.dumps(keys), "NEARFIELD_LOG_LEVEL": "warning"}
    program = "from nearfield.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(data), "--port", "0", "--json"]
    with log.open("ab") as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the service did not start: {log.read_text()[-2000:]}")
        url = str(json.loads(line)["url"])
        with urllib.request.urlopen(f"{url}/healthz", timeout=START_S):
            pass
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
