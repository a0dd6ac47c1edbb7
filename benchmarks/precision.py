"""What int8 gains and costs: `python -m benchmarks.precision`. Speed beside native precision and float32, and nDCG@10.

Vectors of the judged sets are kept in build/bench/precision, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from benchmarks.listings import PROJECT, listings, queries
from benchmarks.relevance import DATA, MEASURE, judged_sets
from benchmarks.report import Section, spread, write
from nearfield.domain.documents import Float32Array
from nearfield.protocols.embedder import Embedder
from nearfield.quality.judged_files import read_judged
from nearfield.quality.measures import DEPTH, grade
from nearfield.settings import load_settings
from nearfield.wiring import bare_embedder

MODEL: Final = "all-MiniLM-L6-v2"
WAYS: Final = {
    "native": (MODEL, {}),
    "float32": (MODEL, {"precision": "float32"}),
    "int8": (f"{MODEL}:int8", {}),
}
ONE_BY_ONE: Final = 100  # queries a round
TOGETHER: Final = 32  # queries at once
BATCHES: Final = 10  # of TOGETHER, a round
LISTINGS: Final = 500  # a round
KEPT: Final = PROJECT / "build" / "bench" / "precision"


@dataclass(frozen=True, slots=True)
class Speed:
    """One way in one round: ms of a query alone (median), ms of TOGETHER queries (median), listings a second."""

    one_ms: float
    together_ms: float
    listings_per_s: float


async def one_round(embedder: Embedder, asked: Sequence[str], texts: Sequence[str]) -> Speed:
    """Time an embedder that is warm."""
    alone, together = [], []
    for query in asked[:ONE_BY_ONE]:
        started = time.perf_counter()
        await embedder.embed([query], role="query")
        alone.append(time.perf_counter() - started)
    for at in range(0, BATCHES * TOGETHER, TOGETHER):
        started = time.perf_counter()
        await embedder.embed(asked[at : at + TOGETHER], role="query")
        together.append(time.perf_counter() - started)
    started = time.perf_counter()
    await embedder.embed(texts, role="document")
    rate = len(texts) / (time.perf_counter() - started)
    return Speed(statistics.median(alone) * 1e3, statistics.median(together) * 1e3, rate)


async def speeds(rounds: int) -> dict[str, list[Speed]]:
    """Rounds of every way, taking turns; the first round of each warms it and is left out."""
    asked = queries(BATCHES * TOGETHER)
    texts = [f"{row['title']}: {row['text']}" for row in listings(LISTINGS)]
    embedders = {way: bare_embedder(name, load_settings(**more)) for way, (name, more) in WAYS.items()}
    found: dict[str, list[Speed]] = {way: [] for way in WAYS}
    for turn in range(rounds + 1):
        for way, embedder in embedders.items():
            speed = await one_round(embedder, asked, texts)
            if turn:
                found[way].append(speed)
    for embedder in embedders.values():
        await embedder.close()
    return found


async def vectors(embedder: Embedder, name: str) -> tuple[list[str], Float32Array, Float32Array]:
    """(ids, vectors of the documents, vectors of the queries) of a judged set, from build/ where they are there."""
    with gzip.open(DATA / name / "corpus.jsonl.gz", "rb") as lines:
        rows = [orjson.loads(line) for line in lines]
    path = KEPT / f"{name}-{embedder.fingerprint}.npz"
    if not path.exists():
        judged = read_judged(DATA / name / "queries.jsonl", DATA / name / "qrels.tsv")
        documents = await embedder.embed([f"{row['title']}: {row['text']}" for row in rows], role="document")
        asked = await embedder.embed([query.text for query in judged.queries], role="query")
        KEPT.mkdir(parents=True, exist_ok=True)
        np.savez(path, documents=documents, asked=asked)
    with np.load(path) as arrays:
        return [str(row["id"]) for row in rows], arrays["documents"], arrays["asked"]


async def ndcg(way: str, name: str) -> float:
    """nDCG@10 of exact search over a judged set, a text's first 256 tokens each."""
    model, more = WAYS[way]
    embedder = bare_embedder(model, load_settings(**more))
    ids, documents, asked = await vectors(embedder, name)
    await embedder.close()
    best = np.argsort(-(asked @ documents.T), axis=1, kind="stable")[:, :DEPTH]
    judged = read_judged(DATA / name / "queries.jsonl", DATA / name / "qrels.tsv")
    return grade(judged.queries, [[ids[place] for place in row] for row in best]).mean(MEASURE)


def speed_section(found: dict[str, list[Speed]]) -> Section:
    """The table of speeds, with their ratios to native precision."""
    rows = [
        [
            "",
            "one query, ms",
            "32 queries, ms",
            "listings/s",
            *(f"{what} / native" for what in ("one", "32", "listings")),
        ]
    ]
    for way, each in found.items():
        ratios = [
            [base.one_ms / one.one_ms for base, one in zip(found["native"], each, strict=True)],
            [base.together_ms / one.together_ms for base, one in zip(found["native"], each, strict=True)],
            [one.listings_per_s / base.listings_per_s for base, one in zip(found["native"], each, strict=True)],
        ]
        rows.append(
            [
                way,
                spread([one.one_ms for one in each], 2),
                spread([one.together_ms for one in each]),
                spread([one.listings_per_s for one in each], 0),
                *(f"{statistics.median(ratio):.2f}" for ratio in ratios),
            ]
        )
    return Section(
        name="precision-speed",
        title="The embedder in int8 beside native precision: speed",
        command="python -m benchmarks.precision --speed",
        lead=(
            f"{MODEL} in OpenVINO, {len(found['native'])} rounds, the three taking turns; native is bfloat16 where the "
            "processor has it. Short distinct queries alone, 32 of them at once, and 500 listings; / native is the "
            "median of the rounds' ratios of speed to native's."
        ),
        rows=rows,
    )


def relevance_section(found: dict[str, dict[str, float]]) -> Section:
    """The table of nDCG@10."""
    rows = [["set", "native", "int8", "int8 - native"]]
    for name, scores in found.items():
        difference = scores["int8"] - scores["native"]
        rows.append([name, f"{scores['native']:.4f}", f"{scores['int8']:.4f}", f"{difference:+.4f}"])
    return Section(
        name="precision-relevance",
        title="The embedder in int8 beside native precision: relevance",
        command=" ".join(["python -m benchmarks.precision --relevance", *found]),
        lead=(
            f"nDCG@10 of exact search by meaning alone, `title: text` and its first 256 tokens embedded by {MODEL}. "
            "int8 was calibrated on listings of none of these sets."
        ),
        rows=rows,
    )


def main() -> None:
    """Measure one or both, print, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--speed", action="store_true", help="only the speed: 2 minutes")
    parser.add_argument("--relevance", action="store_true", help="only the relevance: 20 minutes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("sets", nargs="*", metavar="SET", help="judged sets (default: all)")
    asked = parser.parse_args()
    known = judged_sets()
    if unknown := set(asked.sets) - set(known):
        parser.error(f"no judged set {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if asked.speed or not asked.relevance:
        print(write(speed_section(asyncio.run(speeds(asked.rounds)))))
    if asked.relevance or not asked.speed:
        found: dict[str, dict[str, float]] = {}
        for name in asked.sets or known:
            found[name] = {way: asyncio.run(ndcg(way, name)) for way in ("native", "int8")}
            print(name, found[name], flush=True)
        print(write(relevance_section(found)))


if __name__ == "__main__":
    main()
