"""The path of one search: what each of its steps costs, one search alone and 32 at once.

In the process, as `nearfield serve` runs it, without HTTP. A step's processor time is that of the thread it runs in;
what OpenVINO's and zvec's own threads take is told apart by the process's whole.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

import uvloop

from benchmarks.floors import AT_ONCE, pipeline, settle
from benchmarks.listings import queries
from benchmarks.report import Section
from benchmarks.shop import open_shop
from nearfield.domain.plans import Mode
from nearfield.embedders.onnx import OnnxEmbedder
from nearfield.engines.local_search import Searcher
from nearfield.graphs.openvino_session import OpenVinoSession
from nearfield.search import fuse, plan, wording
from nearfield.search.answer_cache import AnswerCache
from nearfield.store import documents

QUERIES: Final = "queries embedded, in batches"
ZVEC: Final = "of both, zvec"
STEPS: Final[dict[str, tuple[Any, str]]] = {
    QUERIES: (OnnxEmbedder, "_fill"),
    "of that, the network": (OpenVinoSession, "run"),
    "nearest vectors, filtered": (Searcher, "nearest"),
    "words, filtered": (Searcher, "lexical"),
    ZVEC: (Searcher, "_ask"),
    "documents of the answer": (documents, "by_key"),
    "spelling": (wording, "_corrections"),
    "filter placed": (plan, "place"),
    "lists fused": (fuse, "_block"),
    "answer kept": (AnswerCache, "keep"),
}
"""By what a reader calls it: where the function is, and its name."""
SECONDS = 5.0


@dataclass(slots=True)
class Spent:
    """Of one kind of search; by step, in ms a search."""

    rate: float
    p50_ms: float
    cpu_ms: float
    calls: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)


class _Clock:
    """Sums up the time of functions that it is put around."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.wall: defaultdict[str, float] = defaultdict(float)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return call(*given, **named)
            finally:
                self.cpu[name] += time.thread_time() - cpu
                self.wall[name] += time.perf_counter() - wall
                self.calls[name] += 1

        return timed

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time all steps inside."""
        patches = [
            patch.object(place, name, self.around(step, getattr(place, name))) for step, (place, name) in STEPS.items()
        ]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def run(*, rows: int, rounds: int) -> Section:
    """Search in each mode, alone and many at once. rounds: of no meaning here."""
    del rounds
    spent: dict[tuple[Mode, int], Spent] = {}
    words = iter(queries(60_000))

    async def measure() -> None:
        backend = await open_shop(rows)
        try:
            await settle(backend)
            for mode in (Mode.SEMANTIC, Mode.HYBRID):
                for tasks in (1, AT_ONCE):
                    await pipeline(backend, words, mode, tasks=tasks, seconds=1.0)
                    clock, before, since = _Clock(), time.process_time(), time.perf_counter()
                    with clock.running():
                        figures = await pipeline(backend, words, mode, tasks=tasks, seconds=SECONDS)
                    rate = figures[f"inside.{mode}@{tasks}.rate"]
                    count = rate * (time.perf_counter() - since)
                    found = spent[mode, tasks] = Spent(
                        rate,
                        figures[f"inside.{mode}@{tasks}.p50_ms"],
                        1000 * (time.process_time() - before) / count,
                    )
                    found.calls = {step: clock.calls[step] / count for step in STEPS}
                    found.cpu = {step: 1000 * clock.cpu[step] / count for step in STEPS}
                    found.wall = {step: 1000 * clock.wall[step] / count for step in STEPS}
        finally:
            await backend.close()

    uvloop.run(measure())
    return _section(spent, rows)


def _section(spent: dict[tuple[Mode, int], Spent], rows: int) -> Section:
    kinds, together = list(spent), spent[Mode.SEMANTIC, AT_ONCE]
    floor = together.cpu[QUERIES] + together.cpu[ZVEC]
    table = [["ms of processor (ms passed) a search", *(f"{mode}, {_tasks(tasks)}" for mode, tasks in kinds)]]
    table += [[step, *(_step(spent[kind], step) for kind in kinds)] for step in STEPS]
    table += [
        ["whole process", *(f"{spent[kind].cpu_ms:.2f}" for kind in kinds)],
        ["p50 ms", *(f"{spent[kind].p50_ms:.1f}" for kind in kinds)],
        ["searches/s", *(f"{spent[kind].rate:.0f}" for kind in kinds)],
    ]
    return Section(
        name="path",
        title="Where the time of a search goes",
        command="python -m benchmarks path",
        lead=(
            f"In the process, without HTTP: {rows:,} listings, a price filter, distinct queries. A step's processor "
            "time is that of its own thread; the whole process has that of OpenVINO's threads as well. A batch of "
            "queries is embedded in one run, whose time is shared out among them. Of a semantic search among "
            f"{AT_ONCE} the queries' thread and zvec take {floor:.1f} ms of {together.cpu_ms:.1f}; the rest is the "
            "embedder's second thread, the store, and Python."
        ),
        rows=table,
    )


def _tasks(tasks: int) -> str:
    return "alone" if tasks == 1 else f"{tasks} at once"


def _step(spent: Spent, step: str) -> str:
    return f"{spent.cpu[step]:.2f} ({spent.wall[step]:.2f})" if spent.calls[step] else ""
