"""`nearfield collections`, `status` and `check`: what is there, and whether it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from nearfield.cli.failing import FAILED
from nearfield.cli.progress import Meter
from nearfield.cli.session import existing_data, run
from nearfield.cli.terminal import size, table
from nearfield.domain.spec_json import spec_to_json

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.reports import CheckReport, CollectionStatus
    from nearfield.wiring import Backend


def collections(data: Path | None, terminal: Terminal) -> None:
    """List the collections with their settings."""

    async def work(backend: Backend) -> None:
        found = await backend.catalog.list()
        counts = {one.name: await backend.store.count(one) for one in found}
        if terminal.as_json:
            listed = [{"name": one.name, "documents": counts[one.name], **spec_to_json(one.spec)} for one in found]
            terminal.give({"collections": listed})
        elif not found:
            terminal.say("no collections yet; `nearfield import FILE --collection NAME` makes one")
        else:
            rows = [
                (
                    one.name,
                    counts[one.name],
                    one.spec.embed.source,
                    one.spec.embedder,
                    one.spec.engine,
                    ", ".join(f"{name}={kind}" for name, kind in one.spec.fields.items()),
                )
                for one in found
            ]
            columns = ("name", "documents", "embed", "embedder", "engine", "fields")
            terminal.show(table(columns, rows, numbers=("documents",)))

    run(existing_data(data), work)


def status(name: str | None, data: Path | None, terminal: Terminal) -> None:
    """How one collection is, or all of them. Raises CollectionNotFound."""

    async def work(backend: Backend) -> None:
        found = [await backend.catalog.status(one) for one in await _named(backend, name)]
        if terminal.as_json:
            terminal.give({"collections": [_status_json(one) for one in found]})
            return
        rows = [
            (
                one.collection.name,
                one.documents,
                one.pending,
                one.rows,
                one.unindexed,
                None if one.bytes is None else size(one.bytes),
                None if one.generation is None else one.generation.number,
            )
            for one in found
        ]
        columns = ("collection", "documents", "pending", "passages", "unindexed", "index size", "generation")
        terminal.show(table(columns, rows, numbers=columns[1:]))
        for one in found:
            if one.indexing_error is not None:
                terminal.say(f"{one.collection.name}: indexing stands still: {one.indexing_error}")

    run(existing_data(data), work)


def check(name: str | None, data: Path | None, terminal: Terminal, *, repair: bool) -> None:
    """Compare truth and index. After a repair the collection is checked once more.

    Exits with FAILED unless every collection is found clean in the end.
    """

    async def work(backend: Backend) -> bool:
        reports = []
        for one in await _named(backend, name):
            report = await _checked(backend, one, terminal, repair=repair)
            reports.append(report)
            if report.repaired:
                reports.append(await _checked(backend, one, terminal, repair=False))
        last = {report.collection: report.clean for report in reports}
        if terminal.as_json:
            found = [{**asdict(report), "clean": report.clean} for report in reports]
            terminal.give({"clean": all(last.values()), "checks": found})
        else:
            _show_checks(reports, terminal)
        return all(last.values())

    if not run(existing_data(data), work):
        raise typer.Exit(FAILED)


async def _named(backend: Backend, name: str | None) -> list[str]:
    if name is not None:
        return [(await backend.catalog.get(name)).name]
    return [one.name for one in await backend.catalog.list()]


async def _checked(backend: Backend, name: str, terminal: Terminal, *, repair: bool) -> CheckReport:
    with Meter(terminal, checked="documents") as meter:
        return await backend.catalog.check(
            name, repair=repair, on_progress=lambda done, total: meter.move("checked", done, total)
        )


def _show_checks(reports: list[CheckReport], terminal: Terminal) -> None:
    columns = ("collection", "documents", "passages", "rows", "missing", "surplus", "wrong", "found")
    rows = [
        (
            report.collection,
            report.documents,
            report.passages,
            report.rows,
            report.missing,
            report.surplus,
            f"{report.wrong} of {report.sampled}",
            _verdict(report),
        )
        for report in reports
    ]
    terminal.show(table(columns, rows, numbers=columns[1:-1]))
    if any(not report.clean and not report.repaired for report in reports):
        terminal.show(Text("`nearfield check --repair` mends what differs"))


def _verdict(report: CheckReport) -> str:
    if report.repaired:
        return "repaired"
    if report.pending:
        return f"{report.pending:,} pending"
    return "clean" if report.clean else "damaged"


def _status_json(one: CollectionStatus) -> dict[str, Any]:
    return {
        "name": one.collection.name,
        "documents": one.documents,
        "pending": one.pending,
        "seq": one.seq,
        "generation": None if one.generation is None else one.generation.number,
        "rows": one.rows,
        "unindexed": one.unindexed,
        "bytes": one.bytes,
        "indexing_error": one.indexing_error,
    }
