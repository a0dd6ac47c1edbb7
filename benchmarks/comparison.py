"""Contenders, Nearfield and the floors under it, round by round; then the tables. Part of `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from benchmarks import contest, floors, goals
from benchmarks.contenders.chroma_server import ChromaServer
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.nearfield import Nearfield
from benchmarks.contenders.tutorial import Tutorial
from benchmarks.contenders.txtai_api import TxtaiApi
from benchmarks.contest import CLIENTS, MAX_PRICE, ROWS, SECONDS, WRITERS
from benchmarks.report import Section
from benchmarks.rounds import FOLDER, Figures, Measured, Rounds
from benchmarks.served import REPEATED, served
from benchmarks.server import cores_busy

CONTENDERS: tuple[type[Contender], ...] = (Tutorial, TxtaiApi, ChromaServer, Nearfield)
SERVED = "served"
FLOORS = "floors"
OURS = frozenset({Nearfield.name, SERVED, FLOORS})
MINUTES = {"tutorial": 0.8, "txtai": 1.2, "chroma": 0.9, "nearfield": 0.9, SERVED: 0.7, FLOORS: 0.7}
"""What one round of each takes on two cores."""


def units(rows: int) -> dict[str, Callable[[], Figures]]:
    """What a round is made of, by name. rows: listings in the larger collection."""
    contenders = {each.name: _round_of(each) for each in CONTENDERS}
    return contenders | {SERVED: lambda: served(rows), FLOORS: lambda: floors.measure(rows)}


def _round_of(contender: type[Contender]) -> Callable[[], Figures]:
    return lambda: contest.measure(contender())


def run(*, rows: int, rounds: int, most: int | None = None) -> list[Section]:
    """Measure what is missing, then tell all of it. Interrupted, it goes on where it was.

    most: rounds of units measured now, None for all; with any still missing there are no tables.
    """
    kept, acts = Rounds(FOLDER, OURS), units(rows)
    missing = kept.missing(acts, rounds)
    print(f"{len(missing)} units to measure, about {sum(MINUTES[unit] for unit, _ in missing):.0f} minutes", flush=True)
    for unit, turn in missing[:most]:
        started = time.perf_counter()
        others = cores_busy()
        figures = kept.measure(unit, turn, acts[unit], others=others)
        print(f"{unit}, round {turn}, {time.perf_counter() - started:.0f} s: {contest.as_json(figures)}", flush=True)
    if kept.missing(acts, rounds):
        return []
    return sections({unit: kept.figures(unit, rounds) for unit in acts}, rows=rows, rounds=rounds)


def sections(measured: Mapping[str, Measured], *, rows: int, rounds: int) -> list[Section]:
    """The tables of what was measured."""
    return [
        _side_by_side(measured, rows, rounds),
        _under_load(measured, rows, rounds),
        _floors(measured[FLOORS], rows, rounds),
        goals.section(measured, rows=rows, rounds=rounds),
    ]


def _side_by_side(measured: Mapping[str, Measured], rows: int, rounds: int) -> Section:
    columns = [(each.title, measured[each.name]) for each in CONTENDERS]
    columns.append((f"Nearfield, {rows:,} listings", measured[SERVED]))
    lines = [
        ("ready, s", "start_s", 2, 1.0),
        ("bulk load, documents/s", "bulk.rate", 1, 1.0),
        (f"one by one, {WRITERS} clients, documents/s", "writes.rate", 1, 1.0),
        *((f"searches/s, {clients} clients", f"semantic@{clients}.rate", 1, 1.0) for clients in CLIENTS),
        *((f"p50 ms, {clients} clients", f"semantic@{clients}.p50_ms", 1, 1.0) for clients in CLIENTS),
        *((f"p99 ms, {clients} clients", f"semantic@{clients}.p99_ms", 1, 1.0) for clients in CLIENTS),
        ("recall@10", "recall", 3, 1.0),
        ("recall@10 with the filter", "recall_filtered", 3, 1.0),
        ("answers that keep to the filter, %", "filter_kept", 0, 100.0),
        ("peak memory, MB", "peak_mb", 0, 1.0),
        ("disk, MB", "disk_mb", 1, 1.0),
        ("others, cores", "others", 2, 1.0),
    ]
    table = [["", *(title for title, _ in columns)]]
    for label, name, digits, scale in lines:
        table.append([label, *(figures.told(name, digits, scale=scale) for _, figures in columns)])
    return Section(
        name="contenders",
        title="Contenders side by side",
        command="make bench",
        lead=(
            f"{ROWS:,} listings where no other number is said, all-MiniLM-L6-v2 everywhere, semantic search for 10 "
            f"listings up to ${MAX_PRICE:.0f}, every query distinct; medians of {rounds} rounds of {SECONDS:.0f} s "
            "(least to most), the programs taking turns. Each runs in its own process as its users start it. *Ready* "
            "is from the start of the process to the first answer, weights and data being on disk. A bulk load ends "
            "when all can be found; txtai's documents are written by one client. Load comes from wrk, on one core; "
            "Chroma's from threads of the process that embeds. Recall@10 is against exact search in float32 "
            f"({rows:,} listings: against the service's own exact search). *Others* is what else the machine did when "
            "a round began."
        ),
        rows=table,
    )


def _under_load(measured: Mapping[str, Measured], rows: int, rounds: int) -> Section:
    served_figures = measured[SERVED]
    table = [["search", "clients", "searches/s", "p50 ms", "p95 ms", "p99 ms", "503, %", "errors", "generator, cores"]]
    loads = [(mode, f"{mode}@{clients}", clients) for mode in Nearfield.modes for clients in CLIENTS]
    for label, name, clients in [*loads, ("semantic, repeated", "cached@32", 32)]:
        digits = {"rate": 1, "p50_ms": 2, "p95_ms": 1, "p99_ms": 1}
        table.append(
            [
                label,
                str(clients),
                *(served_figures.told(f"{name}.{figure}", places) for figure, places in digits.items()),
                f"{served_figures.median(f'{name}.refused'):.1%}",
                f"{max(served_figures.values[f'{name}.failed']):.0f}",
                served_figures.told(f"{name}.generator", 2),
            ]
        )
    return Section(
        name="load",
        title="Nearfield under load",
        command="make bench",
        lead=(
            f"`nearfield serve` over {rows:,} listings, once it has made its lexicon, which a start does in the "
            "background; searches with a price filter, every query distinct but in the "
            f"last row, which repeats {REPEATED} of them; {rounds} rounds of {SECONDS:.0f} s a load. Percentiles are "
            "of the searches that were answered; who is refused asks again at once. The last column is what wrk, on "
            "the same two cores, took."
        ),
        rows=table,
    )


def _floors(figures: Measured, rows: int, rounds: int) -> Section:
    lines = [
        ("embedder, documents/s", "embedder.documents", 1),
        ("embedder, one query at a time, ms", "embedder.p50_ms", 2),
        ("embedder, one query at a time, queries/s", "embedder.singles", 0),
        ("embedder, batches of 16, queries/s", "embedder.batches_16", 0),
        ("embedder, batches of 32, queries/s", "embedder.batches_32", 0),
        ("zvec, ms", "engine.p50_ms", 2),
        ("zvec with the price filter, ms", "engine.filtered_ms", 2),
        ("zvec full text, ms", "engine.words_ms", 2),
        ("zvec full text with the price filter, ms", "engine.words_filtered_ms", 2),
        ("zvec on two threads, searches/s", "engine.rate_2_threads", 0),
        ("store, 10 documents, ms", "store.p50_ms", 2),
        *(
            (f"{mode} search in the process, {tasks} at once, searches/s", f"inside.{mode}@{tasks}.rate", 1)
            for mode in Nearfield.modes
            for tasks in (1, floors.AT_ONCE)
        ),
        *((f"empty FastAPI route, {clients} clients, requests/s", f"route@{clients}.rate", 0) for clients in CLIENTS),
    ]
    return Section(
        name="floors",
        title="The floors",
        command="make bench",
        lead=(
            f"What the parts give by themselves in the same {rounds} rounds, over the same {rows:,} listings: the bare "
            "embedder, zvec without our adapter, the store, the whole search in the process without HTTP, and a route "
            "that does nothing under the same web server and load generator."
        ),
        rows=[["", "median (least to most)"], *([label, figures.told(name, digits)] for label, name, digits in lines)],
    )
