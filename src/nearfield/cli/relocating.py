"""`nearfield move`, `rollback` and `generations`: a collection to another engine, model or index, and back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from nearfield.cli.failing import FAILED
from nearfield.cli.progress import Meter
from nearfield.cli.session import existing_data, fetch_model, run
from nearfield.cli.terminal import duration, size, table
from nearfield.domain.moves_json import estimate_json, generation_json, verification_json
from nearfield.quality.report_page import report_page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.moves import Estimate, Gates, GenerationStatus, Moved, Verification
    from nearfield.wiring import Backend


@dataclass(frozen=True, slots=True)
class Ask:
    """wish: any of engine, embedder, index. price: of a million tokens. html: where the report goes as a page."""

    name: str
    wish: Mapping[str, Any]
    gates: Gates
    price: float | None
    plan: bool
    verify_only: bool
    sure: bool
    html: Path | None


def move(ask: Ask, data: Path | None, terminal: Terminal) -> None:
    """Estimate, fill, verify and switch. Exits with FAILED where a gate did not hold."""
    settings = existing_data(data, build_share=1.0)  # nobody else has the data directory open

    async def estimate(backend: Backend) -> Estimate:
        embedder = ask.wish.get("embedder") or (await backend.catalog.get(ask.name)).spec.embedder
        await asyncio.to_thread(fetch_model, settings, embedder, terminal)
        return await backend.moves.estimate(ask.name, ask.wish, price=ask.price)

    async def whole(backend: Backend) -> Moved:
        with Meter(terminal, indexed="documents", checked="documents", searched="queries") as meter:
            return await backend.moving.move(
                ask.name, ask.wish, gates=ask.gates, switch=not ask.verify_only, on_progress=meter.move
            )

    if ask.plan or (ask.wish and not ask.sure):
        found = run(settings, estimate)
        if ask.plan and terminal.as_json:
            terminal.give(estimate_json(found))
        else:
            _show_estimate(found, terminal)
        if ask.plan:
            return
        typer.confirm(f"move {ask.name}?", abort=True, err=True)
    moved = run(settings, whole)
    if ask.html is not None and moved.verification is not None:
        ask.html.write_text(report_page(moved.verification), encoding="utf-8")
    if terminal.as_json:
        report = None if moved.verification is None else verification_json(moved.verification)
        told = {"collection": moved.collection, "generation": moved.generation, "already": moved.already}
        terminal.give(told | {"switched": moved.switched, "verification": report})
    else:
        _show_moved(ask, moved, terminal)
    if moved.verification is not None and not moved.verification.passed:
        raise typer.Exit(FAILED)


def rollback(name: str, data: Path | None, terminal: Terminal) -> None:
    """Go back to the generation that was live before."""
    number = run(existing_data(data), lambda backend: backend.moves.rollback(name))
    if terminal.as_json:
        terminal.give({"collection": name, "generation": number})
    else:
        terminal.show(Text(f"{name} is searched on generation {number} again"))


def generations(name: str, data: Path | None, terminal: Terminal, *, drop: bool) -> None:
    """List the generations; with `drop` give up those beside the live one first."""

    async def work(backend: Backend) -> list[GenerationStatus]:
        if drop:
            await backend.moves.drop(name)
            await backend.moves.removed()
        await backend.generations.live(await backend.catalog.get(name))
        return await backend.moves.generations(name)

    found = run(existing_data(data), work)
    if terminal.as_json:
        terminal.give({"collection": name, "generations": [generation_json(one) for one in found]})
        return
    columns = ("number", "state", "engine", "index", "embedder", "pending", "passages", "size", "verified", "trouble")
    rows = []
    for one in found:
        made = one.generation
        index = f"{made.index.kind}/{made.index.metric}/{made.index.quantization}"
        held = None if one.bytes is None else size(one.bytes)
        told = (one.pending, one.rows, held, one.verified, one.trouble)
        rows.append((made.number, made.state, made.engine, index, made.embedder, *told))
    terminal.show(table(columns, rows, numbers=("number", "pending", "passages", "size")))


def _show_estimate(found: Estimate, terminal: Terminal) -> None:
    shape = found.shape
    index = f"{shape.index.kind}/{shape.index.metric}/{shape.index.quantization}"
    rows = [
        ("to", f"{shape.engine}, {index}, {shape.embedder}"),
        ("documents", found.documents),
        ("passages", found.passages),
        ("to embed", found.to_embed),
        ("time", f"about {duration(found.seconds)}"),
        ("disk", f"about {size(found.disk_bytes)}"),
        ("memory", f"about {size(found.memory_bytes)}"),
    ]
    if found.to_embed:
        rows.insert(4, ("tokens", found.tokens))
    if found.cost is not None:
        rows.append(("cost", f"about {found.cost:.2f}"))
    rows += [("suited", told) for told in found.adapted]
    terminal.show(table(("", f"measured on {found.sampled:,} passages"), rows))


def _show_moved(ask: Ask, moved: Moved, terminal: Terminal) -> None:
    if moved.already or moved.verification is None:
        terminal.show(Text(f"{moved.collection} is there already, on generation {moved.generation}"))
        return
    _show_verification(moved.verification, terminal)
    if moved.switched:
        terminal.show(Text(f"{moved.collection} is searched on generation {moved.generation} now"))
        terminal.say(f"the one before is kept: `nearfield rollback {moved.collection}` goes back at once")
    elif moved.verification.passed:
        terminal.show(Text(f"generation {moved.generation} is ready; `nearfield move {ask.name}` switches to it"))
    else:
        terminal.show(Text(f"generation {moved.generation} does not hold; nothing was switched"))


def _show_verification(found: Verification, terminal: Terminal) -> None:
    rows: list[tuple[object, ...]] = [
        (gate.name, gate.seen, gate.demanded, "held" if gate.held else "not held") for gate in found.gates
    ]
    terminal.show(table(("gate", "seen", "demanded", ""), rows))
    sides = [side for side in (found.old, found.new) if side is not None]
    figures: list[tuple[object, ...]] = [
        (
            side.generation,
            side.engine,
            side.index,
            f"{side.recall:.4f}",
            *(f"{side.percentile_ms(percent):.1f}" for percent in (50, 95, 99)),
            None if side.ndcg is None else f"{side.ndcg:.4f}",
        )
        for side in sides
    ]
    columns = ("generation", "engine", "index", "recall@10", "p50 ms", "p95 ms", "p99 ms", "ndcg@10")
    terminal.show(table(columns, figures, numbers=("generation", *columns[3:])))
    told = f"{found.queries:,} questions, {found.filtered:,} with a filter, {found.overlap:.1%} of the hits alike"
    terminal.show(Text(told, style="dim"))
    for note in found.notes:
        terminal.say(note)
