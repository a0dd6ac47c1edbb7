"""What people did with what a search showed them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nearfield.domain.documents import MAX_ID_LENGTH
from nearfield.domain.errors import InvalidRequest

MAX_POSITION: Final = 11_000
MAX_SEARCH_ID: Final = 128  # characters


class EventKind(StrEnum):
    """In order of what they say: a click says interest, a purchase says it was right."""

    CLICK = "click"
    CART = "cart"
    PURCHASE = "purchase"


@dataclass(frozen=True, slots=True)
class Event:
    """search_id: the search's answer has it. position: the rank the document was shown at, from 1 over all pages; None
    takes it from what was shown. at: milliseconds since 1970, UTC.

    Raises InvalidRequest naming the field.
    """

    search_id: str
    document_id: str
    kind: EventKind
    at: int
    position: int | None = None

    def __post_init__(self) -> None:
        for name, text, most in (
            ("search_id", self.search_id, MAX_SEARCH_ID),
            ("document_id", self.document_id, MAX_ID_LENGTH),
        ):
            if not 1 <= len(text) <= most:
                raise InvalidRequest(f"{name} has {len(text)} characters; expected 1 to {most}", field=name)
        if self.position is not None and not 1 <= self.position <= MAX_POSITION:
            raise InvalidRequest(f"position is {self.position}; expected 1 to {MAX_POSITION}", field="position")


@dataclass(frozen=True, slots=True)
class Impression:
    """What one search showed.

    shown: document ids, best first. offset: hits skipped before them. complete: nothing more would have been found.
    at: milliseconds since 1970, UTC.
    """

    search_id: str
    query: str
    shown: tuple[str, ...]
    offset: int
    complete: bool
    at: int


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """accepted: events stored, durable. unmatched: those among them whose search is not known (yet): they count once
    its impression is there, and never when that was lost."""

    accepted: int
    unmatched: int


@dataclass(frozen=True, slots=True)
class QueryReport:
    """One query as people typed it, over all its recorded searches.

    searches: first pages shown. empty: those that showed nothing. fewest: documents found at the least.
    clicks: searches with any event. last_at: milliseconds since 1970, UTC.
    """

    query: str
    searches: int
    empty: int
    fewest: int
    clicks: int
    last_at: int
