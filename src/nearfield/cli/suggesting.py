"""`nearfield suggest`: completions of what is typed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from nearfield.cli.session import existing_data, run
from nearfield.cli.terminal import printable, table

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.wiring import Backend


def suggest(name: str, typed: str, limit: int, data: Path | None, terminal: Terminal) -> None:
    """Print completions, once the titles are read. Raises CollectionNotFound, InvalidRequest."""

    async def work(backend: Backend) -> None:
        found = (await backend.suggester.suggest(name, typed, limit=limit, wait=True)).suggestions
        if terminal.as_json:
            terminal.give({"suggestions": [asdict(one) for one in found]})
        elif not found:
            terminal.show(Text("nothing found"))
        else:
            rows = [(printable(one.text), one.kind, one.count) for one in found]
            terminal.show(table(("suggestion", "kind", "count"), rows, numbers=("count",)))

    run(existing_data(data), work)
