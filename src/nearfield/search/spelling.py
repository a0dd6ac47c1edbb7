"""Unknown words of a query brought to known ones, as far as typing goes wrong."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearfield.domain.languages import stems, stop_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ONE_ERROR_FROM: Final = 5  # letters; shorter words have too many neighbours
TWO_ERRORS_FROM: Final = 8
OVERWHELMING: Final = 100
LONGEST: Final = 30  # letters; a longer word is no word


def errors_allowed(word: str) -> int:
    """Typing errors that are forgiven in a folded word: none up to 4 letters or with a digit, 1 up to 7, then 2."""
    if not word.isalpha() or not ONE_ERROR_FROM <= len(word) <= LONGEST:
        return 0
    return 1 if len(word) < TWO_ERRORS_FROM else 2


def near(word: str, among: Sequence[str], allowed: int, *, most: int | None = None) -> list[tuple[int, int]]:
    """The words that `allowed` errors or fewer lead to, as (errors, place among them), fewest first.

    An error is a letter too many, missing, or another, or two neighbours swapped (optimal string alignment).
    """
    from rapidfuzz.distance import OSA  # noqa: PLC0415 - loaded when a word is unknown
    from rapidfuzz.process import extract  # noqa: PLC0415

    found = extract(word, among, scorer=OSA.distance, score_cutoff=allowed, limit=most)
    return [(int(errors), place) for _, errors, place in found]


@dataclass(frozen=True, slots=True, eq=False)
class Speller:
    """Knows the words of a collection. Never changed: safe to ask from any thread.

    frequency: documents that hold each folded word. stemmed: the stems of those words.
    by_shape: words of letters only, by length and first letter.
    """

    frequency: Mapping[str, int]
    stemmed: frozenset[str]
    by_shape: Mapping[tuple[int, str], Sequence[str]]
    language: str

    @classmethod
    def of(cls, frequency: Mapping[str, int], language: str) -> Speller:
        """Blocks: some 0.1 s for 100,000 words."""
        import rapidfuzz.process  # noqa: F401, PLC0415 - 0.1 s, which the first misspelt word would wait for

        by_shape: dict[tuple[int, str], list[str]] = defaultdict(list)
        for word in frequency:
            if ONE_ERROR_FROM - 1 <= len(word) <= LONGEST + 2 and word.isalpha():
                by_shape[len(word), word[0]].append(word)
        return cls(frequency, frozenset(stems(list(frequency), language)), dict(by_shape), language)

    def knows(self, word: str) -> bool:
        """Whether a folded word, or one of its stem, is in a document; stop words and tokens of no letters are known
        anyway."""
        return (
            word in self.frequency
            or word in stop_words(self.language)
            or not any(map(str.isalpha, word))
            or stems([word], self.language)[0] in self.stemmed
        )

    def doubts(self, word: str, rare: int) -> bool:
        """Whether a folded word is unknown, or held by `rare` documents at most and not a form of a word less rare."""
        return not self.knows(word) or 0 < self.frequency.get(word, 0) <= rare

    def nearest(self, word: str) -> str | None:
        """The known word that was most likely meant by an unknown one; None where none is near enough.

        The fewest errors win (a swap of neighbours is one), then the word that most documents hold. A wrong first
        letter is the only error then. For a word that is known, one that OVERWHELMING times as many documents hold.
        """
        allowed = errors_allowed(word)
        if not allowed:
            return None
        same = self._near(word, [word[0]], allowed)
        found = same or self._near(word, {first for _, first in self.by_shape} - {word[0]}, 1)
        if found is not None and self.frequency[found] < OVERWHELMING * self.frequency.get(word, 0):
            return None
        return found

    def _near(self, word: str, firsts: Iterable[str], allowed: int) -> str | None:
        lengths = range(len(word) - allowed, len(word) + allowed + 1)
        best: tuple[int, int, str] | None = None
        for first in firsts:
            for length in lengths:
                words = self.by_shape.get((length, first), ())
                for errors, place in near(word, words, allowed):
                    if words[place] != word:
                        rank = (errors, -self.frequency[words[place]], words[place])
                        best = rank if best is None else min(best, rank)
        return None if best is None else best[2]
