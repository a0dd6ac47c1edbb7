"""`nearfield search`: a question, its hits, and the plan that found them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from html import unescape
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.text import Text

from nearfield.cli.session import existing_data, fetch_model, model_is_here, run
from nearfield.cli.terminal import cell, printable, table
from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.errors import IndexLagging, InvalidRequest
from nearfield.domain.facets import read_facets
from nearfield.domain.filter_text import parse_text, to_text
from nearfield.domain.filters import fields_of
from nearfield.domain.highlights import Highlight
from nearfield.domain.ordering import read_group_by, read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.reranking import Rerank
from nearfield.domain.understood import kinds_to_read, understood_to_json

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.fusion import Fusion
    from nearfield.domain.hits import Answer, Hit
    from nearfield.domain.plans import Plan
    from nearfield.domain.schema import CollectionSpec
    from nearfield.domain.understood import Understood
    from nearfield.wiring import Backend

LOOK_AGAIN_S: Final = 2.0
SHOWN_FIELDS: Final = 3
SHOWN_CHARACTERS: Final = 120
_PRE, _POST = "\ue000", "\ue001"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the answer is put: its order, what is counted, what is put together, whether it is explained and marked."""

    sort: tuple[str, ...] = ()
    facets: tuple[str, ...] = ()
    group_by: str | None = None
    explain: bool = False
    highlight: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    name: str
    query: str
    where: str | None
    limit: int
    mode: Mode | None
    exact: bool
    typos: bool
    wait: bool
    understand: bool | None = None
    fusion: Fusion | None = None
    rerank: str | None = None
    diversity: float = 0.0
    boosts: tuple[str, ...] = ()
    rules: bool = True
    shape: Shape = Shape()


