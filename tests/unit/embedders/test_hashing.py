from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import InvalidSetting
from nearfield.embedders.hashing import SPECIAL_TOKENS, HashingEmbedder
from nearfield.testing.embedder_suite import EmbedderSuite

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.protocols.embedder import Embedder


class TestHashing(EmbedderSuite):
    tolerance = 0.0

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Embedder]:
        return HashingEmbedder


async def test_it_is_the_same_in_every_run() -> None:
    """Pinned: vectors kept under the fingerprint must stay what they were."""
    vector = (await HashingEmbedder(dimension=16).embed(["blue lamp"], role="document"))[0]
    again = (await HashingEmbedder(dimension=16).embed(["Blue LAMP"], role="query"))[0]
    expected = [0.0521, 0, 0, 0.6768, 0, -0.3123, 0, -0.3123, 0, 0.1562, 0, -0.5206, -0.1562, 0, 0.1562, 0]
    np.testing.assert_allclose(vector, expected, atol=1e-4)
    np.testing.assert_array_equal(vector, again)


async def test_more_shared_words_are_nearer() -> None:
    texts = ["red wool winter coat", "red wool coat", "red bicycle", "tax return form"]
    vectors = await HashingEmbedder().embed(texts, role="document")
    similarity = vectors[1:] @ vectors[0]
    assert similarity[0] > similarity[1] > similarity[2]


async def test_words_past_the_limit_are_not_seen() -> None:
    embedder = HashingEmbedder(max_tokens=SPECIAL_TOKENS + 2)
    vectors = await embedder.embed(["one two three", "one two four", "one five"], role="document")
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])


def test_each_size_has_its_own_fingerprint() -> None:
    made = [HashingEmbedder(), HashingEmbedder(dimension=64), HashingEmbedder(max_tokens=9)]
    assert len({embedder.fingerprint for embedder in made}) == 3


@pytest.mark.parametrize(("dimension", "max_tokens"), [(7, 256), (0, 256), (64, SPECIAL_TOKENS)])
def test_sizes_that_hold_nothing_are_refused(dimension: int, max_tokens: int) -> None:
    with pytest.raises(InvalidSetting, match="expected"):
        HashingEmbedder(dimension=dimension, max_tokens=max_tokens)
