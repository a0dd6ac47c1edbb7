"""What a collection's documents hold: the values of its keyword fields, the bounds of its numbers, its titles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from nearfield.search.understand.languages import LANGUAGES
from nearfield.search.understand.words import plain, stem, stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearfield.search.understand.fields import Fields

MAX_PHRASE: Final = 8  # words of a known value; longer ones are titles
MAX_TITLE: Final = 80  # characters; a longer one is not typed into a search box
_TITLE_WORD: Final = re.compile(r"\w+")
PERSONS: Final = ("creator", "actor", "seller", "assignee")
_MIN_SURNAME: Final = 4  # letters


def title_key(text: str) -> str:
    """A title as titles are compared: folded words, signs dropped."""
    return " ".join(_TITLE_WORD.findall(plain(text)))


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A value some documents hold. part: only its last word was compared, as with a surname."""

    field: str
    value: str
    count: int
    part: bool = False


class Known(Protocol):
    """What `understand` asks about the documents. Answers at once: it is read for each word of each query."""

    def find(self, phrase: tuple[str, ...]) -> Sequence[KnownValue]:
        """The values whose words have these stems, any case."""

    def longest(self, word: str) -> int:
        """How many words the longest value that begins with this stem has; 0 when none does."""

    def bounds(self, field: str) -> tuple[float | str, float | str] | None:
        """The least and greatest value of a field: numbers, or ISO dates. None where it is not known."""

    def frequency(self, word: str) -> int | None:
        """How many documents hold a word of this stem; None where it is not known."""

    def is_title(self, text: str) -> bool:
        """Whether a text is the title of a document, signs and case apart."""


@dataclass(frozen=True, slots=True)
class KnownValues:
    """A Known made from counted values. `of` makes it; it does not change."""

    phrases: Mapping[tuple[str, ...], Sequence[KnownValue]] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float | str, float | str]] = field(default_factory=dict)
    frequencies: Mapping[str, int] | None = None
    titles: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        fields: Fields,
        values: Mapping[str, Mapping[str, int]],
        *,
        ranges: Mapping[str, tuple[float | str, float | str]] | None = None,
        frequencies: Mapping[str, int] | None = None,
        titles: Iterable[str] = (),
    ) -> KnownValues:
        """Index values with their counts, by keyword field.

        Codes of language fields are found by the names of the languages too, persons by a surname that only one has.
        frequencies: documents that hold a word, by the word as folded or by its stem. Takes 5 us a value, 2 a title.
        """
        roles = {one.name: one.role for one in fields.all}
        phrases: dict[tuple[str, ...], list[KnownValue]] = {}
        surnames: dict[tuple[str, str], list[KnownValue]] = {}
        for name, counts in values.items():
            role = roles.get(name)
            if role is None:
                continue
            for value, count in counts.items():
                words = stems(value)
                if not words or len(words) > MAX_PHRASE:
                    continue
                phrases.setdefault(words, []).append(KnownValue(name, value, count))
                if role == "language":
                    for spoken in LANGUAGES.get(plain(value), ()):
                        phrases.setdefault(stems(spoken), []).append(KnownValue(name, value, count))
                if role in PERSONS and len(words) > 1 and len(words[-1]) >= _MIN_SURNAME:
                    surnames.setdefault((name, words[-1]), []).append(KnownValue(name, value, count, part=True))
        for (_, last), bearers in surnames.items():
            if len(bearers) == 1:
                phrases.setdefault((last,), []).append(bearers[0])
        lengths: dict[str, int] = {}
        for words in phrases:
            lengths[words[0]] = max(lengths.get(words[0], 0), len(words))
        short = frozenset(title_key(title) for title in titles if len(title) <= MAX_TITLE)
        return cls(phrases, lengths, ranges or {}, frequencies, short)

    def find(self, phrase: tuple[str, ...]) -> Sequence[KnownValue]:
        return self.phrases.get(phrase, ())

    def longest(self, word: str) -> int:
        return self.lengths.get(word, 0)

    def bounds(self, field: str) -> tuple[float | str, float | str] | None:
        return self.ranges.get(field)

    def frequency(self, word: str) -> int | None:
        if self.frequencies is None:
            return None
        forms = {word, f"{word}s", f"{word}es", f"{word}'s", f"{word[:-1]}ies", f"{word[:-1]}ie"}
        return sum(self.frequencies.get(form, 0) for form in forms if stem(form.replace("'", "")) == word)

    def is_title(self, text: str) -> bool:
        return bool(self.titles) and len(text) <= MAX_TITLE and title_key(text) in self.titles


NOTHING_KNOWN: Final = KnownValues()
"""For a collection whose values are not known: numbers, dates, flags and orders are read all the same."""
