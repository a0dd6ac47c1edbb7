"""`nearfield import`: files into a collection, made from what the first rows look like when there is none yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from nearfield.cli.failing import INTERRUPTED, tell_problem
from nearfield.cli.progress import Meter
from nearfield.cli.schema import agree, describe_spec, inferred_spec, readable
from nearfield.cli.session import fetch_model, run, settings_for
from nearfield.cli.terminal import duration, table
from nearfield.domain.errors import InvalidRequest
from nearfield.sources.ahead import Ahead
from nearfield.wiring import open_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.cli.schema import Wish
    from nearfield.cli.terminal import Terminal
    from nearfield.domain.reports import ImportProgress, ImportReport
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.source import Source, SourceRow
    from nearfield.settings import Settings
    from nearfield.wiring import Backend

SHOWN_REJECTIONS: Final = 20
DEFAULT_ID: Final = "id"


@dataclass(frozen=True, slots=True)
class Ask:
    """What the flags say. id_field None: not given. rejected: None chooses a name in the current folder."""

    files: Sequence[str]
    wish: Wish
    id_field: str | None
    rejected: Path | None


def import_files(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Import, show progress, and tell what became of every row. Exits with INTERRUPTED after Ctrl-C."""
    settings = settings_for(data)
    sources = [Ahead(source) for source in open_files(ask.files)]
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
        name = self.ask.wish.name
        rows = await asyncio.to_thread(readable, self.sources)
        exists = await backend.catalog.exists(name)
        id_field = self._id_field(rows)
        if exists:
            spec = (await backend.catalog.get(name)).spec
            agree(self.ask.wish, spec)
        else:
            spec = inferred_spec(self.ask.wish, rows, id_field=id_field, defaults=backend.with_defaults({}))
        await asyncio.to_thread(fetch_model, self.settings, spec.embedder, self.terminal)
        if not exists:
            await backend.catalog.create(spec)
            if not self.terminal.as_json:
                describe_spec(spec, rows, id_field=id_field, terminal=self.terminal)
        if id_field is None:
            self.terminal.say(
                "no id field: ids are made from the content, so a changed row is a new document (--id names a field)"
            )
        report = await self._imported(backend, id_field)
        if self.terminal.as_json:
            self.terminal.give(_as_json(report, spec, created=not exists))
        else:
            self._tell(report)

    async def _imported(self, backend: Backend, id_field: str | None) -> ImportReport:
        with Meter(self.terminal, read="bytes", indexed="documents") as meter:

            def show(progress: ImportProgress) -> None:
                self.stored, self.pending = progress.stored, progress.pending
                meter.move("read", progress.position, progress.size)
                total, estimated = _total(progress)
                meter.move("indexed", max(0, progress.stored - progress.pending), total, estimated=estimated)

            sources: list[Source] = list(self.sources)
            return await backend.documents.import_sources(
                self.ask.wish.name,
                sources,
                id_field=id_field,
                rejected_file=self._rejected_file(),
                on_progress=show,
            )

    def _id_field(self, rows: Sequence[SourceRow]) -> str | None:
        """The field asked for, else `id` where rows have one, else None. Raises InvalidRequest for one no row has."""
        seen = dict.fromkeys(name for row in rows for name in row.body)
        if self.ask.id_field is None:
            return DEFAULT_ID if DEFAULT_ID in seen else None
        if rows and self.ask.id_field not in seen:
            raise InvalidRequest(
                f"--id {self.ask.id_field}: no such field in the first rows, which have {', '.join(seen)}", field="id"
            )
        return self.ask.id_field

    def _rejected_file(self) -> Path:
        if self.ask.rejected is not None:
            return self.ask.rejected
        name = self.sources[0].name if len(self.sources) == 1 else self.ask.wish.name
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
            self.terminal.say(f"rejected line {refusal.line}: {refusal.detail} ({refusal.code})")
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
