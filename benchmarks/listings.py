"""The 100,000 second-hand listings, as texts and as documents."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import orjson

PROJECT = Path(__file__).parent.parent
CORPUS = PROJECT.parent / "shared" / "data" / "mercari-100k" / "corpus.jsonl.gz"
EMBED = "{title}: {text}"
FIELDS = {
    "price": "float",
    "brand": "keyword",
    "category": "keyword",
    "category1": "keyword",
    "category2": "keyword",
    "condition": "int",
    "shipping": "int",
}


def listings(rows: int, *, skip: int = 0) -> list[dict[str, Any]]:
    """The listings `skip` to `skip + rows`, in file order."""
    if not CORPUS.exists():
        raise SystemExit(f"no listings at {CORPUS}: benchmarks need the evaluation data beside the checkout")
    with gzip.open(CORPUS, "rb") as lines:
        return [orjson.loads(line) for line in itertools.islice(lines, skip, skip + rows)]


def queries(count: int) -> list[str]:
    """Distinct queries in shoppers' words: titles of listings from the far end of the file, cut to five words."""
    seen: dict[str, None] = {}
    for document in listings(40_000, skip=60_000):
        words = document["title"].lower().split()
        if 2 <= len(words) <= 8:
            seen.setdefault(" ".join(words[:5]))
        if len(seen) == count:
            break
    return list(seen)
