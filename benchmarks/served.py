"""One round of `nearfield serve` over the larger collection."""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks.contenders.contender import LIMIT
from benchmarks.contenders.nearfield import Nearfield
from benchmarks.contest import CHECKS, CLIENTS, MAX_PRICE, SECONDS, searches, start, told
from benchmarks.listings import listings, queries
from benchmarks.rounds import Figures
from benchmarks.server import folder_bytes
from benchmarks.shop import data_dir, open_shop

REPEATED = 96  # queries asked again and again
SETTLE_S = 120.0


def served(rows: int) -> Figures:
    """Start, check, search in each mode from more and more clients, then ask a few queries over and over."""
    folder = data_dir(rows)
    if not folder.exists():
        asyncio.run(_import(rows))
    contender, words = Nearfield(), iter(queries(60_000))
    figures: dict[str, float] = {}
    try:
        figures["start_s"] = start(contender, folder, next(words))
        _settle(contender, next(words))
        figures |= _check(contender, rows)
        for mode in contender.modes:
            for clients in CLIENTS:
                figures |= searches(contender, words, mode=mode, clients=clients)
        few = [next(words) for _ in range(REPEATED)]
        contender.searches(few, mode="semantic", max_price=MAX_PRICE, clients=8, seconds=1)
        repeated = contender.searches(few, mode="semantic", max_price=MAX_PRICE, clients=32, seconds=SECONDS)
        figures |= told("cached@32", repeated, of=1_000_000)
        figures["peak_mb"] = contender.peak_bytes() / 1e6
        figures["disk_mb"] = folder_bytes(folder) / 1e6
    finally:
        contender.stop()
    return figures


def _settle(contender: Nearfield, query: str) -> None:
    """Wait for what a start does in the background, the lexicon: answers are kept from then on."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        asked = contender.search_request(query, mode="semantic", max_price=None)
        if contender.running.ask(asked)["plan"]["cached"]:
            return
        time.sleep(0.2)
    raise TimeoutError(f"no answer was kept within {SETTLE_S:.0f} s of the start")


async def _import(rows: int) -> None:
    print(f"taking in {rows:,} listings, which takes minutes and is done once", flush=True)
    await (await open_shop(rows)).close()


def _check(contender: Nearfield, rows: int) -> Figures:
    """Recall against the service's own exhaustive search, with the price filter and without."""
    prices = {document["id"]: document["price"] for document in listings(rows)}
    recalls: dict[str, list[float]] = {"recall": [], "recall_filtered": []}
    kept = 0
    for query in random.Random(1).sample(queries(10_000), CHECKS):
        for name, bound in (("recall", None), ("recall_filtered", MAX_PRICE)):
            wanted = contender.exact(query, max_price=bound)
            found = contender.search(query, mode="semantic", max_price=bound)
            recalls[name].append(len(set(found) & set(wanted)) / LIMIT)
            kept += bound is not None and all(prices[key] <= bound for key in found)
    return {name: sum(values) / len(values) for name, values in recalls.items()} | {"filter_kept": kept / CHECKS}
