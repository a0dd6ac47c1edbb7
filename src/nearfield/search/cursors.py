"""Ranked lists kept for the pages that may still be asked, in memory, within a budget."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import CursorExpired, InvalidCursor
from nearfield.domain.filters import values_in
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.queries import Search, Similar
    from nearfield.search.trace import Trace
    from nearfield.search.work import Work

TOKEN_BYTES: Final = 12
FREE: Final = frozenset({"cursor", "limit", "min_seq"})
"""What may differ from page to page."""
_WRITTEN: Final = {"where": "filter", "effort": "ef"}
_OVERHEAD: Final = 2_000  # bytes of the objects around the arrays
_SHOWN: Final = 100  # bytes an entry of a dict of two integers takes
_TRACED: Final = 50_000


@dataclass(slots=True, eq=False)
class Frozen:
    """One ranked list: what was cut from it stays as it was, more may be appended.

    work: the question, as readers left it, without its retrieval. ranked: excluded documents left out.
    as_of: changes up to here were known to the filter when the list was made; later ones are checked on the store.
    complete: nothing more can be appended. cut: documents may lie beyond the last that is ever
    listed. seen_all: how many passes found the end of it.
    groups: where hits are grouped, the number of each document's group, from 0 in order of the best; names: the number
    of each value.
    shown: hash of each id given out, and the key it had: an id deleted and stored anew is another document, and must
    not come twice.
    traces: those behind `explain`, each with the place it begins to speak for.
    """

    work: Work
    ranked: Ranked
    as_of: int
    complete: bool
    cut: bool = False
    seen_all: int = 0
    groups: Int64Array | None = None
    names: dict[Any, int] = field(default_factory=dict)
    group_count: int = 0
    shown: dict[int, int] = field(default_factory=dict)
    traces: list[tuple[int, Trace]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        arrays = (*(getattr(self.ranked, each.name) for each in fields(Ranked)), self.groups, self.work.vector)
        return (
            _OVERHEAD
            + sum(int(array.nbytes) for array in arrays if array is not None)
            + _SHOWN * (len(self.shown) + len(self.names) + len(self.work.scored) + len(self.work.excluded))
            + _SHOWN * values_in(self.work.where)
            + _TRACED * len(self.traces)
        )

    def append(self, found: Ranked) -> int:
        """Put what is new at the end, in its order; how much that was."""
        new = ~np.isin(found.documents, self.ranked.documents)
        if new.any():
            old = self.ranked
            self.ranked = Ranked(
                np.concatenate([old.documents, found.documents[new]]),
                np.concatenate([old.chunks, found.chunks[new]]),
                np.concatenate([old.scores, found.scores[new]]),
            )
        return int(new.sum())

    @property
    def grouped(self) -> int:
        """How many documents of the list have their group."""
        return 0 if self.groups is None else len(self.groups)

    def join_groups(self, values: list[Any]) -> None:
        """Give the next documents of the list their groups, by the value each has; None is a group of its own."""
        numbers = []
        for value in values:
            number = self.group_count if value is None else self.names.setdefault(value, self.group_count)
            if number == self.group_count:
                self.group_count += 1
            numbers.append(number)
        known = np.array([], dtype=np.int64) if self.groups is None else self.groups
        self.groups = np.concatenate([known, np.array(numbers, dtype=np.int64)])

    def is_repeat(self, id: str, key: int) -> bool:
        """Whether this id was given out before as another document."""
        return self.shown.get(hash(id), key) != key

    def trace_of_page(self, place: int) -> Trace | None:
        """The trace that speaks for the page that begins at a place: a group's number where hits are grouped."""
        if self.groups is not None:
            place = int(np.argmax(self.groups >= place))
        return self.trace_at(place)

    def trace_at(self, place: int) -> Trace | None:
        """The trace that speaks for a place in the list."""
        return next((trace for first, trace in reversed(self.traces) if place >= first), None)


@dataclass(slots=True, eq=False)
class _Kept:
    frozen: Frozen
    used: float
    bytes: int


class Cursors:
    """Frozen lists by token. The one unused longest goes first when they are over the budget, or idle for too long."""

    def __init__(self, *, budget_bytes: int, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_bytes, self._idle_s, self._clock = budget_bytes, idle_s, clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """About how much memory all lists take."""
        return self._bytes

    def keep(self, frozen: Frozen, place: int) -> str:
        """A cursor for the page that begins at `place`."""
        token = secrets.token_hex(TOKEN_BYTES)
        kept = _Kept(frozen, self._clock(), frozen.bytes)
        self._kept[token] = kept
        self._bytes += kept.bytes
        self._shrink()
        return f"{token}.{place:x}"

    def find(self, cursor: str) -> tuple[Frozen, int]:
        """The list of a cursor and the place where its page begins. Raises InvalidCursor, CursorExpired."""
        token, dot, digits = cursor.partition(".")
        try:
            place = int(digits, 16)
        except ValueError:
            place = -1
        if not dot or len(token) != 2 * TOKEN_BYTES or place < 0:
            raise InvalidCursor("cursor is not one that an answer gave; send it back unchanged", field="cursor")
        self._shrink()
        kept = self._kept.get(token)
        if kept is None:
            raise CursorExpired(
                f"cursor has expired (after {self._idle_s:g} s unused, or earlier when many are kept) or is of another "
                "process; search anew without it",
                field="cursor",
            )
        if place > len(kept.frozen.ranked):
            raise InvalidCursor("cursor is not one that an answer gave; send it back unchanged", field="cursor")
        kept.used = self._clock()
        self._kept.move_to_end(token)
        return kept.frozen, place

    def touch(self, cursor: str) -> bool:
        """Begin the idle time of a cursor's list anew, as a use does. Returns whether the list is still kept."""
        self._shrink()
        token = cursor.partition(".")[0]
        kept = self._kept.get(token)
        if kept is None:
            return False
        kept.used = self._clock()
        self._kept.move_to_end(token)
        return True

    def move(self, cursor: str, place: int) -> str:
        """The cursor of a later page of the same list, whose size is taken anew."""
        token = cursor.partition(".")[0]
        kept = self._kept.get(token)
        if kept is not None:
            now = kept.frozen.bytes
            self._bytes += now - kept.bytes
            kept.bytes = now
            self._shrink()
        return f"{token}.{place:x}"

    def _shrink(self) -> None:
        oldest = self._clock() - self._idle_s
        while self._kept:
            first = next(iter(self._kept.values()))
            if self._bytes <= self._budget_bytes and first.used >= oldest:
                return
            self._kept.popitem(last=False)
            self._bytes -= first.bytes


def check_same(ask: Search | Similar, first: Search | Similar) -> None:
    """What is sent beside a cursor must be what the first page was asked with; what is left out is.

    Raises InvalidCursor naming the field.
    """
    if type(ask) is not type(first):
        raise InvalidCursor(
            "cursor is that of another kind of search; ask where the first page was asked", field="cursor"
        )
    for each in fields(ask):
        given = getattr(ask, each.name)
        if each.name in FREE or _equal(given, each.default) or _equal(given, getattr(first, each.name)):
            continue
        name = _WRITTEN.get(each.name, each.name)
        raise InvalidCursor(f"{name} is not that of the search this cursor continues; leave it out", field=name)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)
