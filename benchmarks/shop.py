"""A collection of listings that several benchmarks search: imported once, kept under build/."""

from __future__ import annotations

from pathlib import Path

from benchmarks.listings import CORPUS, EMBED, FIELDS, PROJECT, listings
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import Backend, open_backend, open_files

NAME = "listings"


def data_dir(rows: int) -> Path:
    """Where the collection of so many listings is kept."""
    return PROJECT / "build" / "bench" / f"listings-{rows}"


async def open_shop(rows: int) -> Backend:
    """An open backend that holds the first `rows` listings, imported now where they are not there yet."""
    backend = await open_backend(load_settings(data_dir=data_dir(rows)))
    body = backend.with_defaults({"embed": EMBED, "fields": FIELDS})
    await backend.catalog.create(spec_from_json(NAME, body))
    if (await backend.catalog.status(NAME)).documents < rows:
        if rows >= 100_000:
            await backend.documents.import_sources(NAME, open_files([CORPUS]), id_field="id")
        else:
            await backend.documents.upsert(NAME, [SourceRow(n, body) for n, body in enumerate(listings(rows), 1)])
    await backend.documents.wait(NAME, timeout_s=3_600)
    await backend.catalog.optimize(NAME)
    await backend.warm()
    return backend
