"""What every wrapper around an embedder passes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.embedder import Embedder, Role


class EmbedderWrapper:
    """See `Embedder`. Changes nothing by itself: the vectors, and so the fingerprint, are the inner embedder's."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def max_tokens(self) -> int:
        return self._inner.max_tokens

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        return await self._inner.embed(texts, role=role)

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        return self._inner.count_tokens(texts)

    async def warm(self) -> None:
        await self._inner.warm()

    async def close(self) -> None:
        await self._inner.close()
