"""`nearfield export` and `delete`: documents out, and documents away."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from nearfield.cli.progress import Meter
from nearfield.cli.session import existing_data, run
from nearfield.cli.terminal import duration, json_bytes, size
from nearfield.domain.filter_text import parse_text
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.documents import StoredDocument
    from nearfield.wiring import Backend


def export(name: str, data: Path | None) -> None:
    """Every document as it was sent, one JSON object a line, in the order first stored, its own vector included.

    Importing the lines again, with the same --id, gives the same collection.
    """

    async def work(backend: Backend) -> None:
        out = sys.stdout.buffer
        async for document in backend.documents.export(name):
            out.write(json_bytes(await _whole(backend, name, document)))
        out.flush()

    run(existing_data(data), work)


def export_to(name: str, to: Path, data: Path | None, terminal: Terminal) -> None:
    """Every document with its vectors into a Parquet file, there whole or not at all."""
    started = time.monotonic()

    async def work(backend: Backend) -> int:
        with Meter(terminal, exported="documents") as meter:
            return await backend.export_parquet(name, to, on_progress=partial(meter.move, "exported"))

    documents = run(existing_data(data), work)
    size_bytes, seconds = to.stat().st_size, time.monotonic() - started
    if terminal.as_json:
        terminal.give({"collection": name, "documents": documents, "file": str(to), "bytes": size_bytes})
    else:
        many = "" if documents == 1 else "s"
        terminal.show(Text(f"{documents:,} document{many} in {to}, {size(size_bytes)}, {duration(seconds)}"))


async def _whole(backend: Backend, name: str, document: StoredDocument) -> dict[str, Any]:
    """The body with the vector the document brought."""
    if document.vector_hash is None:
        return dict(document.body)
    fingerprint = brought(await backend.catalog.get(name))
    vectors = await backend.store.vectors(fingerprint, [document.vector_hash])
    return {**document.body, "vector": vectors[document.vector_hash].tolist()}


def delete(name: str, where: str | None, data: Path | None, terminal: Terminal, *, sure: bool) -> None:
    """Delete the documents that pass a filter, or the whole collection once that is confirmed.

    Raises CollectionNotFound, InvalidFilter; exits through typer.Abort when not confirmed.
    """
    condition = None if where is None else parse_text(where)
    settings = existing_data(data)

    async def some(backend: Backend) -> int:
        assert condition is not None  # noqa: S101  for the type checker
        return (await backend.documents.delete_where(name, condition)).deleted

    async def count(backend: Backend) -> int:
        return await backend.store.count(await backend.catalog.get(name))

    async def whole(backend: Backend) -> int:
        documents = await count(backend)
        await backend.catalog.drop(name)
        return documents

    if condition is not None:
        deleted = run(settings, some)
    else:
        if not sure:
            documents = run(settings, count)
            typer.confirm(f"delete collection {name} with its {documents:,} documents?", abort=True, err=True)
        deleted = run(settings, whole)
    if terminal.as_json:
        terminal.give({"collection": name, "deleted": deleted, "dropped": condition is None})
    else:
        what = f"collection {name} with its {deleted:,}" if condition is None else f"{deleted:,}"
        terminal.show(Text(f"deleted {what} document{'' if deleted == 1 else 's'}"))
