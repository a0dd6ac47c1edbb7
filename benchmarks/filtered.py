"""Recall and completeness behind filters of falling selectivity."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from typing import Any

from benchmarks.listings import listings, queries
from benchmarks.report import Section, percentile
from benchmarks.shop import NAME, open_shop
from nearfield.domain.filter_json import parse_json
from nearfield.domain.filters import Filter
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.wiring import Backend

QUERIES = 200
LIMIT = 10


def run(*, rows: int, rounds: int) -> Section:
    """Semantic searches under filters that 50%, 10%, 1% and 0.01% of the listings pass, beside exhaustive search."""
    del rounds
    table = [["filter", "passes", "complete answers", "recall@10", "lowest", "plan", "p50 ms", "p99 ms"]]

    async def measure() -> None:
        backend = await open_shop(rows)
        try:
            for label, where, share in _filters(rows):
                table.append(await _measure(backend, label, where, share))
        finally:
            await backend.close()

    asyncio.run(measure())
    return Section(
        name="filtered",
        title="Recall behind filters",
        command="make bench",
        lead=(
            f"{QUERIES} distinct queries a filter over {rows:,} listings on `local` (HNSW, m 16, efSearch 200), "
            "semantic, limit 10. A complete answer has min(limit, matches) hits; recall@10 is against exact search."
        ),
        rows=table,
    )


def _filters(rows: int) -> list[tuple[str, Filter | None, float]]:
    """Filters on price, brand and category, with the share of listings that really pass each."""
    documents = listings(rows)
    prices = sorted(document["price"] for document in documents)
    brands = Counter(document["brand"] for document in documents if document["brand"])
    categories = Counter(document["category"] for document in documents if document["category"])
    tenth = next(name for name, count in brands.most_common() if count <= rows * 0.06)
    hundredth = min(categories, key=lambda name: abs(categories[name] - rows * 0.01))
    rare = min(categories, key=lambda name: (abs(categories[name] - max(rows // 10_000, 1)), name))
    wanted: list[tuple[str, dict[str, Any] | None]] = [
        ("none", None),
        ("price <= median", {"price": {"$lte": prices[rows // 2]}}),
        ("price in top tenth", {"price": {"$gte": prices[rows * 9 // 10]}}),
        (f"brand = {tenth}", {"brand": tenth}),
        (f"category = {hundredth}", {"category": hundredth}),
        (f"category = {rare}", {"category": rare}),
    ]
    passing = {
        "price <= median": sum(p <= prices[rows // 2] for p in prices),
        "price in top tenth": sum(p >= prices[rows * 9 // 10] for p in prices),
        f"brand = {tenth}": brands[tenth],
        f"category = {hundredth}": categories[hundredth],
        f"category = {rare}": categories[rare],
    }
    return [
        (label, None if where is None else parse_json(where), passing.get(label, rows) / rows)
        for label, where in wanted
    ]


async def _measure(backend: Backend, label: str, where: Filter | None, share: float) -> list[str]:
    rows = (await backend.catalog.status(NAME)).documents
    owed = min(LIMIT, round(share * rows))
    complete, recalls, took, plans = 0, [], [], Counter[str]()
    for query in queries(QUERIES):
        started = time.perf_counter()
        found = await backend.searches.search(NAME, Search(query=query, where=where, limit=LIMIT, mode=Mode.SEMANTIC))
        took.append((time.perf_counter() - started) * 1000)
        exact = await backend.searches.search(
            NAME, Search(query=query, where=where, limit=LIMIT, mode=Mode.SEMANTIC, exact=True)
        )
        complete += len(found) == owed == len(exact)
        bar = min((hit.score for hit in exact), default=0.0) - 1e-6
        recalls.append(sum(hit.score >= bar for hit in found) / owed)
        plans[found.plan.access] += 1
    return [
        label,
        f"{share:.2%}",
        f"{complete}/{QUERIES}",
        f"{statistics.mean(recalls):.4f}",
        f"{min(recalls):.1f}",
        ", ".join(f"{access} {count}" for access, count in plans.most_common()),
        f"{statistics.median(took):.2f}",
        f"{percentile(took, 0.99):.2f}",
    ]
