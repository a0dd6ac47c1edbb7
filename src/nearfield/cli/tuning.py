"""`nearfield tune`: which fusion serves a collection best, by its judgments."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from nearfield.api.quality_answers import tuned_json
from nearfield.cli.progress import Meter
from nearfield.cli.session import existing_data, fetch_model, run
from nearfield.cli.terminal import printable, table
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.fusion_json import fusion_to_json
from nearfield.quality.judged_files import read_judged

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.tuning import TunedFusion
    from nearfield.wiring import Backend

SHOWN = 8


@dataclass(frozen=True, slots=True)
class Ask:
    """goal: `relevance`. apply: take the best fusion where it is worth it."""

    name: str
    goal: str
    queries: Path | None
    qrels: Path | None
    apply: bool


def tune(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Try, print, and with `apply` change the collection."""
    if ask.goal != "relevance":
        raise InvalidRequest(f"--for {ask.goal}: expected relevance", field="for")
    if (ask.queries is None) != (ask.qrels is None):
        raise InvalidRequest("give both --queries and --qrels, or neither for the stored judgments", field="qrels")
    settings = existing_data(data)
    judged = None if ask.queries is None or ask.qrels is None else read_judged(ask.queries, ask.qrels)

    async def work(backend: Backend) -> TunedFusion:
        spec = (await backend.catalog.get(ask.name)).spec
        await asyncio.to_thread(fetch_model, settings, spec.embedder, terminal)
        with Meter(terminal, searched="queries") as meter:
            found = await backend.quality.tune(
                ask.name, judged, on_progress=lambda done, total: meter.move("searched", done, total)
            )
        if ask.apply and found.worth_it:
            await backend.catalog.configure(ask.name, {"fusion": fusion_to_json(found.best)})
        return found

    found = run(settings, work)
    applied = ask.apply and found.worth_it
    if terminal.as_json:
        terminal.give(tuned_json(found) | {"applied": applied})
        return
    rows = [(str(fusion), f"{mean:.4f}", "now" if fusion == found.current else "") for fusion, mean in found.tried]
    terminal.show(table(("fusion", found.measure, ""), rows[:SHOWN], numbers=(found.measure,)))
    terminal.show(Text(printable(f"{found.queries:,} judged queries. {found.why}")))
    if found.worth_it and not ask.apply:
        terminal.say("nothing was changed; --apply takes it")
    elif applied:
        terminal.say(f"{ask.name} is searched with {found.best} from now on")
