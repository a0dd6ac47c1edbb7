"""What a caller probably meant: the end of a message about a name that does not exist."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAMES_SHOWN: Final = 30


def nearest_name(given: str, known: Iterable[str]) -> str | None:
    """The known name most like the given one (case and a missing `$` forgiven), or None when none is like it."""
    by_folded = {name.casefold().lstrip("$"): name for name in known}
    found = difflib.get_close_matches(given[:100].casefold().lstrip("$"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def unknown_name(kind: str, given: str, known: Iterable[str]) -> str:
    """`unknown field 'colour'; did you mean 'color'? known: brand, color`, at most MAX_NAMES_SHOWN of the known."""
    names = [str(name) for name in known]  # of an enum, the value
    nearest = nearest_name(given, names)
    meant = f"; did you mean {nearest!r}?" if nearest else ";"
    shown = ", ".join(names[:MAX_NAMES_SHOWN]) or "none"
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return f"unknown {kind} {shorten(given)!r}{meant} known: {shown}{more}"


def shorten(text: str, limit: int = 60) -> str:
    """The text, cut to `limit` characters with an ellipsis: what a caller sent is never echoed at length.

    A plain str comes back for a subclass of it.
    """
    return str(text) if len(text) <= limit else text[: limit - 1] + "…"
