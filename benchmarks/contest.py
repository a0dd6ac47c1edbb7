"""Contenders side by side: the same listings, the same queries, taking turns."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from benchmarks.contenders.contender import LIMIT, Contender, Document
from benchmarks.contenders.nearfield import Nearfield
from benchmarks.listings import PROJECT, listings, queries
from benchmarks.load import Load
from benchmarks.rounds import FOLDER, Figures
from benchmarks.server import folder_bytes
from benchmarks.truth import Truth

ROWS = 1_000
CLIENTS = (1, 8, 32, 128)
SECONDS = 3.0
WRITERS = 8
MAX_PRICE = 20.0  # which six listings in ten pass
CHECKS = 40  # queries whose answers are looked at
PER_POINT = {"nearfield": 6_000}  # queries given to one load; more than it answers meanwhile
FEW = 600
WRITTEN = 6_000  # documents there are for writing one by one


def measure(contender: Contender) -> Figures:
    """One round of a contender: start, check, search from more and more clients, load, write, stop."""
    folder = FOLDER.parent / "round" / contender.name
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(prepared(contender), folder)
    words, documents = iter(queries(60_000)), listings(ROWS + contender.bulk_rows + WRITTEN)
    figures: dict[str, float] = {}
    try:
        figures["start_s"] = start(contender, folder, next(words))
        figures |= check(contender, documents[:ROWS])
        for mode in contender.modes:
            for clients in CLIENTS:
                figures |= searches(contender, words, mode=mode, clients=clients)
        figures |= writes(contender, documents[ROWS:])
        figures["peak_mb"] = contender.peak_bytes() / 1e6
        figures["disk_mb"] = folder_bytes(folder) / 1e6
    finally:
        contender.stop()
        shutil.rmtree(folder.parent, ignore_errors=True)
    return figures


def prepared(contender: Contender) -> Path:
    """Its data folder with the first ROWS listings, filled now where there is none yet."""
    folder = PROJECT / "build" / "bench" / f"{contender.name}-{ROWS}"
    whole = folder / "filled"
    if not whole.exists():
        print(f"{contender.title}: taking in {ROWS:,} listings", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            contender.start(folder)
            contender.begin()
            contender.wait("anything")
            contender.load(listings(ROWS))
        finally:
            contender.stop()
        whole.touch()
    return folder


def start(contender: Contender, folder: Path, query: str) -> float:
    """Seconds from the start of its processes to the answer to the first query."""
    started = time.perf_counter()
    contender.start(folder)
    contender.wait(query)
    return time.perf_counter() - started


def check(contender: Contender, documents: list[Document]) -> Figures:
    """Recall of meaning against exact search, with a price filter and without, and whether the filter was kept to."""
    truth = Truth.of(documents)
    prices = {document["id"]: document["price"] for document in documents}
    recalls: dict[str, list[float]] = {"recall": [], "recall_filtered": []}
    kept = 0
    for query in queries(CHECKS):
        for name, bound in (("recall", None), ("recall_filtered", MAX_PRICE)):
            wanted = truth.nearest(query, max_price=bound, limit=LIMIT)
            found = contender.search(query, mode=contender.modes[0], max_price=bound)
            recalls[name].append(len(set(found) & set(wanted)) / len(wanted))
            kept += bound is not None and all(prices[key] <= bound for key in found)
    return {name: sum(values) / len(values) for name, values in recalls.items()} | {"filter_kept": kept / CHECKS}


def searches(contender: Contender, words: Iterator[str], *, mode: str, clients: int) -> Figures:
    """Search with a price filter from some clients; every query is new to it."""
    asked = [next(words) for _ in range(PER_POINT.get(contender.name, FEW))]
    load = contender.searches(asked, mode=mode, max_price=MAX_PRICE, clients=clients, seconds=SECONDS)
    return told(f"{mode}@{clients}", load, of=len(asked))


def told(name: str, load: Load, *, of: int) -> Figures:
    """A load as figures. of: how many different requests there were; a warning is printed where they were too few."""
    if load.good + load.refused > of:
        print(f"{name}: {load.good + load.refused} answers to {of} different requests: some were asked again")
    every = max(1, load.good + load.refused + load.failed)
    return {
        f"{name}.rate": load.rate,
        f"{name}.p50_ms": load.p50_ms,
        f"{name}.p95_ms": load.p95_ms,
        f"{name}.p99_ms": load.p99_ms,
        f"{name}.refused": load.refused / every,
        f"{name}.unhinted": load.without_retry_after,
        f"{name}.failed": load.failed,
        f"{name}.generator": load.generator_cpu,
    }


def writes(contender: Contender, documents: list[Document]) -> Figures:
    """A bulk load, then documents one by one from WRITERS clients."""
    bulk, single = documents[: contender.bulk_rows], documents[contender.bulk_rows :]
    started = time.perf_counter()
    contender.load(bulk)
    figures = {"bulk.rate": len(bulk) / (time.perf_counter() - started)}
    load = contender.writes(single, clients=WRITERS, seconds=SECONDS)
    figures |= told("writes", load, of=len(single))
    if isinstance(contender, Nearfield):
        figures["lag_s"] = _lag(contender, single[-1])
    return figures


def _lag(contender: Nearfield, document: Document) -> float:
    """Seconds from the acknowledgement of one more write, behind all the others, until it can be found."""
    request = contender.write_request(document | {"title": f"{document['title']} (new)"})
    seq = contender.running.ask(request)["seq"]
    started = time.perf_counter()
    contender.searchable(seq)
    return time.perf_counter() - started


def as_json(figures: Figures) -> str:
    """For a log."""
    return orjson.dumps({name: round(value, 3) for name, value in figures.items()}).decode()