def search(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Search and print. Raises whatever the search raises; a filter that cannot be read, before anything is opened."""
    where = None if ask.where is None else parse_text(ask.where)
    question = Search(
        query=ask.query,
        where=where,
        limit=ask.limit,
        mode=ask.mode,
        exact=ask.exact,
        typos=ask.typos,
        fusion=ask.fusion,
        understand=kinds_to_read(ask.understand),
        rerank=None if ask.rerank is None else Rerank(ask.rerank),
        diversity=ask.diversity,
        boosts=parse_boosts([_boost(text, place) for place, text in enumerate(ask.boosts)]) if ask.boosts else (),
        rules=ask.rules,
        sort=read_sort(ask.shape.sort),
        facets=read_facets(ask.shape.facets),
        group_by=read_group_by(ask.shape.group_by),
        explain=ask.shape.explain,
        highlight=_marks(terminal) if ask.shape.highlight else None,
    )
    settings = existing_data(data)

    async def work(backend: Backend) -> None:
        spec = (await backend.catalog.get(ask.name)).spec
        await asyncio.to_thread(fetch_model, settings, spec.embedder, terminal)
        waited_for = await _waited(backend, ask.name, terminal) if ask.wait else 0
        answer = await backend.searches.search(ask.name, question)
        answer = replace(answer, plan=replace(answer.plan, waited_for=waited_for))
        if terminal.as_json:
            terminal.give(_as_json(answer))
        else:
            asked = [*(sorted(fields_of(where)) if where else []), *question.fields_read]
            _show(answer, spec, asked, terminal)

    run(settings, work, preload=ask.mode is not Mode.LEXICAL and model_is_here(settings))


def _marks(terminal: Terminal) -> Highlight:
    """Tags in JSON; what no document holds on the screen, where matches are printed bold."""
    return Highlight() if terminal.as_json else Highlight(pre=_PRE, post=_POST)


def _boost(text: str, place: int) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"--boost {text[:60]!r} is no JSON: {exc}", field=f"boosts[{place}]") from exc


async def _waited(backend: Backend, name: str, terminal: Terminal) -> int:
    """Wait until all that was written can be found, however long it takes as long as it goes on; how many changes.

    Raises IndexLagging when indexing stands still with an error.
    """
    pending = first = await backend.documents.pending(name)
    if first:
        terminal.say(f"waiting for pending changes: {first:,} (--no-wait searches what is indexed)")
    while pending:
        try:
            await backend.documents.wait(name, timeout_s=LOOK_AGAIN_S)
        except IndexLagging:
            before, pending = pending, await backend.documents.pending(name)
            status = await backend.catalog.status(name)
            if pending >= before and status.indexing_error is not None:
                raise
            terminal.say(f"{pending:,} still pending")
        else:
            break
    return first


def _as_json(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {
        "hits": [_hit_json(hit) for hit in answer.hits],
        "plan": answer.plan,
        "took_ms": answer.took_ms,
    }
    if answer.understood is not None:
        told["understood"] = understood_to_json(answer.understood)
    if answer.facets:
        told["facets"] = answer.facets
    if answer.explanation is not None:
        told["explain"] = answer.explanation
    return told


def _hit_json(hit: Hit) -> dict[str, Any]:
    told: dict[str, Any] = {"id": hit.id, "score": hit.score, "document": hit.document}
    if hit.members is not None:
        told |= {"group": hit.group, "members": [_hit_json(one) for one in hit.members]}
    if hit.parts:
        told["explain"] = hit.parts
    if hit.highlights is not None:
        told["highlights"] = hit.highlights
    return told


def _show(answer: Answer, spec: CollectionSpec, asked: list[str], terminal: Terminal) -> None:
    if not answer.hits:
        terminal.show(Text("nothing found"))
    else:
        names = list(dict.fromkeys([*spec.embed.fields[:SHOWN_FIELDS], *asked]))
        terminal.show(
            table(
                ("#", "score", "id", *names),
                [
                    (rank, f"{hit.score:.3f}", hit.id, *(_short(hit.document.get(name)) for name in names))
                    for rank, hit in enumerate(answer.hits, 1)
                ],
                numbers=("#", "score"),
            )
        )
    for rank, hit in enumerate(answer.hits, 1):
        if hit.highlights is not None:
            terminal.show(_marked(f"{rank}. {unescape(hit.highlights.passage)}"))
    if answer.understood is not None:
        terminal.show(Text(printable(understood_line(answer.understood)), style="dim"))
    for counts in answer.facets:
        values = ", ".join(f"{cell(one.value)} {one.count:,}" for one in counts.buckets)
        terminal.show(Text(printable(f"{counts.field}: {values}; of {counts.documents:,} documents")))
    for line in [*_explained(answer), *plan_lines(answer.plan, answer.took_ms)]:
        terminal.show(Text(printable(line), style="dim"))


def _marked(passage: str) -> Text:
    """A passage with its matches in bold, and in asterisks where there is no bold."""
    line = Text()
    for place, piece in enumerate(passage.split(_PRE)):
        match, end, rest = piece.partition(_POST)
        if place and end:
            line.append(f"*{printable(match)}*", style="bold")
            line.append(printable(rest))
        else:
            line.append(printable(piece))
    return line


def _short(value: object) -> str:
    text = " ".join(cell(value).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def understood_line(found: Understood) -> str:
    """What was read from the query: the rest of it, and what each part became."""
    parts = [
        f"{part.words!r} {to_text(part.where) if part.where is not None else f'sort {part.sort}'}"
        for part in found.parts
    ]
    return f"{'understood' if found.applied else 'not kept'}: {found.query!r}; {'; '.join(parts)}"


def _explained(answer: Answer) -> list[str]:
    """What each stage did: a line a hit, and one of times."""
    if answer.explanation is None:
        return []
    lines = []
    for rank, hit in enumerate(answer.hits, 1):
        parts = (
            f"{part.stage} {part.adds:+.4f}{'' if part.rank is None else f' (rank {part.rank})'}" for part in hit.parts
        )
        lines.append(f"{rank}. {hit.score:.4f} = {', '.join(parts)}")
    times = ", ".join(f"{one.stage} {one.ms:.1f} ms" for one in answer.explanation.stages)
    return [*lines, f"stages: {times}"]


def plan_lines(plan: Plan, took_ms: float) -> list[str]:
    """A plan in words: one line, and one for each note."""
    parts = [
        f"{plan.mode or 'listing'}, {plan.access} on {plan.engine} {plan.index} generation {plan.generation}",
        f"{plan.fusion}, meaning {plan.fusion_weight:.2f}" if plan.fusion_weight is not None else "",
        f"ef {plan.effort}" if plan.effort is not None else "",
        f"{plan.matches:,} matches" if plan.matches is not None else "",
        f"filter in the engine: {plan.filter_native}" if plan.filter_native else "",
        f"filter on the store: {plan.filter_residual}" if plan.filter_residual else "",
        ", ".join(f"{one.word} taken for {one.meant}" for one in plan.corrections),
        f"waited for {plan.waited_for:,} changes" if plan.waited_for else "",
        f"{took_ms:.1f} ms",
    ]
    return ["; ".join(part for part in parts if part), *(f"note: {note}" for note in plan.notes)]
