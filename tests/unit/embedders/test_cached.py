from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.embedders.cached import MAX_TEXT_LENGTH, CachedEmbedder
from nearfield.embedders.hashing import HashingEmbedder
from nearfield.testing.embedder_suite import EmbedderSuite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Embedder, Role


class TestCached(EmbedderSuite):
    tolerance = 0.0

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Embedder]:
        return lambda: CachedEmbedder(HashingEmbedder(), entries=5)


class TestCachedOff(EmbedderSuite):
    tolerance = 0.0

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Embedder]:
        return lambda: CachedEmbedder(HashingEmbedder(), entries=0)


class Counting(HashingEmbedder):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        self.asked += texts
        return await super().embed(texts, role=role)


async def test_a_query_is_embedded_once() -> None:
    inner = Counting()
    embedder = CachedEmbedder(inner)
    first = await embedder.embed(["a", "b", "a"], role="query")
    second = await embedder.embed(["b", "c", "a"], role="query")
    assert inner.asked == ["a", "b", "c"]
    np.testing.assert_array_equal(first[[0, 1, 2]], second[[2, 0, 2]])
    assert (embedder.hits, embedder.misses) == (2, 4)


async def test_the_least_recently_used_leaves_first() -> None:
    inner = Counting()
    embedder = CachedEmbedder(inner, entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await embedder.embed([text], role="query")
    assert inner.asked == ["a", "b", "c", "b"]
    assert len(embedder) == 2


async def test_documents_and_long_texts_are_not_kept() -> None:
    inner = Counting()
    embedder = CachedEmbedder(inner)
    await embedder.embed(["document"], role="document")
    await embedder.embed(["x" * (MAX_TEXT_LENGTH + 1)], role="query")
    assert len(embedder) == 0


async def test_what_was_handed_out_can_be_overwritten() -> None:
    embedder = CachedEmbedder(Counting())
    first = await embedder.embed(["a"], role="query")
    kept = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(await embedder.embed(["a"], role="query"), kept)
