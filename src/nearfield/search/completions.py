"""Completions of a query while it is typed, from the titles of documents and from queries asked before."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.suggestions import Suggestion
from nearfield.domain.words import words_of
from nearfield.search.spelling import errors_allowed, near

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from nearfield.domain.documents import Int64Array

MAX_WORDS: Final = 12  # of what is typed; the rest is not looked at
SIMILAR_WORDS: Final = 20
"""Words of titles that a misspelt one is taken for, the nearest."""
PAST_QUERIES: Final = 10_000
"""Kept per collection; the one asked longest ago goes."""
ASKED_OFTEN: Final = 3
"""A query is suggested once so many requests asked it: one asked once or twice may be a slip, or private."""
MAX_KEPT: Final = 64
"""Collections whose queries are kept; the one nothing was asked for longest goes."""
LONGEST_QUERY: Final = 100  # characters
_LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True, eq=False)
class Titles:
    """Titles to be found by the beginning of their words. Never changed: safe to read from any thread.

    texts: as documents spell them, most frequent first; the place there is a title's number. counts: of documents.
    folded: folded titles, sorted; numbers: of each. words: of titles, sorted; the titles that hold word i are
    holders[offsets[i]:offsets[i + 1]].
    """

    texts: Sequence[str]
    counts: Sequence[int]
    folded: Sequence[str]
    numbers: Int64Array
    words: Sequence[str]
    offsets: Int64Array
    holders: npt.NDArray[np.int32]

    @classmethod
    def of(cls, titles: Mapping[str, int]) -> Titles:
        """titles: most frequent first; of those that read alike the first stands for all. Blocks: some 0.6 s for
        100,000."""
        alike: dict[str, list[Any]] = {}
        for text, count in titles.items():
            alike.setdefault(" ".join(words_of(text)), [text, 0])[1] += count
        ordered = sorted(alike.items(), key=lambda one: -one[1][1])
        held: dict[str, list[int]] = {}
        for number, (key, _) in enumerate(ordered):
            for word in dict.fromkeys(key.split(" ")):
                held.setdefault(word, []).append(number)
        folded = sorted((key, number) for number, (key, _) in enumerate(ordered))
        words = sorted(held)
        sizes = [len(held[word]) for word in words]
        holders = np.fromiter((number for word in words for number in held[word]), np.int32, sum(sizes))
        return cls(
            [text for _, (text, _) in ordered],
            [count for _, (_, count) in ordered],
            [text for text, _ in folded],
            np.array([number for _, number in folded], dtype=np.int64),
            words,
            np.cumsum([0, *sizes], dtype=np.int64),
            holders,
        )

    def complete(self, typed: str, limit: int) -> list[Suggestion]:
        """Titles that begin with what was typed, then those that hold its words in any order, the last one begun.

        Of each kind the most frequent first. Where a word is in no title, titles with words like it are taken.
        """
        words = words_of(typed)[:MAX_WORDS]
        if not words or not self.texts:
            return []
        open_end = not typed[-1].isspace()
        begun = " ".join(words) + ("" if open_end else " ")
        low, high = self._range(self.folded, begun)
        found = dict.fromkeys(np.sort(self.numbers[low:high])[:limit].tolist())
        if len(found) < limit:
            holding = self._holding(words, open_end=open_end)
            found |= dict.fromkeys(np.flatnonzero(holding)[: limit + len(found)].tolist())
        return [Suggestion(self.texts[n], "title", self.counts[n]) for n in list(found)[:limit]]

    def _holding(self, words: Sequence[str], *, open_end: bool) -> npt.NDArray[np.bool_]:
        """Which titles hold every word, by number."""
        kept = np.ones(len(self.texts), dtype=np.bool_)
        for place, word in enumerate(words):
            begun = open_end and place == len(words) - 1
            held = np.zeros(len(self.texts), dtype=np.bool_)
            low, high = self._range(self.words, word) if begun else self._exactly(word)
            held[self.holders[self.offsets[low] : self.offsets[high]]] = True
            if low == high:
                for like in self._like(word, begun=begun):
                    held[self.holders[self.offsets[like] : self.offsets[like + 1]]] = True
            kept &= held
        return kept

    def _range(self, ordered: Sequence[str], prefix: str) -> tuple[int, int]:
        return bisect_left(ordered, prefix), bisect_left(ordered, prefix + _LAST)

    def _exactly(self, word: str) -> tuple[int, int]:
        at = bisect_left(self.words, word)
        return (at, at + 1) if at < len(self.words) and self.words[at] == word else (at, at)

    def _like(self, word: str, *, begun: bool) -> list[int]:
        """Places of the words that a misspelt one may mean: of its first letter, and where it is begun only, by their
        beginning."""
        allowed = errors_allowed(word)
        if not allowed:
            return []
        low, high = self._range(self.words, word[0])
        candidates = self.words[low:high]
        lengths = range(len(word) - 1, len(word) + 2) if begun else [None]  # a letter may be one too many, or missing
        best: dict[int, int] = {}
        for length in lengths:
            beginnings = [one[:length] for one in candidates]
            for errors, place in near(word, beginnings, allowed, most=SIMILAR_WORDS):
                best[place] = min(errors, best.get(place, allowed))
        return [low + place for place in sorted(best, key=lambda one: best[one])[:SIMILAR_WORDS]]


class PastQueries:
    """Queries that found something, counted in memory, by collection. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._asked: dict[int, OrderedDict[str, tuple[str, int]]] = {}

    def note(self, collection: int, query: str) -> None:
        """Count a query once more."""
        text = " ".join(query.split())
        key = " ".join(words_of(text))
        if not key or len(text) > LONGEST_QUERY:
            return
        asked = self._asked[collection] = self._asked.pop(collection, OrderedDict())
        if len(self._asked) > MAX_KEPT:
            del self._asked[next(iter(self._asked))]
        _, times = asked.pop(key, ("", 0))
        asked[key] = (text, times + 1)
        if len(asked) > PAST_QUERIES:
            asked.popitem(last=False)

    def complete(self, collection: int, typed: str, limit: int) -> list[Suggestion]:
        """Those asked ASKED_OFTEN that begin with what was typed, the most frequent first, then the latest."""
        begun = " ".join(words_of(typed))
        if not begun:
            return []
        found = [
            Suggestion(text, "query", times)
            for key, (text, times) in reversed(self._asked.get(collection, OrderedDict()).items())
            if times >= ASKED_OFTEN and key.startswith(begun)
        ]
        return sorted(found, key=lambda one: -one.count)[:limit]


def merged(queries: Iterable[Suggestion], titles: Iterable[Suggestion], limit: int) -> list[Suggestion]:
    """Queries first, then titles, none that reads like one before it."""
    found: dict[str, Suggestion] = {}
    for one in (*queries, *titles):
        found.setdefault(" ".join(words_of(one.text)), one)
    return list(found.values())[:limit]
