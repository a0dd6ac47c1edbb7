"""`nearfield config`, `engines` and `model`: what this installation can do, and how it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from nearfield.cli.session import pull, settings_for
from nearfield.cli.terminal import size, table
from nearfield.domain.schema import INT8
from nearfield.settings import settings_with_origin
from nearfield.wiring import engine_capabilities, model_catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.protocols.engine import EngineCapabilities


def config(data: Path | None, terminal: Terminal) -> None:
    """Every setting with its value, where that comes from, and what it means."""
    rows = settings_with_origin(settings_for(data))
    if terminal.as_json:
        keys = ("name", "value", "origin", "description")
        terminal.give({"settings": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        terminal.show(table(("setting", "value", "origin", "meaning"), rows))


SHOWN: Final = ("kinds", "metrics", "lexical", "exact", "effort", "durable")
"""The claims in the table; `--json` has all."""


def engines(terminal: Terminal) -> None:
    """What each installed engine claims."""
    found = engine_capabilities()
    if terminal.as_json:
        terminal.give({"engines": {name: _as_json(claims) for name, claims in found.items()}})
        return
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("engine", *SHOWN):
        shown.add_column(head)
    for name, one in found.items():
        claims = _as_json(one)
        shown.add_row(name, *(Text(_claim(claims[claim])) for claim in SHOWN))
    terminal.show(shown)


def _as_json(claims: EngineCapabilities) -> dict[str, Any]:
    return {
        "metrics": sorted(claims.metrics),
        "kinds": sorted(claims.kinds),
        "quantizations": {str(kind): sorted(known) for kind, known in sorted(claims.quantizations.items())},
        "filters": sorted(node.__name__ for node in claims.filters),
        "lexical": claims.lexical,
        "exact": claims.exact,
        "effort": claims.effort,
        "durable": claims.durable,
        "max_dimension": claims.max_dimension,
    }


def _claim(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value)
        case _:
            return str(value)


def model_list(terminal: Terminal) -> None:
    """The models known by name, and whether their weights are here."""
    settings = settings_for(None)
    found = model_catalogue(settings)
    if terminal.as_json:
        listed = [
            {
                "name": entry.model.name,
                "presence": entry.presence,
                "bytes": entry.bytes,
                "dimension": entry.model.dimension,
                "max_tokens": entry.model.max_tokens,
                "licence": entry.model.licence,
                "summary": entry.model.summary,
            }
            for entry in found
        ]
        terminal.give({"folder": str(settings.models_dir), "models": listed})
        return
    rows = [
        (
            entry.model.name,
            entry.presence,
            size(entry.bytes),
            entry.model.dimension,
            entry.model.licence,
            entry.model.summary,
        )
        for entry in found
    ]
    terminal.show(table(("model", "here", "size", "dimension", "licence", "what it is"), rows, numbers=("size",)))
    terminal.say(f"folder: {settings.models_dir}")


def model_pull(name: str | None, terminal: Terminal) -> None:
    """Fetch a model's weights and check them; the default embedder's when no name is given."""
    settings = settings_for(None)
    wanted = (name or settings.embedder).removesuffix(INT8)
    folder = pull(settings, wanted, terminal)
    if terminal.as_json:
        terminal.give({"name": wanted, "folder": str(folder)})
    else:
        terminal.show(Text(f"{wanted} is in {folder}"))
