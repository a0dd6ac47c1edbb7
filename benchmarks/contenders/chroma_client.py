"""The application in front of a Chroma server: `python -m benchmarks.contenders.chroma_client PORT MODEL`.

Embeds with Sentence Transformers, asks the server, and tells what it measured: one JSON object a line in, one out. Runs
in the contenders' environment, so it imports nothing of Nearfield.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import chromadb
from sentence_transformers import SentenceTransformer

from benchmarks.report import percentile

START_S = 120.0
BATCH = 64


class Client:
    """A collection of listings on a server that is perhaps still starting, and the model their vectors come from."""

    def __init__(self, port: int, model: str) -> None:
        self._model = SentenceTransformer(model)
        self._collection = self._connect(port)

    @staticmethod
    def _connect(port: int) -> Any:
        deadline = time.monotonic() + START_S
        while True:
            try:
                client = chromadb.HttpClient(host="127.0.0.1", port=port)
                return client.get_or_create_collection("listings", metadata={"hnsw:space": "cosine"})
            except Exception:  # whichever of its own this version raises while nothing answers
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def search(self, query: str, max_price: float | None, limit: int) -> list[str]:
        """The ids of the nearest listings."""
        where: Any = None if max_price is None else {"price": {"$lte": max_price}}
        vector = self._model.encode(query, show_progress_bar=False).tolist()
        found = self._collection.query(query_embeddings=[vector], n_results=limit, where=where)
        ids: list[str] = found["ids"][0]
        return ids

    def load(self, documents: list[dict[str, Any]]) -> int:
        """Add documents in batches."""
        for start in range(0, len(documents), BATCH):
            part = documents[start : start + BATCH]
            texts = [each["text"] for each in part]
            vectors = self._model.encode(texts, show_progress_bar=False).tolist()
            self._collection.add(
                ids=[each["id"] for each in part],
                embeddings=vectors,
                documents=texts,
                metadatas=[each["about"] for each in part],
            )
        return len(documents)

    def searches(
        self, queries: list[str], max_price: float | None, limit: int, clients: int, seconds: float
    ) -> dict[str, float]:
        """Search from threads for some seconds."""
        return _measure(lambda query: self.search(query, max_price, limit), queries, clients, seconds)

    def writes(self, documents: list[dict[str, Any]], clients: int, seconds: float) -> dict[str, float]:
        """Add one document at a time from threads for some seconds."""
        return _measure(lambda document: self.load([document]), documents, clients, seconds)


def _measure(act: Callable[[Any], object], things: list[Any], clients: int, seconds: float) -> dict[str, float]:
    """Do one thing after the other in each of some threads until the time is over; see `benchmarks.load.Load`."""
    turns, taking = itertools.cycle(things), threading.Lock()
    started, cpu = time.perf_counter(), time.process_time()

    def take() -> Iterator[Any]:
        while time.perf_counter() - started < seconds:
            with taking:
                thing = next(turns)
            yield thing

    def work() -> tuple[list[float], int]:
        took, failed = [], 0
        for thing in take():
            since = time.perf_counter()
            try:
                act(thing)
            except Exception:  # noqa: BLE001 - counted, whatever it is
                failed += 1
            else:
                took.append((time.perf_counter() - since) * 1000)
        return took, failed

    with ThreadPoolExecutor(clients) as threads:
        parts = [task.result() for task in [threads.submit(work) for _ in range(clients)]]
    wall = time.perf_counter() - started
    took = [one for part, _ in parts for one in part] or [0.0]
    return {
        "seconds": wall,
        "good": sum(len(part) for part, _ in parts),
        "other": sum(failed for _, failed in parts),
        "p50_ms": statistics.median(took),
        "p95_ms": percentile(took, 0.95),
        "p99_ms": percentile(took, 0.99),
        "generator_cpu": (time.process_time() - cpu) / wall,
    }


def main() -> None:
    """Serve lines until standard input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    client = Client(int(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(getattr(client, asked.pop("do"))(**asked)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
