"""txtai's own API, configured as its documentation does: one YAML file, content stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from benchmarks.contenders.contender import LIMIT, Document, HttpContender
from benchmarks.contenders.environment import python, weights
from benchmarks.listings import EMBED
from benchmarks.load import Load, Request
from benchmarks.server import Server, free_port
from nearfield.domain.templates import Template

UPSERT = Request("GET", "/upsert")


class TxtaiApi(HttpContender):
    """See `Contender`. Documents are added, then taken into the index by a second request."""

    name: ClassVar[str] = "txtai"
    title: ClassVar[str] = "txtai API"
    bulk_rows: ClassVar[int] = 300

    def launch(self, folder: Path) -> Server:
        port = free_port()
        config = folder / "app.yml"
        config.write_text(
            f"path: {folder / 'index'}\nwritable: true\nembeddings:\n  path: {weights()}\n  content: true\n", "utf-8"
        )
        return Server(
            [str(python()), "-m", "uvicorn", "txtai.api:app", "--port", str(port), "--log-level", "warning"],
            port=port,
            log=folder / "log",
            env={"CONFIG": str(config)},
        )

    def search_request(self, query: str, *, mode: str, max_price: float | None) -> Request:
        """In txtai's SQL, the query being a bound parameter."""
        where = "similar(:words)" if max_price is None else f"similar(:words) and price <= {max_price}"
        sql = f"select id, text, price, score from txtai where {where} limit {LIMIT}"
        asked = {"query": sql, "limit": LIMIT, "parameters": orjson.dumps({"words": query}).decode()}
        return Request("GET", f"/search?{urlencode(asked)}")

    def write_request(self, document: Document) -> Request:
        return self._add([document])

    def ids(self, answer: Any) -> list[str]:
        return [hit["id"] for hit in answer]

    def load(self, documents: Sequence[Document]) -> None:
        self.running.ask(self._add(documents))
        self.running.ask(UPSERT)

    def writes(self, documents: Sequence[Document], *, clients: int, seconds: float) -> Load:
        """From one client, whatever is asked: what is added waits in one place for whoever upserts first."""
        return self.running.one_after_the_other(
            [[self.write_request(document), UPSERT] for document in documents], seconds=seconds
        )

    def _add(self, documents: Sequence[Document]) -> Request:
        template = Template(EMBED)
        rows = [
            {"id": each["id"], "text": template.render(each), "price": each["price"], "category": each["category"]}
            for each in documents
        ]
        return Request("POST", "/add", orjson.dumps(rows))
