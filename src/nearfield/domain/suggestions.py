"""What may be meant by the beginning of a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_SUGGESTIONS = 100
MAX_TYPED = 200  # characters


@dataclass(frozen=True, slots=True)
class Suggestion:
    """kind: a query asked before, or a document's title. count: how often it was asked, or documents of that title."""

    text: str
    kind: Literal["query", "title"]
    count: int


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The best first. ready: False while the collection's titles are still being read, and only queries are known."""

    suggestions: tuple[Suggestion, ...]
    ready: bool = True
