"""How much of the bare embedder's speed is left when a file is imported."""

from __future__ import annotations

import asyncio
import gzip
import statistics
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks.listings import EMBED, FIELDS, listings
from benchmarks.report import Section, spread
from nearfield.domain.spec_json import spec_from_json
from nearfield.domain.templates import Template
from nearfield.settings import load_settings
from nearfield.wiring import build_embedder, open_backend, open_files

ROUND_ROWS = 5_000


def run(*, rows: int, rounds: int) -> Section:
    """Each round: the bare embedder on some listings, then an import of the same listings into an empty directory."""
    per_round = min(ROUND_ROWS, rows)
    bare, imported, ratios = [], [], []
    for turn in range(rounds):
        documents = listings(per_round, skip=turn * per_round)
        bare.append(per_round / embed(documents))
        imported.append(per_round / take_in(documents))
        ratios.append(imported[-1] / bare[-1])
    return Section(
        name="imports",
        title="Import beside the bare embedder",
        command="make bench",
        lead=(
            f"{per_round:,} listings a round, {rounds} rounds, the two taking turns on the same texts. The import "
            "reads a packed JSONL file, checks and stores each document durably, embeds it, indexes it in `local` "
            "(HNSW) and waits until all of it is searchable and optimised."
        ),
        rows=[
            ["", "documents/s: median (least to most)"],
            ["bare embedder (all-MiniLM-L6-v2)", spread(bare)],
            ["import", spread(imported)],
            ["import / bare", f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"],
        ],
    )


def whole(*, rows: int, rounds: int) -> Section:
    """All listings once: the bare embedder on the first half, an import of all, the bare embedder on the second half.

    rounds: of no meaning here; a round would take a quarter of an hour.
    """
    documents = listings(rows)
    before = embed(documents[: rows // 2])
    imported = take_in(documents)
    after = embed(documents[rows // 2 :])
    return Section(
        name="imports-whole",
        title="A whole import beside the bare embedder",
        command="python -m benchmarks imports-whole",
        lead=(
            f"{rows:,} listings, once: the bare embedder on the first half of the texts, an import of all of them, the "
            "bare embedder on the second half. What an import does is told above."
        ),
        rows=[
            ["", "documents/s"],
            ["bare embedder (all-MiniLM-L6-v2)", f"{rows / (before + after):.1f}"],
            ["its two halves", f"{rows / 2 / before:.1f}, {rows / 2 / after:.1f}"],
            ["import", f"{rows / imported:.1f}"],
            ["import / bare", f"{(before + after) / imported:.3f}"],
        ],
    )


def embed(documents: list[dict[str, object]]) -> float:
    """Seconds to embed the documents' texts, the model being warm."""
    template = Template(EMBED)
    texts = [template.render(document) for document in documents]

    async def measured() -> float:
        embedder = build_embedder("all-MiniLM-L6-v2", load_settings())
        await embedder.warm()
        started = time.perf_counter()
        await embedder.embed(texts, role="document")
        seconds = time.perf_counter() - started
        await embedder.close()
        return seconds

    return asyncio.run(measured())


def take_in(documents: list[dict[str, object]]) -> float:
    """Seconds to import the documents, the model being warm."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "listings.jsonl.gz"
        with gzip.open(file, "wb", compresslevel=1) as out:
            out.writelines(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE) for document in documents)

        async def measured() -> float:
            backend = await open_backend(load_settings(data_dir=Path(folder) / "data"))
            await backend.warm()
            body = backend.with_defaults({"embed": EMBED, "fields": FIELDS})
            await backend.catalog.create(spec_from_json("listings", body))
            started = time.perf_counter()
            await backend.documents.import_sources("listings", open_files([file]), id_field="id")
            seconds = time.perf_counter() - started
            await backend.close()
            return seconds

        return asyncio.run(measured())
