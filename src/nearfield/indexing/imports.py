"""Whole files into a collection: read, check, store; embed and index behind; wait until all of it is searchable.

An import is resumed by running it again: documents already stored are recognised by content and cost nothing, and what
was embedded stays in the vector cache.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import orjson

from nearfield.domain.errors import DiskFull, IndexLagging, InvalidFile
from nearfield.domain.reports import ImportProgress, ImportReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Rejection
    from nearfield.domain.reports import UpsertResult
    from nearfield.indexing.catalog import Catalog
    from nearfield.protocols.source import Source, SourceRow

BATCH = 1_000  # rows read, checked and stored at a time
FIRST_BATCH = 250  # so that embedding begins soon
KEPT_REJECTIONS = 1_000
TELL_EVERY_S = 0.25
STUCK_AFTER_S = 120.0  # without one change applied while the indexer reports an error


class Takes(Protocol):
    """What an import needs of `Documents`."""

    async def upsert(
        self, name: str, rows: Sequence[SourceRow | Rejection], *, id_field: str | None = "id"
    ) -> UpsertResult: ...

    async def pending(self, name: str) -> int: ...


@dataclass(slots=True)
class _Tally:
    """Sums over the files of one import."""

    rejected_file: Path | None
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    seq: int = 0
    rejected_total: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def add(self, result: UpsertResult, source: str) -> None:
        self.new += result.receipt.new
        self.changed += result.receipt.changed
        self.unchanged += result.receipt.unchanged
        self.seq = max(self.seq, result.receipt.seq)
        if not result.rejected:
            return
        if self.rejected_file is not None:
            _append(self.rejected_file, result.rejected, source, fresh=not self.rejected_total)
        self.rejected_total += len(result.rejected)
        self.rejected += result.rejected[: KEPT_REJECTIONS - len(self.rejected)]

    @property
    def stored(self) -> int:
        return self.new + self.changed + self.unchanged


async def run_import(
    documents: Takes,
    catalog: Catalog,
    name: str,
    sources: Sequence[Source],
    *,
    id_field: str | None,
    rejected_file: Path | None,
    on_progress: Callable[[ImportProgress], None] | None,
) -> ImportReport:
    """Import files in the order given.

    id_field: the field that holds the id; None derives ids from the content.
    rejected_file: where every rejection goes as JSON lines (made only when there is one).
    on_progress: called on the event loop a few times a second.
    Returns once everything is searchable and the index is optimised. What was stored stays stored whatever is raised.
    Raises InvalidFile, CollectionNotFound, IndexLagging when indexing stands still, DiskFull.
    """
    started = time.monotonic()
    work = _Import(documents, catalog, name, sources, id_field, _Tally(rejected_file), on_progress)
    for source in sources:
        await work.store(source)
    await work.until_applied()
    await catalog.optimize(name)
    await work.tell(reading=False)
    tally = work.tally
    return ImportReport(
        new=tally.new,
        changed=tally.changed,
        unchanged=tally.unchanged,
        rejected_total=tally.rejected_total,
        rejected=tuple(tally.rejected),
        rejected_file=str(rejected_file) if rejected_file and tally.rejected_total else None,
        seq=tally.seq,
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True, eq=False)
class _Import:
    documents: Takes
    catalog: Catalog
    name: str
    sources: Sequence[Source]
    id_field: str | None
    tally: _Tally
    on_progress: Callable[[ImportProgress], None] | None

    async def store(self, source: Source) -> None:
        """Read a source and store its rows; the next batch is read while one is stored."""
        rows = source.rows()
        told = 0.0
        reading = asyncio.create_task(asyncio.to_thread(_next, rows, FIRST_BATCH))
        try:
            while batch := await reading:
                reading = asyncio.create_task(asyncio.to_thread(_next, rows, BATCH))
                result = await self.documents.upsert(self.name, batch, id_field=self.id_field)
                await asyncio.to_thread(self.tally.add, result, source.name)
                if time.monotonic() - told > TELL_EVERY_S:
                    told = time.monotonic()
                    await self.tell(reading=True)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()  # what ended the import is being raised already

    async def tell(self, *, reading: bool) -> int:
        """Report progress; the changes still pending."""
        pending = await self.documents.pending(self.name)
        if self.on_progress is not None:
            sizes = [source.size for source in self.sources]
            size = None if None in sizes else sum(size or 0 for size in sizes)
            position = sum(source.position for source in self.sources)
            self.on_progress(ImportProgress(position, size, self.tally.stored, pending, reading))
        return pending

    async def until_applied(self) -> None:
        """Wait for the indexer; raise IndexLagging when it reports an error and gets no further."""
        least, moved = None, time.monotonic()
        while pending := await self.tell(reading=False):
            if least is None or pending < least:
                least, moved = pending, time.monotonic()
            elif time.monotonic() - moved > STUCK_AFTER_S:
                error = (await self.catalog.status(self.name)).indexing_error
                if error is not None:
                    raise IndexLagging(f"{pending} changes are stored and not indexed: {error}; run the import again")
            await self.catalog.wait_for(self.name, self.tally.seq, at_most_s=TELL_EVERY_S)


def _append(path: Path, rejected: Sequence[Rejection], source: str, *, fresh: bool) -> None:
    """Write rejections as JSON lines. Raises InvalidFile, DiskFull."""
    lines = (
        orjson.dumps({"file": source, **asdict(refusal)}, option=orjson.OPT_APPEND_NEWLINE) for refusal in rejected
    )
    try:
        with path.open("wb" if fresh else "ab") as out:
            out.writelines(lines)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for {path}, the file of rejected rows") from exc
        raise InvalidFile(f"rejected rows cannot be written to {path}: {exc.strerror}", field="rejected_file") from exc


def _next(rows: Iterator[SourceRow | Rejection], most: int) -> list[SourceRow | Rejection]:
    return list(islice(rows, most))
