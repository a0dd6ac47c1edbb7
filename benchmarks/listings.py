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
    """Distinct queries in shoppers' words: titles of listings from the far end of the file, cut to five words.

    Titles of the other listings follow when those are not enough, then what longer titles hold after their second word.
    """
    seen: dict[str, None] = {}
    for skip, rows, first in ((60_000, 40_000, 0), (0, 60_000, 0), (0, 100_000, 2)):
        for document in listings(rows, skip=skip):
            words = document["title"].lower().split()
            if 2 <= len(words) - first <= 8:
                seen.setdefault(" ".join(words[first : first + 5]))
            if len(seen) == count:
                return list(seen)
    raise SystemExit(f"{count} distinct queries were asked for and the listings give {len(seen)}")
