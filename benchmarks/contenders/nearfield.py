"""`nearfield serve`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson

from benchmarks.contenders.contender import LIMIT, START_TIMEOUT_S, Document, HttpContender
from benchmarks.listings import EMBED, FIELDS
from benchmarks.load import Request
from benchmarks.server import Server, free_port, until
from benchmarks.shop import NAME

PROGRAM = "from nearfield.cli.main import main; main()"
COLLECTION = f"/v1/collections/{NAME}"


class Nearfield(HttpContender):
    """See `Contender`. Hybrid search beside semantic, since that is what it does when nothing is said."""

    name: ClassVar[str] = "nearfield"
    title: ClassVar[str] = "Nearfield"
    bulk_rows: ClassVar[int] = 2_000
    modes: ClassVar[tuple[str, ...]] = ("semantic", "hybrid")

    def launch(self, folder: Path) -> Server:
        """By the console script's own function, so that it is this checkout's whatever is installed."""
        port = free_port()
        words = ["serve", "--port", str(port), "--data", str(folder)]
        folder.mkdir(parents=True, exist_ok=True)
        return Server([sys.executable, "-c", PROGRAM, *words], port=port, log=folder.with_suffix(".log"))

    def search_request(self, query: str, *, mode: str, max_price: float | None) -> Request:
        body: dict[str, Any] = {"query": query, "mode": mode, "limit": LIMIT}
        if max_price is not None:
            body["filter"] = {"price": {"$lte": max_price}}
        return Request("POST", f"{COLLECTION}/search", orjson.dumps(body))

    def write_request(self, document: Document) -> Request:
        return Request("POST", f"{COLLECTION}/documents", orjson.dumps(document))

    def ids(self, answer: Any) -> list[str]:
        return [hit["id"] for hit in answer["hits"]]

    def begin(self) -> None:
        """Make the collection; one that exists stays as it is."""
        body = orjson.dumps({"embed": EMBED, "fields": FIELDS})
        until(lambda: self.running.ask(Request("PUT", COLLECTION, body)), timeout_s=START_TIMEOUT_S)

    def load(self, documents: Sequence[Document]) -> None:
        """One stream of lines, then a search that waits until the last of them is in the index."""
        lines = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in documents)
        taken = self.running.ask(Request("POST", f"{COLLECTION}/documents", lines, "application/x-ndjson"))
        self.searchable(taken["seq"])

    def searchable(self, seq: int) -> None:
        """Wait until a change is seen by searches."""
        for _ in itertools.count():
            try:
                body = {"query": "anything", "limit": 1, "min_seq": seq}
                self.running.ask(Request("POST", f"{COLLECTION}/search", orjson.dumps(body)))
            except ConnectionError:  # it waited half a minute, and says to come again
                continue
            return

    def exact(self, query: str, *, max_price: float | None) -> list[str]:
        """The ids exhaustive search finds, by meaning."""
        request = self.search_request(query, mode="semantic", max_price=max_price)
        body = orjson.loads(request.body) | {"exact": True}
        return self.ids(self.running.ask(Request("POST", request.path, orjson.dumps(body))))
