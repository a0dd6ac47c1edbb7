"""A deterministic fake: texts that share words or pieces of words are near. For tests; refused in production."""

from __future__ import annotations

import asyncio
import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.errors import EmbedderUnavailable, InvalidSetting
from nearfield.embedders.roles import checked_role
from nearfield.graphs.tokenization import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.embedder import Role

DIMENSION: Final = 256
MAX_TOKENS: Final = 256
SPECIAL_TOKENS: Final = 2  # stands in for the two marks that real models put around a text
_WORD: Final = re.compile(r"\w+|[^\w\s]")
_PIECE_LENGTH: Final = 3
_PIECE_WEIGHT: Final = 0.3  # of a piece, where a whole word weighs 1
_AT_ONCE: Final = 8  # texts embedded without leaving the event loop: a fraction of a millisecond


class HashingEmbedder:
    """See `Embedder`. Words and three-letter pieces of them are hashed to signed components; order is not seen.

    Equal on every machine and in every run. No two roles, no weights, no thread: a text takes some 20 microseconds.
    """

    def __init__(self, *, dimension: int = DIMENSION, max_tokens: int = MAX_TOKENS) -> None:
        """dimension: at least 8. max_tokens: words read of one text, plus SPECIAL_TOKENS. Raises InvalidSetting."""
        if dimension < 8:
            raise InvalidSetting(f"hashing embedder of dimension {dimension}; expected at least 8", field="embedder")
        if max_tokens <= SPECIAL_TOKENS:
            raise InvalidSetting(f"max_tokens is {max_tokens}; expected more than {SPECIAL_TOKENS}", field="embedder")
        self._dimension = dimension
        self._max_tokens = max_tokens
        self._closed = False

    @property
    def name(self) -> str:
        return "hashing"

    @property
    def fingerprint(self) -> str:
        return f"hashing-1-{self._dimension}-{self._max_tokens}"

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`."""
        if self._closed:
            raise EmbedderUnavailable("the embedder is closed")
        checked_role(role)
        if len(texts) <= _AT_ONCE:
            return self._vectors(texts)
        return await asyncio.to_thread(self._vectors, texts)

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """See `Embedder.count_tokens`."""
        counts = [sum(1 for _ in _WORD.finditer(text)) + SPECIAL_TOKENS for text in texts]
        return np.asarray(counts, dtype=np.int64)

    async def warm(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """See `Embedder.close`."""
        self._closed = True

    def _vectors(self, texts: Sequence[str]) -> Float32Array:
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        for at, text in enumerate(texts):
            vectors[at] = self._vector(text)
        return vectors

    def _vector(self, text: str) -> Float32Array:
        vector = np.zeros(self._dimension, dtype=np.float64)
        # Never zero: a component of its own that every text shares, small beside a word.
        vector[0] = 0.1
        for word in self._words(text):
            for position, sign, weight in _components(word, self._dimension):
                vector[position] += sign * weight
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _words(self, text: str) -> Iterator[str]:
        room = self._max_tokens - SPECIAL_TOKENS
        for found in _WORD.finditer(well_formed(text).casefold()):
            if room == 0:
                return
            room -= 1
            yield found.group()


@lru_cache(maxsize=65_536)
def _components(word: str, dimension: int) -> tuple[tuple[int, float, float], ...]:
    """(position, sign, weight) of a word and its pieces. Position 0 is kept free, so that no text cancels to zero."""
    padded = f"<{word}>"
    pieces = [padded[at : at + _PIECE_LENGTH] for at in range(len(padded) - _PIECE_LENGTH + 1)]
    weighted = [(f"word {word}", 1.0), *((f"piece {piece}", _PIECE_WEIGHT) for piece in pieces)]
    found = []
    for feature, weight in weighted:
        number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        found.append((1 + (number >> 1) % (dimension - 1), 1.0 if number & 1 else -1.0, weight))
    return tuple(found)
