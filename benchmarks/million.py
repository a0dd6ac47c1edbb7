"""The engine alone over a million vectors: memory, disk, speed and recall under each quantization.

Ten times the vectors of all listings: as they are once, and nine times with a little noise, which is said with the
figures. Each step is a process, `python -m benchmarks.million STEP QUANTIZATION ROWS`, so that memory is its own.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.listings import PROJECT, queries
from benchmarks.report import Section, percentile
from benchmarks.rounds import Figures
from benchmarks.server import folder_bytes, peak_bytes
from benchmarks.shop import NAME, open_shop
from benchmarks.truth import MODEL
from nearfield.domain.documents import Float32Array, Int64Array
from nearfield.domain.schema import IndexSettings, Quantization
from nearfield.engines.local import LocalEngine
from nearfield.protocols.engine import IndexSpec
from nearfield.settings import load_settings
from nearfield.wiring import bare_embedder

COPIES = 10
JITTER = 0.015  # standard deviation of the noise of a component: copies lie at cosine 0.96 of what they copy
QUERIES = 300
LIMIT = 10
BATCH = 1_000
KINDS = (Quantization.NONE, Quantization.FLOAT16, Quantization.INT8, Quantization.RABITQ)


def run(*, rows: int, rounds: int) -> Section:
    """Build and ask an index of COPIES * rows vectors under each quantization. rounds: of no meaning here."""
    del rounds
    asyncio.run(_keep_vectors(rows))
    _keep_truth(rows)
    table = [
        [
            "vectors kept as",
            "built, min of processor",
            "memory, MB",
            "peak of the build, MB",
            "disk, MB",
            "p50 ms",
            "p99 ms",
            "recall@10",
        ]
    ]
    for kind in KINDS:
        told = _built(kind, rows) | _step("ask", kind, rows)
        figures = (
            ("build_cpu_min", 1),
            ("resident_mb", 0),
            ("build_peak_mb", 0),
            ("disk_mb", 0),
            ("p50_ms", 2),
            ("p99_ms", 2),
        )
        table.append([kind.value, *(f"{told[name]:,.{digits}f}" for name, digits in figures), f"{told['recall']:.4f}"])
        print(" | ".join(table[-1]), flush=True)
    return Section(
        name="million",
        title="A million vectors",
        command="python -m benchmarks million",
        lead=(
            f"{COPIES * rows:,} vectors of 384 components in `local` (HNSW, as by default), no service around it: the "
            f"vectors of {rows:,} listings, and {COPIES - 1} copies of each with noise (cosine about 0.96), which "
            f"makes neighbours denser than life's. {QUERIES} distinct queries, one by one, limit {LIMIT}, recall "
            "against comparing every vector. Memory: the most resident in a process that opened it and searched, pages "
            "of its files among it. zvec keeps float32 beside codes, to score by: codes spare time, not memory."
        ),
        rows=table,
    )


def _folder(rows: int) -> Path:
    return PROJECT / "build" / "bench" / f"million-{rows}"


async def _keep_vectors(rows: int) -> None:
    """The vectors of the listings and of the queries, in files."""
    folder = _folder(rows)
    if (folder / "queries.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    backend = await open_shop(rows)
    try:
        index = (await backend.generations.live(await backend.catalog.get(NAME))).index
        keys = np.sort(np.concatenate([part async for part in index.keys()]))[:rows]  # noqa: SIM118 - no dict
        np.save(folder / "vectors.npy", (await index.vectors(keys))[1])
    finally:
        await backend.close()
    embedder = bare_embedder(MODEL, load_settings())
    np.save(folder / "queries.npy", await embedder.embed(queries(QUERIES), role="query"))
    await embedder.close()


def _blocks(rows: int) -> Iterator[tuple[Int64Array, Float32Array]]:
    """All vectors with their keys, a copy at a time; the same whenever asked."""
    real: Float32Array = np.load(_folder(rows) / "vectors.npy")
    for copy in range(COPIES):
        noise = np.random.default_rng(copy).normal(0, JITTER if copy else 0, real.shape).astype(np.float32)
        block = real + noise
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield np.arange(copy * len(real), (copy + 1) * len(real), dtype=np.int64), block


def _keep_truth(rows: int) -> None:
    """The score of the LIMIT-th best vector of each query: what is as good as that is right."""
    asked: Float32Array = np.load(_folder(rows) / "queries.npy")
    best = np.full((len(asked), LIMIT), -np.inf, np.float32)
    for _, block in _blocks(rows):
        for start in range(0, len(block), 20_000):
            both = np.hstack([best, asked @ block[start : start + 20_000].T])
            best = -np.sort(-np.partition(both, -LIMIT, axis=1)[:, -LIMIT:], axis=1)
    np.save(_folder(rows) / "bars.npy", best[:, -1])


def _built(kind: Quantization, rows: int) -> dict[str, float]:
    """The figures of a build, which is made where it is not there yet: each takes a quarter of an hour."""
    kept = _folder(rows) / f"{kind.value}.json"
    if not kept.exists():
        kept.write_bytes(orjson.dumps(_step("build", kind, rows)))
    told: dict[str, float] = orjson.loads(kept.read_bytes())
    return told


def _step(step: str, kind: Quantization, rows: int) -> dict[str, float]:
    """Run one step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.million", step, kind.value, str(rows)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    told: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return told


def _spec(kind: Quantization) -> IndexSpec:
    return IndexSpec(kind.value, 384, IndexSettings(quantization=kind), {})


async def _build(kind: Quantization, rows: int) -> Figures:
    engine = LocalEngine.at(_folder(rows) / "engine")
    index = await engine.create(_spec(kind))
    for keys, block in _blocks(rows):
        for start in range(0, len(keys), BATCH):
            part = slice(start, start + BATCH)
            await index.upsert(keys[part], block[part], [{}] * len(keys[part]), [""] * len(keys[part]))
    await index.optimize(all_cores=True)
    await index.flush()
    await engine.close()
    return {"build_cpu_min": time.process_time() / 60, "build_peak_mb": peak_bytes("self") / 1e6}


async def _ask(kind: Quantization, rows: int) -> Figures:
    folder = _folder(rows)
    asked: Float32Array = np.load(folder / "queries.npy")
    bars: Float32Array = np.load(folder / "bars.npy")
    engine = LocalEngine.at(folder / "engine")
    index = await engine.open(_spec(kind))
    took, right = [], 0
    for vector in asked:  # once before, so that what is read lazily is read
        await index.nearest(vector, limit=LIMIT)
    for vector, bar in zip(asked, bars, strict=True):
        since = time.perf_counter()
        found = await index.nearest(vector, limit=LIMIT)
        took.append((time.perf_counter() - since) * 1000)
        right += int((found.scores >= bar - 1e-5).sum())
    figures = {
        "resident_mb": peak_bytes("self") / 1e6,
        "disk_mb": folder_bytes(folder / "engine" / kind.value) / 1e6,
        "p50_ms": statistics.median(took),
        "p99_ms": percentile(took, 0.99),
        "recall": right / (LIMIT * len(asked)),
    }
    await engine.close()
    return figures


def main() -> None:
    """One step; prints its figures as JSON."""
    step, kind, rows = sys.argv[1], Quantization(sys.argv[2]), int(sys.argv[3])
    print(orjson.dumps(asyncio.run((_build if step == "build" else _ask)(kind, rows))).decode())


if __name__ == "__main__":
    main()
