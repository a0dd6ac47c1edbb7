"""`nearfield eval`: how good the ranking is on judged queries, beside another configuration, against a line to hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import typer
from rich.text import Text

from nearfield.api.quality_answers import evaluation_json
from nearfield.api.routes.quality import configuration
from nearfield.cli.failing import FAILED
from nearfield.cli.progress import Meter
from nearfield.cli.session import existing_data, fetch_model, run
from nearfield.cli.terminal import printable, table
from nearfield.domain.errors import InvalidRequest
from nearfield.quality.judged_files import read_judged
from nearfield.quality.lines import missed, parse_lines
from nearfield.quality.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.judgments import Evaluation, QueryResult
    from nearfield.wiring import Backend

SHOWN_IDS = 5
SHOWN_BAD_ROWS = 10


@dataclass(frozen=True, slots=True)
class Ask:
    """options, against: `key=value`, members of a search request. lines: `measure=number`."""

    name: str
    queries: Path | None
    qrels: Path | None
    options: Sequence[str]
    against: str | None
    lines: Sequence[str]
    show: int


def evaluate(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Measure and print. Exits with FAILED when a mean is below its line."""
    lines = parse_lines(ask.lines)
    if (ask.queries is None) != (ask.qrels is None):
        raise InvalidRequest("give both --queries and --qrels, or neither for the stored judgments", field="qrels")
    settings = existing_data(data)
    ours = configuration(_options(ask.options), settings, "set")
    other = None if ask.against is None else configuration(_options(ask.against.split(",")), settings, "against")
    judged = None if ask.queries is None or ask.qrels is None else read_judged(ask.queries, ask.qrels)

    async def work(backend: Backend) -> Evaluation:
        spec = (await backend.catalog.get(ask.name)).spec
        await asyncio.to_thread(fetch_model, settings, spec.embedder, terminal)
        with Meter(terminal, searched="queries") as meter:
            return await backend.quality.evaluate(
                ask.name,
                judged,
                ours=ours,
                other=other,
                measures=tuple(dict.fromkeys([*MEASURES, *lines])),
                on_progress=lambda done, total: meter.move("searched", done, total),
            )

    found = run(settings, work)
    low = missed(found.means, lines)
    if terminal.as_json:
        terminal.give(evaluation_json(found, ask.show) | {"missed": low})
    else:
        _show(found, ask.show, terminal)
        for measure, mean in low.items():
            terminal.say(f"{measure} is {mean:.4f}, below {lines[measure]:g}")
    if low:
        raise typer.Exit(FAILED)


def _options(spelled: Sequence[str]) -> dict[str, Any]:
    """Members of a search request from `key=value`; a value is JSON, or else a text."""
    options: dict[str, Any] = {}
    for text in spelled:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"{text!r}: expected key=value, such as mode=lexical", field="against")
        try:
            options[key.strip()] = orjson.loads(value)
        except orjson.JSONDecodeError:
            options[key.strip()] = value
    return options


def _show(found: Evaluation, show: int, terminal: Terminal) -> None:
    if found.comparisons:
        rows: list[tuple[object, ...]] = [
            (
                one.measure,
                f"{one.mean:.4f}",
                f"{one.other_mean:.4f}",
                f"{one.difference:+.4f}",
                f"{one.low:+.4f} to {one.high:+.4f}",
                f"{one.p_randomization:.4f}",
                f"{one.p_t:.4f}",
                f"{one.better}/{one.worse}/{one.same}",
            )
            for one in found.comparisons
        ]
        columns: tuple[str, ...] = (
            "measure", "mean", "other", "difference", "95%", "p", "p (t-test)", "better/worse/same",
        )  # fmt: skip
        terminal.show(table(columns, rows, numbers=columns[1:]))
    else:
        means = [(measure, f"{mean:.4f}") for measure, mean in found.means.items()]
        terminal.show(table(("measure", "mean"), means, numbers=("mean",)))
    terminal.show(Text(f"{len(found.queries):,} queries in {found.took_s:.1f} s", style="dim"))
    first = next(iter(found.means))
    if show:
        terminal.show(Text(f"\nworst by {first}", style="bold"))
        terminal.show(_queries(found.worst(show, first), first))
    if changed := found.most_changed(show, first):
        terminal.show(Text(f"\nmost changed by {first}", style="bold"))
        terminal.show(_queries(changed, first))
    _tell_left_out(found, terminal)


def _queries(queries: list[QueryResult], measure: str) -> Any:
    other = any(query.other_measures for query in queries)
    columns = ("id", "query", "relevant", measure, *(("other",) if other else ()), "found first")
    rows = [
        (
            query.id,
            printable(query.text),
            query.relevant,
            f"{query.measures[measure]:.3f}",
            *((f"{query.other_measures[measure]:.3f}",) if other else ()),
            ", ".join(query.found[:SHOWN_IDS]),
        )
        for query in queries
    ]
    return table(columns, rows, numbers=("relevant", measure, "other"))


def _tell_left_out(found: Evaluation, terminal: Terminal) -> None:
    judged = found.judged
    for row in judged.bad_rows[:SHOWN_BAD_ROWS]:
        terminal.say(f"{row.file}:{row.line}: not used: {row.detail}")
    if len(judged.bad_rows) > SHOWN_BAD_ROWS:
        terminal.say(f"and {len(judged.bad_rows) - SHOWN_BAD_ROWS:,} more rows not used")
    for ids, what in (
        (judged.without_relevant, "queries have no relevant document and are left out"),
        (judged.without_text, "queries are judged and not in the queries file"),
    ):
        if ids:
            terminal.say(f"{len(ids):,} {what}: {', '.join(ids[:SHOWN_IDS])}{' …' if len(ids) > SHOWN_IDS else ''}")
    if found.missing_documents:
        terminal.say(f"{found.missing_documents:,} relevant documents are not in the collection: no search finds them")
