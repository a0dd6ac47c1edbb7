"""The tutorial's program, served by uvicorn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import orjson

from benchmarks.contenders.contender import LIMIT, Document, HttpContender
from benchmarks.contenders.environment import python, weights
from benchmarks.load import Request
from benchmarks.server import Server, free_port


class Tutorial(HttpContender):
    """See `Contender`. It knows no bulk load, so a program that fills it posts one product after the other."""

    name: ClassVar[str] = "tutorial"
    title: ClassVar[str] = "tutorial program"
    bulk_rows: ClassVar[int] = 50

    def launch(self, folder: Path) -> Server:
        port = free_port()
        return Server(
            [str(python()), "-m", "uvicorn", "tutorial_app:app", "--port", str(port), "--log-level", "warning"],
            port=port,
            log=folder / "log",
            env={
                "TUTORIAL_MODEL": str(weights()),
                "TUTORIAL_DATA": str(folder / "chroma"),
                "ANONYMIZED_TELEMETRY": "0",
            },
            cwd=Path(__file__).parent,
        )

    def search_request(self, query: str, *, mode: str, max_price: float | None) -> Request:
        return Request("POST", "/search/", orjson.dumps({"query": query, "max_price": max_price, "limit": LIMIT}))

    def write_request(self, document: Document) -> Request:
        product = {
            "id": document["id"],
            "name": document["title"],
            "description": document["text"],
            "price": document["price"],
            "category": document["category"] or "",
        }
        return Request("POST", "/products/", orjson.dumps(product))

    def ids(self, answer: Any) -> list[str]:
        return [hit["id"] for hit in answer["results"]]
