"""A query under reading: its words, and what is known of the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from nearfield.domain.filters import Filter
    from nearfield.domain.understood import PartKind
    from nearfield.search.understand.fields import Field, Fields
    from nearfield.search.understand.known import Known
    from nearfield.search.understand.words import Word

T = TypeVar("T")
LONGEST_PHRASE: Final = 5  # words of a fixed phrase
FILLERS: Final = frozenset({":", "=", "is", "of", "are", "a", "an", "be", "to"})
"""What may stand between a field's name and what is said of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A part found at a word: what it means, and the word it ends before.

    bare: nothing but a name says that it is one; it counts only beside a part that is none such.
    """

    kind: PartKind
    field: str
    end: int
    where: Filter | None = None
    sort: str | None = None
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """What readers look at. Places are indices of words; beyond the end stands the blank word.

    Phrases and names are kept by the place they begin at: a dozen readers ask for those of every word.
    """

    words: Sequence[Word]
    fields: Fields
    known: Known
    today: date
    _phrases: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    _names: dict[int, tuple[int, tuple[Field, ...]] | None] = field(default_factory=dict)

    def plain(self, at: int) -> str:
        return self.words[at].plain if 0 <= at < len(self.words) else ""

    def stem(self, at: int) -> str:
        return self.words[at].stem if 0 <= at < len(self.words) else ""

    def number(self, at: int) -> float | None:
        return self.words[at].number if 0 <= at < len(self.words) else None

    def phrase(self, at: int, table: Mapping[str, T]) -> tuple[int, T] | None:
        """The longest phrase of a table that stands here, and where it ends."""
        phrases = self._phrases.get(at)
        if phrases is None:
            ends = range(min(at + LONGEST_PHRASE, len(self.words)), at, -1)
            phrases = [(end, " ".join([word.plain for word in self.words[at:end]])) for end in ends]
            self._phrases[at] = phrases
        for end, phrase in phrases:
            found = table.get(phrase)
            if found is not None:
                return end, found
        return None

    def name(self, at: int) -> tuple[int, tuple[Field, ...]] | None:
        """The fields that are called by the words here, and where the name ends."""
        if at in self._names:
            return self._names[at]
        named = None
        for end in range(min(at + 3, len(self.words)), at, -1):
            found = self.fields.named.get(tuple([word.stem for word in self.words[at:end]]))
            if found:
                named = end, found
                break
        self._names[at] = named
        return named

    def past(self, at: int, fillers: frozenset[str] = FILLERS) -> int:
        """The first place from here on that is no filler; three are passed over at most."""
        for place in range(at, at + 3):
            if self.plain(place) not in fillers:
                return place
        return at + 3
