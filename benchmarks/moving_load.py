"""Searches and writes at a steady rate over HTTP, and a journal of every write that was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from benchmarks.shop import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIMIT = 10
PATTERN = "sswsswsssw"
"""Ten requests: seven searches, three writes."""
MOST_AT_ONCE = 200
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Write:
    """One acknowledged write. seq: its place among all of them. body: None where the document was deleted."""

    seq: int
    id: str
    body: Mapping[str, Any] | None


@dataclass(slots=True)
class Tally:
    """What happened while one move was made. took_ms: of searches answered. engines: that answered them.

    failed: why, of searches and writes alike. held_back: requests not sent since too many were under way.
    """

    took_ms: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    failed_writes: list[str] = field(default_factory=list)
    held_back: int = 0
    began: float = field(default_factory=time.perf_counter)
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """So far, or in all."""
        return (self.ended or time.perf_counter()) - self.began

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return (len(self.took_ms) + len(self.write_ms)) / self.seconds


class Load:
    """`rate` requests a second, whether or not earlier ones have been answered, from `start` to `stop`.

    No document has two writes under way, so that the order of acknowledgement is the order of the writes.
    """

    def __init__(
        self, url: str, documents: Iterable[Mapping[str, Any]], queries: Iterable[str], *, rate: float
    ) -> None:
        self._client = httpx2.AsyncClient(base_url=f"{url}/v1/collections/{NAME}", timeout=PATIENCE_S)
        self._there = {str(document["id"]): dict(document) for document in documents}
        self._ids = list(self._there)
        self._texts = list(self._there.values())
        self._prices = sorted(document["price"] for document in self._texts)
        self._queries = itertools.cycle(list(queries))
        self._rate, self._dice = rate, random.Random(17)
        self._made = itertools.count()
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.journal: list[Write] = []
        self.tally = Tally()

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._task = asyncio.create_task(self._go_on())

    def turn(self) -> Tally:
        """Count anew from now on; what was counted so far."""
        done, self.tally = self.tally, Tally()
        done.ended = time.perf_counter()
        return done

    async def stop(self) -> Tally:
        """End, when everything under way is answered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._under_way)
        await self._client.aclose()
        self.journal.sort(key=lambda one: one.seq)
        return self.turn()

    async def _go_on(self) -> None:
        due = time.perf_counter()
        for kind in itertools.cycle(PATTERN):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due = max(
                due + 1 / self._rate, time.perf_counter() - 1
            )  # what was missed for a second is not caught up with
            if len(self._under_way) >= MOST_AT_ONCE:
                self.tally.held_back += 1
                continue
            task = asyncio.create_task(self._search(self.tally) if kind == "s" else self._write(self.tally))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _search(self, tally: Tally) -> None:
        body: dict[str, Any] = {"query": next(self._queries), "limit": LIMIT, "understand": False}
        if self._dice.random() < 0.5:
            body["filter"] = {"price": {"$lte": self._prices[len(self._prices) // self._dice.choice((2, 10))]}}
        began = time.perf_counter()
        try:
            answer = await self._client.post("/search", json=body)
            told = answer.json()
        except (httpx2.HTTPError, ValueError) as exc:
            tally.failed.append(f"{type(exc).__name__}: {exc}")
            return
        if answer.status_code != 200 or len(told["hits"]) != LIMIT:
            tally.failed.append(f"{answer.status_code}: {answer.text[:300]}")
            return
        tally.took_ms.append((time.perf_counter() - began) * 1000)
        tally.engines[told["plan"]["engine"].partition("+")[0]] += 1

    async def _write(self, tally: Tally) -> None:
        kind = self._dice.choices(("new", "changed", "priced", "deleted"), (3, 3, 3, 1))[0]
        name = f"new-{next(self._made)}" if kind == "new" else self._free_id()
        body = None if kind == "deleted" else self._body(kind, name)
        self._busy.add(name)
        began = time.perf_counter()
        try:
            if body is None:
                answer = await self._client.post("/documents/delete", json={"ids": [name]})
            else:
                answer = await self._client.post("/documents", json=[body])
            told = answer.json()
            if answer.status_code != 200 or (told["deleted"] if body is None else told["accepted"]) != 1:
                raise ValueError(f"{answer.status_code}: {answer.text[:300]}")
        except (httpx2.HTTPError, ValueError) as exc:
            tally.failed_writes.append(f"{type(exc).__name__}: {exc}")
            self._there.pop(name, None)  # whether it took effect is not known
            return
        tally.write_ms.append((time.perf_counter() - began) * 1000)
        tally.writes[kind] += 1
        self.journal.append(Write(told["seq"], name, body))
        self._busy.discard(name)
        if body is None:
            del self._there[name]
        else:
            if name not in self._there:
                self._ids.append(name)
            self._there[name] = body

    def _body(self, kind: str, name: str) -> dict[str, Any]:
        body = dict(self._dice.choice(self._texts) if kind == "new" else self._there[name], id=name)
        if kind != "new":
            body["price"] = round(self._dice.uniform(3, 200), 2)
        if kind != "priced":
            body["title"] = f"{body['title']} no {self._dice.randrange(1_000_000)}"
        return body

    def _free_id(self) -> str:
        """Of a document that is there, with no write under way."""
        while True:
            name = self._dice.choice(self._ids)
            if name in self._there and name not in self._busy:
                return name
