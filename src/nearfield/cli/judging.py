"""`nearfield judgments` and `report`: judgments in and out, learnt from clicks; queries that find little."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from nearfield.api.quality_answers import report_json
from nearfield.cli.session import existing_data, run
from nearfield.cli.terminal import printable, table
from nearfield.domain.judgments import Judgment
from nearfield.quality.judged_files import qrels_tsv, queries_jsonl, read_qrels, read_queries
from nearfield.quality.service import effective

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.events import QueryReport
    from nearfield.quality.feedback import Learnt
    from nearfield.wiring import Backend


def import_judgments(name: str, queries: Path, qrels: Path, data: Path | None, terminal: Terminal) -> None:
    """Store the judgments of two files under the queries' texts; what was stored before stays."""
    texts, bad_queries = read_queries(queries)
    grades, bad_grades = read_qrels(qrels)
    given = [
        Judgment(texts[query], document, grade)
        for query, of in grades.items()
        if query in texts
        for document, grade in of.items()
    ]
    without = sum(query not in texts for query in grades)

    async def work(backend: Backend) -> int:
        return await backend.quality.judge(name, given)

    stored = run(existing_data(data), work)
    bad = [*bad_queries, *bad_grades]
    if terminal.as_json:
        terminal.give({"collection": name, "stored": stored, "queries_without_text": without, "bad_rows": bad})
        return
    for row in bad:
        terminal.say(f"{row.file}:{row.line}: not used: {row.detail}")
    if without:
        terminal.say(f"{without:,} queries are judged and not in {queries}")
    terminal.show(Text(f"stored {stored:,} judgments"))


def export_judgments(name: str, queries: Path, qrels: Path, data: Path | None, terminal: Terminal) -> None:
    """Write the judgments as two files, which `judgments import` and `eval` read."""

    async def work(backend: Backend) -> list[Judgment]:
        return effective(await backend.quality.judgments(name))

    found = run(existing_data(data), work)
    ids = {query: f"q{number}" for number, query in enumerate(dict.fromkeys(one.query for one in found), start=1)}
    queries.write_bytes(b"".join(queries_jsonl({name: query for query, name in ids.items()})))
    rows = ((ids[one.query], one.document_id, one.grade) for one in found)
    qrels.write_text("".join(qrels_tsv(rows)), encoding="utf-8", newline="\n")
    if terminal.as_json:
        terminal.give({"collection": name, "queries": len(ids), "judgments": len(found)})
    else:
        terminal.show(Text(f"wrote {len(ids):,} queries to {queries} and {len(found):,} judgments to {qrels}"))


def list_judgments(name: str, data: Path | None, terminal: Terminal) -> None:
    """The judged queries: how many documents, how many of them relevant, and where from."""

    async def work(backend: Backend) -> list[Judgment]:
        return await backend.quality.judgments(name)

    found = run(existing_data(data), work)
    if terminal.as_json:
        terminal.give({"collection": name, "judgments": found})
        return
    queries: dict[str, list[Judgment]] = {}
    for one in found:
        queries.setdefault(one.query, []).append(one)
    rows = [
        (
            printable(query),
            len(its),
            sum(one.grade > 0 for one in its),
            max(one.grade for one in its),
            ", ".join(sorted({one.source.value for one in its})),
        )
        for query, its in queries.items()
    ]
    columns = ("query", "judged", "relevant", "best grade", "source")
    terminal.show(table(columns, rows, numbers=columns[1:4]))


def learn(name: str, data: Path | None, terminal: Terminal) -> None:
    """Judgments from clicks, in place of earlier ones."""

    async def work(backend: Backend) -> Learnt:
        return await backend.feedback.learn(name)

    found = run(existing_data(data), work)
    if terminal.as_json:
        terminal.give({"collection": name, **asdict(found)})
        return
    terminal.show(
        Text(
            f"learnt {found.judgments:,} judgments on {found.queries:,} queries from {found.clicks:,} clicks "
            f"in {found.searches:,} searches"
        )
    )
    ranks = ", ".join(f"{chance:.2f}" for chance in found.examination)
    terminal.show(Text(f"how likely each rank is looked at: {ranks or 'unknown'}", style="dim"))


def report(name: str, below: int, limit: int, data: Path | None, terminal: Terminal) -> None:
    """Queries that found nothing or little."""

    async def work(backend: Backend) -> list[QueryReport]:
        return await backend.feedback.report(name, below=below, limit=limit)

    told = report_json(run(existing_data(data), work))
    if terminal.as_json:
        terminal.give({"collection": name, **told})
        return
    columns = ("query", "searches", "empty", "fewest found", "clicked", "last")
    rows = [
        (printable(one["query"]), one["searches"], one["empty"], one["fewest"], one["clicks"], one["last_at"])
        for one in told["queries"]
    ]
    terminal.show(table(columns, rows, numbers=columns[1:5]))
