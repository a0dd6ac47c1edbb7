"""`chroma run`, and a client process that embeds with Sentence Transformers, as an application in front of it would."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson

from benchmarks.contenders.contender import LIMIT, Contender, Document
from benchmarks.contenders.environment import python, weights
from benchmarks.listings import EMBED, PROJECT
from benchmarks.load import Load
from benchmarks.server import Server, free_port, peak_bytes
from nearfield.domain.templates import Template


class ChromaServer(Contender):
    """See `Contender`. Load comes from threads of the client, since the embedding is its work: it cannot be light."""

    name: ClassVar[str] = "chroma"
    title: ClassVar[str] = "Chroma server + Sentence Transformers"
    bulk_rows: ClassVar[int] = 300

    def __init__(self) -> None:
        self._server: Server | None = None
        self._client: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path) -> None:
        port = free_port()
        command = [str(python().parent / "chroma"), "run", "--path", str(folder / "chroma"), "--port", str(port)]
        self._server = Server(command, port=port, log=folder / "log", env={"ANONYMIZED_TELEMETRY": "0"})
        self._client = subprocess.Popen(
            [str(python()), "-m", "benchmarks.contenders.chroma_client", str(port), str(weights())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
        )

    def search(self, query: str, *, mode: str, max_price: float | None) -> list[str]:
        ids: list[str] = self._do("search", query=query, max_price=max_price, limit=LIMIT)
        return ids

    def load(self, documents: Sequence[Document]) -> None:
        self._do("load", documents=_rows(documents))

    def searches(
        self, queries: Sequence[str], *, mode: str, max_price: float | None, clients: int, seconds: float
    ) -> Load:
        return self._load(
            "searches", queries=list(queries), max_price=max_price, limit=LIMIT, clients=clients, seconds=seconds
        )

    def writes(self, documents: Sequence[Document], *, clients: int, seconds: float) -> Load:
        return self._load("writes", documents=_rows(documents), clients=clients, seconds=seconds)

    def peak_bytes(self) -> int:
        """Of server and client: without the client's model there is no search."""
        if self._server is None or self._client is None:
            return 0
        return self._server.peak_bytes() + peak_bytes(self._client.pid)

    def stop(self) -> None:
        if self._client is not None:
            self._client.kill()
            self._client.communicate()
            self._client = None
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _load(self, do: str, **given: Any) -> Load:
        told = self._do(do, **given)
        return Load(**told, refused=0, without_retry_after=0, lost=0)

    def _do(self, do: str, **given: Any) -> Any:
        """Have the client do something. Raises RuntimeError when it has ended."""
        client = self._client
        if client is None or client.stdin is None or client.stdout is None:
            raise RuntimeError("chroma was not started")
        client.stdin.write(orjson.dumps({"do": do, **given}) + b"\n")
        client.stdin.flush()
        answer = client.stdout.readline()
        if not answer:
            raise RuntimeError(f"the client of the Chroma server ended with {client.wait()}")
        return orjson.loads(answer)


def _rows(documents: Sequence[Document]) -> list[dict[str, Any]]:
    template = Template(EMBED)
    return [
        {
            "id": each["id"],
            "text": template.render(each),
            "about": {"name": each["title"], "price": each["price"], "category": each["category"] or ""},
        }
        for each in documents
    ]
