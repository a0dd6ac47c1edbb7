"""BM25 as a product of sparse vectors: a document's words weighed here, their rarity by the server.

A document's part of BM25 needs the mean length M of all of them, which changes with every write, while vectors stay as
they were written. So the mean m of the first rows that have words is taken, kept with the index, and every document is
weighed by it. That is BM25 still, with other parameters: k1 (1 - b + b l/m) = k1' (1 - b' + b' l/M) for r = M/m,
k1' = k1 (1 - b + b r), b' = b r / (1 - b + b r). With texts twice as long as the first were, b is .86 instead of .75.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from nearfield.domain.languages import terms, without_stop_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

K1: Final = 1.2
B: Final = 0.75


@dataclass(frozen=True, slots=True)
class Words:
    """Weighs words of one index. mean: the length, in words, that texts are compared with; above 0."""

    language: str
    mean: float

    @classmethod
    def measured(cls, language: str, texts: Sequence[str]) -> Words | None:
        """With the mean of some texts, those without a word left out; None where none has any."""
        lengths = [length for text in texts if (length := len(terms(text, language)))]
        return cls(language, sum(lengths) / len(lengths)) if lengths else None

    def of_document(self, text: str) -> dict[int, float]:
        """The weight of each word in a document, its rarity left to the server."""
        counted = Counter(terms(text, self.language))
        norm = K1 * (1 - B + B * counted.total() / self.mean)
        return _by_number({word: times * (K1 + 1) / (times + norm) for word, times in counted.items()})


def of_query(text: str, language: str) -> dict[int, float]:
    """How often each word of a query is asked for, stop words left out."""
    return _by_number(Counter(terms(without_stop_words(text, language), language)))


def _by_number(weights: Mapping[str, float]) -> dict[int, float]:
    """Words as the 32-bit numbers that Qdrant knows them by. Two of 100,000 words share one with a chance of about 1;
    a search for either then finds the documents of both."""
    numbered: dict[int, float] = defaultdict(float)
    for word, weight in weights.items():
        numbered[int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")] += (
            weight
        )
    return dict(numbered)
