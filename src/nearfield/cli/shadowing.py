"""`nearfield shadow`: the index beside the live one, tried on a share of what people search a running service for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rich.text import Text

from nearfield.cli.service import Service
from nearfield.cli.session import settings_for
from nearfield.cli.terminal import table
from nearfield.domain.collections import GenerationState, beside_live
from nearfield.domain.errors import GenerationNotFound

if TYPE_CHECKING:
    from nearfield.cli.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Ask:
    """share: to begin with; 0 ends it, None only tells. generation: None for the one beside the live one."""

    name: str
    share: float | None
    generation: int | None
    url: str | None


def shadow(ask: Ask, terminal: Terminal) -> None:
    """Begin, end, or neither; then show what was counted of the generation. Raises GenerationNotFound."""
    service = Service(ask.url, settings_for(None), as_json=terminal.as_json)
    every = f"/v1/collections/{quote(ask.name, safe='')}/generations"
    number = _beside(ask.name, service.get(every)) if ask.generation is None else ask.generation
    if ask.share is not None:
        service.post(f"{every}/{number}/shadow", {"share": ask.share})
    counts = service.get(f"{every}/{number}")["shadow"]
    if terminal.as_json:
        terminal.give({"collection": ask.name, "generation": number, "shadow": counts})
    elif counts is None:
        terminal.show(Text(f"generation {number} of {ask.name} is not shadowed; --share 0.1 begins"))
    else:
        _show(ask.name, number, counts, terminal)


def _beside(name: str, listed: Any) -> int:
    number = beside_live({one["number"]: GenerationState(one["state"]) for one in listed["generations"]})
    if number is None:
        raise GenerationNotFound(f"{name} has no generation beside the live one; begin a move first")
    return number


def _show(name: str, number: int, counts: dict[str, Any], terminal: Terminal) -> None:
    rows = [
        ("searches tried", counts["asked"]),
        ("answered alike", counts["same"]),
        ("hits alike", f"{counts['overlap']:.1%}"),
        ("failed", counts["failed"]),
        ("slower", counts["slower"]),
        ("live, mean ms", counts["live_ms"]),
        ("shadow, mean ms", counts["shadow_ms"]),
        ("passed over", counts["missed"]),
    ]
    going = f"{counts['share']:.3g} of the searches" if counts["share"] else "ended"
    terminal.show(table((f"{name}, generation {number}", going), rows))
