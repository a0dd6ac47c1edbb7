"""How good the ranking is, on every judged set beside the checkout. `make bench-relevance`.

`python -m benchmarks.relevance [SET...] [--try JSON] [--dry]` measures some sets, or other configurations beside ours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson

import nearfield
from benchmarks.listings import PROJECT
from benchmarks.report import Section, write
from nearfield.domain.judgments import JudgedSet, Scores
from nearfield.library import CollectionHandle
from nearfield.quality.judged_files import read_judged
from nearfield.quality.measures import DEPTH, grade
from nearfield.quality.significance import compare

DATA = PROJECT.parent / "shared" / "data"
EMBED = "{title}: {text}"
MEASURE = "ndcg@10"
AT_ONCE = 4  # searches
DAMPING = 60  # of plain reciprocal rank fusion
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "semantic": {"mode": "semantic"},
    "lexical": {"mode": "lexical"},
}

Rankings = list[list[str]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One judged set: the scores of each configuration, by its name."""

    name: str
    documents: int
    queries: int
    scores: dict[str, Scores]

    def ndcg(self, configuration: str) -> float:
        return self.scores[configuration].mean(MEASURE)


def judged_sets() -> list[str]:
    """The folders that hold a corpus and judgments."""
    found = sorted(folder.parent.name for folder in DATA.glob("*/qrels.tsv"))
    if not found:
        raise SystemExit(f"no judged sets in {DATA}: this benchmark needs the evaluation data beside the checkout")
    return found


def open_set(name: str) -> tuple[nearfield.Database, CollectionHandle]:
    """The collection of a judged set, imported now where build/ does not hold it yet."""
    folder = PROJECT / "build" / "bench" / f"judged-{name}"
    whole = folder / "imported"
    database = nearfield.open(folder)
    collection = database.collection("judged", embed=EMBED)
    if not whole.exists():
        report = collection.import_files(DATA / name / "corpus.jsonl.gz")
        print(f"{name}: {report.new:,} documents imported in {report.seconds:.0f} s", flush=True)
        whole.touch()
    collection.search("any", limit=1)  # opens the index
    while collection.status().pending:  # an index that another version made is built again
        time.sleep(1)
    return database, collection


def measure(name: str, tried: dict[str, dict[str, Any]]) -> Measured:
    """Search a set's queries under each configuration, and merge the two parts by plain RRF beside them."""
    judged = read_judged(DATA / name / "queries.jsonl", DATA / name / "qrels.tsv")
    database, collection = open_set(name)
    with database:
        found = {label: search_all(collection, judged, options) for label, options in tried.items()}
        documents = collection.count()
    found["RRF(60)"] = [
        reciprocal_rank_fusion([semantic, lexical])
        for semantic, lexical in zip(found["semantic"], found["lexical"], strict=True)
    ]
    scores = {label: grade(judged.queries, rankings) for label, rankings in found.items()}
    return Measured(name, documents, len(judged.queries), scores)


def search_all(collection: CollectionHandle, judged: JudgedSet, options: dict[str, Any]) -> Rankings:
    """The first DEPTH ids of each query, through the public library."""

    def search(text: str) -> list[str]:
        return [hit.id for hit in collection.search(text, limit=DEPTH, **options)]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(search, [query.text for query in judged.queries]))


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]]) -> list[str]:
    """Plain RRF of whole lists, written out here so that the yardstick is not the code it measures.

    Source: Cormack, Clarke & Buettcher, SIGIR 2009.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, found in enumerate(ranking, start=1):
            scores[found] = scores.get(found, 0.0) + 1 / (DAMPING + rank)
    return sorted(scores, key=lambda found: -scores[found])[:DEPTH]


def section(measured: Sequence[Measured], tried: dict[str, dict[str, Any]]) -> Section:
    """The table: nDCG@10 of each configuration, and what the default wins and loses."""
    labels = [*tried, "RRF(60)"]
    rows = [["set", "documents", "queries", *labels, "over the better part", "over RRF(60)", "p", "Recall@100"]]
    for one in measured:
        ours, theirs = (one.scores[label].values[MEASURE] for label in ("default", "RRF(60)"))
        part = max(one.ndcg("semantic"), one.ndcg("lexical"))
        chance = compare(MEASURE, ours, theirs).p_randomization
        rows.append(
            [
                one.name,
                f"{one.documents:,}",
                f"{one.queries:,}",
                *(f"{one.ndcg(label):.4f}" for label in labels),
                f"{one.ndcg('default') - part:+.4f}",
                f"{one.ndcg('default') - one.ndcg('RRF(60)'):+.4f}",
                f"{chance:.4f}",
                f"{one.scores['default'].mean('recall@100'):.4f}",
            ]
        )
    means = {label: statistics.mean(one.ndcg(label) for one in measured) for label in labels}
    rows.append(
        [
            "mean",
            "",
            "",
            *(f"{means[label]:.4f}" for label in labels),
            f"{means['default'] - max(means['semantic'], means['lexical']):+.4f}",
            f"{means['default'] - means['RRF(60)']:+.4f}",
            "",
            "",
        ]
    )
    return Section(
        name="relevance",
        title="Relevance on judged sets",
        command="make bench-relevance",
        lead=(
            f"nDCG@10 by ir-measures of the first {DEPTH} documents, title and text embedded by all-MiniLM-L6-v2 on "
            "`local`, through the library with nothing set but the mode. `RRF(60)` is plain reciprocal rank fusion of "
            "the semantic and the lexical list. p: paired randomisation test of the default against it. Recall@100 is "
            "the default's."
        ),
        rows=rows,
    )


def main() -> None:
    """Measure, print, and write docs/benchmarks.md when all sets were measured as they are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relevance", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help="a folder of the evaluation data (default: all)")
    parser.add_argument("--try", dest="tried", action="append", default=[], metavar="JSON", help='{"mode": "lexical"}')
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/benchmarks.md as it is")
    asked = parser.parse_args()
    known = judged_sets()
    if unknown := set(asked.sets) - set(known):
        parser.error(f"no judged set {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    tried = OPTIONS | {text: orjson.loads(text) for text in asked.tried}
    measured = []
    for name in asked.sets or known:
        started = time.perf_counter()
        measured.append(measure(name, tried))
        told = ", ".join(f"{label} {measured[-1].ndcg(label):.4f}" for label in [*tried, "RRF(60)"])
        print(f"{name}: {told} ({time.perf_counter() - started:.0f} s)", flush=True)
    table = section(measured, tried)
    if asked.dry or asked.sets or asked.tried:
        print("\n".join(" | ".join(row) for row in table.rows))
    else:
        print(write(table))


if __name__ == "__main__":
    main()
