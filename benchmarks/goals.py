"""What was wanted of the speed, beside what was measured: one line a goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.floors import AT_ONCE
from benchmarks.report import Section
from benchmarks.rounds import Measured

ADDED_MS = 1.5  # what a search over HTTP may cost besides its parts


@dataclass(frozen=True, slots=True)
class Goal:
    """value: the figure the goal is about. bound: what it is to be at least, or, where `most`, at most."""

    what: str
    value: float
    bound: float
    most: bool = False
    digits: int = 2

    @property
    def reached(self) -> bool:
        return self.value <= self.bound if self.most else self.value >= self.bound

    def row(self) -> list[str]:
        """As a line of the table."""
        wanted = f"{'≤' if self.most else '≥'} {self.bound:,.{self.digits}f}"
        return [self.what, wanted, f"{self.value:,.{self.digits}f}", "yes" if self.reached else "no"]


def goals(measured: Mapping[str, Measured]) -> list[Goal]:
    """All of them, from medians."""
    return [*_throughput(measured), *_one_client(measured), *_writes(measured), *_whole(measured)]


def _throughput(measured: Mapping[str, Measured]) -> list[Goal]:
    ours, floors = measured["served"], measured["floors"]
    tutorial = measured["tutorial"].median("semantic@32.rate")
    found = []
    for mode, times in (("semantic", 15), ("hybrid", 10)):
        rate = ours.median(f"{mode}@32.rate")
        inside = floors.median(f"inside.{mode}@{AT_ONCE}.rate")
        peak = max(ours.median(f"{mode}@{clients}.rate") for clients in (1, 8, 32, 128))
        found += [
            Goal(f"{mode}, 32 clients: times the tutorial's searches/s", rate / tutorial, times, digits=1),
            Goal(f"{mode}, 32 clients: share of the same in the process", rate / inside, 0.65),
            Goal(f"{mode}, 32 clients: p99 ms", ours.median(f"{mode}@32.p99_ms"), 150, most=True, digits=0),
            Goal(f"{mode}, 128 clients: share of its peak", ours.median(f"{mode}@128.rate") / peak, 0.9),
            Goal(
                f"{mode}, 128 clients: errors, and 503 without Retry-After",
                max(ours.values[f"{mode}@128.failed"]) + max(ours.values[f"{mode}@128.unhinted"]),
                0,
                most=True,
                digits=0,
            ),
        ]
    return found


def _one_client(measured: Mapping[str, Measured]) -> list[Goal]:
    ours, floors = measured["served"], measured["floors"]
    tutorial = measured["tutorial"].median("semantic@1.p50_ms")
    parts = sum(floors.median(part) for part in ("embedder.p50_ms", "engine.filtered_ms", "store.p50_ms"))
    words = floors.median("engine.words_filtered_ms")
    semantic, hybrid = ours.median("semantic@1.p50_ms"), ours.median("hybrid@1.p50_ms")
    return [
        Goal("semantic, one client: p50 ms, its bare parts and 1.5 ms", semantic, parts + ADDED_MS, most=True),
        Goal("hybrid, one client: p50 ms, its bare parts and 1.5 ms", hybrid, parts + words + ADDED_MS, most=True),
        Goal("semantic, one client: share of the tutorial's p50", semantic / tutorial, 0.25, most=True),
        Goal("hybrid, one client: share of the tutorial's p50", hybrid / tutorial, 1 / 3, most=True),
    ]


def _writes(measured: Mapping[str, Measured]) -> list[Goal]:
    ours, bulk = measured["nearfield"], measured["nearfield"].median("bulk.rate")
    single = ours.median("writes.rate") / measured["tutorial"].median("writes.rate")
    return [
        Goal(
            "bulk load over HTTP: share of the bare embedder",
            bulk / measured["floors"].median("embedder.documents"),
            0.9,
        ),
        Goal("bulk load: times txtai's", bulk / measured["txtai"].median("bulk.rate"), 2.5, digits=1),
        Goal("durable writes one by one: times the tutorial's", single, 20, digits=1),
        Goal("a write behind all of them can be found after, s", ours.median("lag_s"), 1.0, most=True),
    ]


def _whole(measured: Mapping[str, Measured]) -> list[Goal]:
    ours, start = measured["served"], measured["served"].median("start_s")
    route = measured["floors"].median("route@32.rate")
    cached = min(2_000.0, 0.7 * route)
    return [
        Goal("repeated queries, 32 clients: searches/s", ours.median("cached@32.rate"), cached, digits=0),
        Goal("start to first answer, s", start, 3.0, most=True),
        Goal(
            "start to first answer: share of the tutorial's",
            start / measured["tutorial"].median("start_s"),
            0.2,
            most=True,
        ),
        Goal("peak resident memory, MB", ours.median("peak_mb"), 700, most=True, digits=0),
    ]


def section(measured: Mapping[str, Measured], *, rows: int, rounds: int) -> Section:
    """The table of goals."""
    found = goals(measured)
    return Section(
        name="goals",
        title="What was wanted, and what is",
        command="make bench",
        lead=(
            f"Medians of the {rounds} rounds above: {rows:,} listings, a price filter on every search, the tutorial's "
            f"own figures at its thousand. {sum(goal.reached for goal in found)} of {len(found)} reached."
        ),
        rows=[["", "wanted", "measured", "reached"], *(goal.row() for goal in found)],
    )
