"""`nearfield import`: files into a collection, made from what the first rows look like when there is none yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

from nearfield.cli.failing import INTERRUPTED, tell_problem
from nearfield.cli.progress import Meter
from nearfield.cli.schema import agree, describe_spec
from nearfield.cli.session import fetch_model, run, settings_for
from nearfield.cli.terminal import duration, table
from nearfield.domain.schema import in_int8
from nearfield.indexing.arrivals import arrival, check_adopted
from nearfield.protocols.source import VectorUse
from nearfield.sources.ahead import Ahead, first_rows, first_told
from nearfield.sources.vector_field import with_vectors
from nearfield.wiring import open_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.reports import ImportProgress, ImportReport
    from nearfield.domain.schema import CollectionSpec
    from nearfield.indexing.arrivals import Arrival, Wish
    from nearfield.protocols.source import Told
    from nearfield.settings import Settings
    from nearfield.wiring import Backend

SHOWN_REJECTIONS: Final = 20


@dataclass(frozen=True, slots=True)
class Ask:
    """What the flags say. id_field, precision None: not given. rejected: None chooses a name in the current folder."""

    files: Sequence[str]
    wish: Wish
    id_field: str | None
    rejected: Path | None
    precision: Literal["native", "float32", "int8"] | None = None


def import_files(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Import, show progress, and tell what became of every row. Exits with INTERRUPTED after Ctrl-C."""
    settings = settings_for(data, precision=ask.precision)
    sources = [Ahead(source) for source in open_sources(ask.files, settings)]
    work = _Work(ask, settings, sources, terminal)
    try:
        run(settings, work.run)
    except KeyboardInterrupt:
        work.tell_interrupted()
        raise typer.Exit(INTERRUPTED) from None


@dataclass(slots=True, eq=False)
class _Work:
    ask: Ask
    settings: Settings
    sources: list[Ahead]
    terminal: Terminal
    stored: int = 0
    pending: int = 0

    async def run(self, backend: Backend) -> None:
        wish = self.ask.wish
        if self.ask.precision == "int8":
            wish = replace(wish, embedder=in_int8(wish.embedder or self.settings.embedder))
        told = await asyncio.to_thread(first_told, self.sources)
        rows = await asyncio.to_thread(first_rows, self.sources)
        existing = (await backend.catalog.get(wish.name)).spec if await backend.catalog.exists(wish.name) else None
        if existing is not None:
            agree(wish, existing)
        came = arrival(wish, told, rows, existing=existing, id_field=self.ask.id_field, defaults=backend.with_defaults)
        await asyncio.to_thread(fetch_model, self.settings, came.spec.embedder, self.terminal)
        if came.use is VectorUse.ADOPT:
            least = await check_adopted(came, await backend.embedders.get(came.spec.embedder))
            self.terminal.say(f"{wish.vectors_by} gives the vectors that came: cosine {least:.4f} or more in a sample")
        if existing is None:
            await backend.catalog.create(came.spec)
            if not self.terminal.as_json:
                describe_spec(came.spec, came.bare, id_field=came.id_field, terminal=self.terminal)
        self._note(told, came)
        report = await self._imported(backend, came)
        if self.terminal.as_json:
            self.terminal.give(_as_json(report, came.spec, created=existing is None))
        else:
            self._tell(report)

    def _note(self, told: Told, came: Arrival) -> None:
        for note in told.notes:
            self.terminal.say(note)
        if came.use is VectorUse.KEEP:
            self.terminal.say(f"vectors are taken as they are, compared by {came.spec.index.metric}")
        if came.use is VectorUse.DROP:
            self.terminal.say(f"vectors are left behind: texts are embedded by {came.spec.embedder}")
        if came.id_field is None:
            self.terminal.say(
                "no id field: ids are made from the content, so a changed row is a new document (--id names a field)"
            )

    async def _imported(self, backend: Backend, came: Arrival) -> ImportReport:
        with Meter(self.terminal, read="bytes", indexed="documents") as meter:

            def show(progress: ImportProgress) -> None:
                self.stored, self.pending = progress.stored, progress.pending
                meter.move("read", progress.position, progress.size)
                total, estimated = _total(progress)
                meter.move("indexed", max(0, progress.stored - progress.pending), total, estimated=estimated)

            return await backend.documents.import_sources(
                self.ask.wish.name,
                with_vectors(self.sources, field=came.vector_field, use=came.use),
                id_field=came.id_field,
                adopt=came.use is VectorUse.ADOPT,
                rejected_file=self._rejected_file(),
                on_progress=show,
            )

    def _rejected_file(self) -> Path:
        if self.ask.rejected is not None:
            return self.ask.rejected
        name = self.sources[0].name.replace("/", "_") if len(self.sources) == 1 else self.ask.wish.name
        return Path(f"{'stdin' if name == '-' else name}.rejected.jsonl")

    def _tell(self, report: ImportReport) -> None:
        rows = report.new + report.changed + report.unchanged + report.rejected_total
        rate = rows / report.seconds if report.seconds else 0.0
        self.terminal.show(
            table(
                ("collection", "new", "changed", "unchanged", "rejected", "documents/s"),
                [
                    (
                        self.ask.wish.name,
                        report.new,
                        report.changed,
                        report.unchanged,
                        report.rejected_total,
                        round(rate, 1),
                    )
                ],
                numbers=("new", "changed", "unchanged", "rejected", "documents/s"),
            )
        )
        self.terminal.say(f"{rows:,} rows in {duration(report.seconds)}")
        for refusal in report.rejected[:SHOWN_REJECTIONS]:
            which = "" if refusal.id is None else f", id {refusal.id}"
            self.terminal.say(f"rejected line {refusal.line}: {refusal.detail} ({refusal.code}{which})")
        if report.rejected_total > SHOWN_REJECTIONS:
            self.terminal.say(f"and {report.rejected_total - SHOWN_REJECTIONS:,} more")
        if report.rejected_file:
            self.terminal.say(f"every rejected row, with its reason: {report.rejected_file}")

    def tell_interrupted(self) -> None:
        """What is safe, and how to go on."""
        said = (
            f"interrupted: {self.stored:,} rows are stored for good, {self.pending:,} of them not indexed yet; "
            "run the same command again to go on, nothing is embedded twice"
        )
        if self.terminal.as_json:
            tell_problem("interrupted", said, stored=self.stored, pending=self.pending)
        else:
            self.terminal.say(said)


def _total(progress: ImportProgress) -> tuple[int | None, bool]:
    """Documents there will be, and whether that is a guess from the bytes read so far."""
    if not progress.reading:
        return progress.stored, False
    if not progress.size or not progress.position:
        return None, False
    return max(progress.stored, progress.stored * progress.size // progress.position), True


def _as_json(report: ImportReport, spec: CollectionSpec, *, created: bool) -> dict[str, Any]:
    shown = replace(report, rejected=report.rejected[:SHOWN_REJECTIONS])
    rows = report.new + report.changed + report.unchanged + report.rejected_total
    return {
        "collection": spec.name,
        "created": created,
        "embed": spec.embed.source,
        "fields": {name: str(kind) for name, kind in spec.fields.items()},
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "rejected": report.rejected_total,
        "rejections": shown.rejected,
        "rejected_file": report.rejected_file,
        "seq": report.seq,
        "seconds": report.seconds,
        "documents_per_s": rows / report.seconds if report.seconds else 0.0,
    }
