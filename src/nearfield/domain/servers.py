"""What holds of every server that is spoken to: how its key is given, and which of its refusals may pass."""

from __future__ import annotations

from typing import Final

_PASSING: Final = frozenset({408, 425, 429})


def may_pass(status: int) -> bool:
    """Whether the same request may get another answer than this HTTP status a moment later."""
    return status in _PASSING or status >= 500


def key_setting(name: str, key: str = "...") -> str:
    """The setting that gives an engine or store its key, as it is typed into a shell."""
    return f'NEARFIELD_ENGINE_KEYS=\'{{"{name}": "{key}"}}\''
