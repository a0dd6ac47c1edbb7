"""One search over HTTP beside what its parts cost bare: embedder, engine, store."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

import orjson
import uvicorn
import uvloop

from benchmarks.listings import queries
from benchmarks.report import Section, percentile, spread
from benchmarks.shop import NAME, open_shop
from nearfield.api.app import create_app
from nearfield.domain.queries import Search
from nearfield.search.fuse import DENSE_DEPTH, HYBRID_DEPTHS
from nearfield.search.retrieve import Candidates
from nearfield.wiring import Backend

SEARCHES = 200  # of each kind, in each round
LIMIT = 10


def run(*, rows: int, rounds: int) -> Section:
    """Rounds of bare parts and HTTP searches, taking turns, over distinct queries."""
    bare: list[dict[str, float]] = []
    http: list[float] = []
    tails: list[float] = []
    words = iter(queries(SEARCHES * rounds * 2))

    async def measure() -> None:
        backend = await open_shop(rows)
        server = uvicorn.Server(
            uvicorn.Config(create_app(backend.settings, backend=backend), port=0, log_level="error")
        )
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.05)
        await backend.searches.search(NAME, Search(query="anything"))
        while any(task.get_name().startswith("lexicon") for task in asyncio.all_tasks()):
            await asyncio.sleep(0.5)  # once after a start; searches go without it meanwhile
        port = server.servers[0].sockets[0].getsockname()[1]
        for _ in range(rounds):
            bare.append(await _bare(backend, [next(words) for _ in range(SEARCHES)]))
            took = await _over_http(port, [next(words) for _ in range(SEARCHES)])
            http.append(statistics.median(took))
            tails.append(percentile(took, 0.99))
        server.should_exit = True
        await serving

    uvloop.run(measure())  # as `nearfield serve` does
    sums = [sum(parts.values()) for parts in bare]
    over = [over_http - parts for over_http, parts in zip(http, sums, strict=True)]
    return Section(
        name="latency",
        title="One hybrid search over HTTP beside its bare parts",
        command="make bench",
        lead=(
            f"{rows:,} listings on `local`, one client, limit {LIMIT}, hybrid, every query distinct; {rounds} rounds "
            f"of {SEARCHES} searches each way, taking turns. Bare parts are called one after the other in the process."
        ),
        rows=[
            ["", "p50 ms: median of rounds (least to most)"],
            *[[f"bare {part}", spread([parts[part] for parts in bare], 2)] for part in bare[0]],
            ["bare, sum", spread(sums, 2)],
            ["over HTTP", spread(http, 2)],
            ["over HTTP, p99", spread(tails, 2)],
            ["added by Nearfield and HTTP", spread(over, 2)],
        ],
    )


async def _bare(backend: Backend, asked: list[str]) -> dict[str, float]:
    """Median milliseconds of each part of a hybrid search, called on its own."""
    collection = await backend.catalog.get(NAME)
    live = await backend.generations.live(collection)
    took: dict[str, list[float]] = {"embedder": [], "engine, vectors": [], "engine, words": [], "store": []}

    def lap(part: str, since: float) -> float:
        now = time.perf_counter()
        took[part].append((now - since) * 1000)
        return now

    for query in asked:
        start = time.perf_counter()
        vector = (await live.embedder.embed([query], role="query"))[0]
        start = lap("embedder", start)
        found = Candidates.of(await live.index.nearest(vector, limit=HYBRID_DEPTHS[0] * DENSE_DEPTH))
        start = lap("engine, vectors", start)
        await live.index.lexical(query, limit=HYBRID_DEPTHS[0])
        start = lap("engine, words", start)
        await backend.store.by_key(collection, found.documents[:LIMIT].tolist())
        lap("store", start)
    return {part: statistics.median(values) for part, values in took.items()}


async def _over_http(port: int, asked: list[str]) -> list[float]:
    """Milliseconds of each search, seen by a client process with one connection."""
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.client",
        str(port),
        f"/v1/collections/{NAME}/search",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    bodies = [{"query": query, "limit": LIMIT} for query in asked]
    answer, _ = await client.communicate(orjson.dumps(bodies))
    if client.returncode:
        raise SystemExit(f"the client failed with {client.returncode}")
    took: list[float] = orjson.loads(answer)
    return took
