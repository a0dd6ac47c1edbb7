"""Remembers the vectors of queries."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.embedders.wrapper import EmbedderWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Embedder, Role

ENTRIES: Final = 10_000  # of 384 components: 15 MB
MAX_TEXT_LENGTH: Final = 2_000  # characters; longer texts are not remembered, so the memory is bounded by `entries`


class CachedEmbedder(EmbedderWrapper):
    """See `Embedder`. Keeps the vectors of the queries used last; documents pass through, the store keeps theirs.

    Keys are fingerprint and text, so a hit can only be the vector that would be computed. Used from one event loop.
    """

    def __init__(self, inner: Embedder, *, entries: int = ENTRIES) -> None:
        """entries: queries kept, the least recently used leaves first; 0 keeps none."""
        super().__init__(inner)
        self._entries = entries
        self._kept: OrderedDict[tuple[str, str], Float32Array] = OrderedDict()
        self.hits = 0
        self.misses = 0
        """Texts answered from memory, and not, since the start."""

    def __len__(self) -> int:
        """Queries kept now."""
        return len(self._kept)

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`. The array is the caller's own."""
        if role != "query" or self._entries == 0:
            return await self._inner.embed(texts, role=role)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        absent: dict[str, list[int]] = {}
        for at, text in enumerate(texts):
            kept = self._kept.get((self.fingerprint, text))
            if kept is None:
                absent.setdefault(text, []).append(at)
            else:
                self._kept.move_to_end((self.fingerprint, text))
                vectors[at] = kept
        self.hits += len(texts) - sum(map(len, absent.values()))
        self.misses += sum(map(len, absent.values()))
        if absent:
            found = await self._inner.embed(list(absent), role=role)
            for (text, rows), vector in zip(absent.items(), found, strict=True):
                vectors[rows] = vector
                self._keep(text, vector)
        return vectors

    async def close(self) -> None:
        """See `Embedder.close`."""
        self._kept.clear()
        await super().close()

    def _keep(self, text: str, vector: Float32Array) -> None:
        if len(text) > MAX_TEXT_LENGTH:
            return
        self._kept[self.fingerprint, text] = vector.copy()  # a row of the batch would keep the whole batch alive
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)
