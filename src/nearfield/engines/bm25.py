"""BM25 over texts held in memory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from nearfield.domain.languages import ENGLISH, terms, without_stop_words

if TYPE_CHECKING:
    from collections.abc import Callable

K1: Final = 1.2
B: Final = 0.75


class Bm25:
    """An inverted index that is kept up with its texts.

    Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009, with the idf of Lucene,
    ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative.
    """

    def __init__(self, language: str = ENGLISH) -> None:
        self._language = language
        self._postings: dict[str, dict[int, int]] = defaultdict(dict)
        self._words: dict[int, Counter[str]] = {}
        self._total = 0

    def put(self, key: int, text: str) -> None:
        """Hold `text` under `key`, in place of what was there."""
        self.remove(key)
        words = Counter(terms(text, self._language))
        self._words[key] = words
        self._total += words.total()
        for word, times in words.items():
            self._postings[word][key] = times

    def remove(self, key: int) -> None:
        """Forget a key; one that is not there is passed over."""
        words = self._words.pop(key, None)
        if words is None:
            return
        self._total -= words.total()
        for word in words:
            postings = self._postings[word]
            del postings[key]
            if not postings:
                del self._postings[word]

    def scores(self, query: str, passes: Callable[[int], bool]) -> dict[int, float]:
        """Scores above 0 of the keys that hold any of the query's words and pass. A word given twice counts twice."""
        found: dict[int, float] = defaultdict(float)
        mean = self._total / max(1, len(self._words))
        asked = Counter(terms(without_stop_words(query, self._language), self._language))
        for word, times in asked.items():
            postings = self._postings.get(word, {})
            idf = math.log(1 + (len(self._words) - len(postings) + 0.5) / (len(postings) + 0.5))
            for key, frequency in postings.items():
                norm = K1 * (1 - B + B * self._words[key].total() / mean)
                found[key] += times * idf * frequency * (K1 + 1) / (frequency + norm)
        return {key: score for key, score in found.items() if passes(key)}
