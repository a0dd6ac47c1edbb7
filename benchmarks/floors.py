"""Floors: what embedder, engine, store and web server give by themselves, and the whole search without HTTP."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop

from benchmarks.contest import CLIENTS, MAX_PRICE, told
from benchmarks.listings import EMBED, PROJECT, listings, queries
from benchmarks.load import Request, fire
from benchmarks.rounds import FOLDER, Figures
from benchmarks.server import Server, free_port, until
from benchmarks.shop import NAME, open_shop
from nearfield.domain.binding import bind
from nearfield.domain.documents import Float32Array
from nearfield.domain.filter_json import parse_json
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.templates import Template
from nearfield.engines.local_filters import compile_filter
from nearfield.engines.local_schema import TEXT, VECTOR, query_param, sdk
from nearfield.settings import load_settings
from nearfield.wiring import Backend, bare_embedder

MODEL = "all-MiniLM-L6-v2"
LIMIT = 10
TEXTS = 1_000
SINGLES = 200
BATCHES = {16: 30, 32: 15}  # texts in a batch, batches
SECONDS = 3.0
AT_ONCE = 32
FILTER = {"price": {"$lte": MAX_PRICE}}


def measure(rows: int) -> Figures:
    """One round of all floors, over a collection of so many listings."""
    figures: dict[str, float] = {}
    words = iter(queries(40_000))

    async def inside() -> None:
        figures.update(await _embedder(words))
        backend = await open_shop(rows)
        try:
            await settle(backend)
            vectors = await _vectors(words)
            live = await backend.generations.live(await backend.catalog.get(NAME))
            figures.update(await asyncio.to_thread(_engine, live.index, vectors, words))
            figures.update(await _store(backend, vectors))
            for mode in (Mode.SEMANTIC, Mode.HYBRID):
                figures.update(await pipeline(backend, words, mode, tasks=1, seconds=1.0))
                figures.update(await pipeline(backend, words, mode, tasks=AT_ONCE, seconds=SECONDS))
        finally:
            await backend.close()

    uvloop.run(inside())  # as `nearfield serve` does
    figures.update(route())
    return figures


async def settle(backend: Backend) -> None:
    """Search once, and wait for what a start does in the background; searches go without it meanwhile."""
    await backend.searches.search(NAME, Search(query="anything"))
    while any(task.get_name().startswith("lexicon") for task in asyncio.all_tasks()):
        await asyncio.sleep(0.2)


async def pipeline(backend: Backend, words: Iterator[str], mode: Mode, *, tasks: int, seconds: float) -> Figures:
    """Searches a second from some tasks of this process at once, each query a new one; and their middle latency."""
    where, took = parse_json(FILTER), list[float]()
    started = time.perf_counter()

    async def work() -> None:
        while (since := time.perf_counter()) - started < seconds:
            await backend.searches.search(NAME, Search(query=next(words), mode=mode, where=where, limit=LIMIT))
            took.append((time.perf_counter() - since) * 1000)

    await asyncio.gather(*(work() for _ in range(tasks)))
    wall = time.perf_counter() - started
    name = f"inside.{mode}@{tasks}"
    return {f"{name}.rate": len(took) / wall, f"{name}.p50_ms": statistics.median(took)}


async def _embedder(words: Iterator[str]) -> Figures:
    """The bare embedder: documents a second, and queries one at a time and in batches."""
    embedder = bare_embedder(MODEL, load_settings())
    await embedder.warm()
    template = Template(EMBED)
    texts = [template.render(document) for document in listings(TEXTS)]
    try:
        started = time.perf_counter()
        await embedder.embed(texts, role="document")
        figures = {"embedder.documents": TEXTS / (time.perf_counter() - started)}
        singles = await _timed(lambda text: embedder.embed([text], role="query"), [next(words) for _ in range(SINGLES)])
        figures |= {"embedder.p50_ms": statistics.median(singles), "embedder.singles": 1000 * SINGLES / sum(singles)}
        for size, count in BATCHES.items():
            batches = [[next(words) for _ in range(size)] for _ in range(count)]
            took = await _timed(lambda batch: embedder.embed(batch, role="query"), batches)
            figures[f"embedder.batches_{size}"] = 1000 * size * count / sum(took)
    finally:
        await embedder.close()
    return figures


async def _timed(act: Callable[[Any], Awaitable[object]], things: list[Any]) -> list[float]:
    """Milliseconds of each."""
    took = []
    for thing in things:
        since = time.perf_counter()
        await act(thing)
        took.append((time.perf_counter() - since) * 1000)
    return took


async def _vectors(words: Iterator[str]) -> Float32Array:
    embedder = bare_embedder(MODEL, load_settings())
    vectors = await embedder.embed([next(words) for _ in range(400)], role="query")
    await embedder.close()
    return vectors


def _engine(index: Any, vectors: Float32Array, words: Iterator[str]) -> Figures:
    """zvec itself, its collection taken out of our index: no thread hand-over, no ties looked at, no keys parsed."""
    zvec, collection, spec = sdk(), index._collection, index.spec
    param = query_param(spec.settings, effort=None, limit=LIMIT, rows=len(vectors), everything=False)
    bound = str(compile_filter(bind(parse_json(FILTER), spec.fields), spec.fields))

    def nearest(vector: Float32Array, where: str | None = None) -> None:
        collection.query(zvec.Query(VECTOR, vector=vector, param=param), topk=LIMIT, filter=where, output_fields=[])

    def lexical(text: str, where: str | None = None) -> None:
        collection.query(zvec.Query(TEXT, fts=zvec.Fts(match_string=text)), topk=LIMIT, filter=where, output_fields=[])

    texts = [next(words) for _ in vectors]
    figures = {
        "engine.p50_ms": _p50(nearest, vectors),
        "engine.filtered_ms": _p50(lambda vector: nearest(vector, bound), vectors),
        "engine.words_ms": _p50(lexical, texts),
        "engine.words_filtered_ms": _p50(lambda text: lexical(text, bound), texts),
    }
    with ThreadPoolExecutor(2) as threads:
        started = time.perf_counter()
        list(threads.map(nearest, [*vectors] * 4))
        figures["engine.rate_2_threads"] = 4 * len(vectors) / (time.perf_counter() - started)
    return figures


def _p50(act: Callable[[Any], None], things: Any) -> float:
    took = []
    for thing in things:
        since = time.perf_counter()
        act(thing)
        took.append((time.perf_counter() - since) * 1000)
    return statistics.median(took)


async def _store(backend: Backend, vectors: Float32Array) -> Figures:
    """Reading the documents of an answer."""
    collection = await backend.catalog.get(NAME)
    live = await backend.generations.live(collection)
    found = [(await live.index.nearest(vector, limit=LIMIT)).keys for vector in vectors[:200]]
    took = await _timed(lambda keys: backend.store.by_key(collection, (keys >> 12).tolist()), found)
    return {"store.p50_ms": statistics.median(took)}


def route(clients: tuple[int, ...] = CLIENTS) -> Figures:
    """A FastAPI route that does nothing, on the same web server with the same settings."""
    port = free_port()
    FOLDER.mkdir(parents=True, exist_ok=True)
    words = [
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
    ]
    with Server(
        [sys.executable, "-m", "uvicorn", "benchmarks.empty_route:app", *words],
        port=port,
        log=FOLDER / "route.log",
        cwd=PROJECT,
    ) as server:
        nothing = Request("POST", "/", b'{"query": "anything", "limit": 10}')
        until(lambda: server.ask(nothing), timeout_s=60)
        figures: dict[str, float] = {}
        for count in clients:
            figures |= told(f"route@{count}", fire(port, [nothing], clients=count, seconds=2), of=1_000_000)
    return figures
