from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import InvalidFile
from nearfield.embedders.static import StaticEmbedder
from nearfield.testing.embedder_suite import EmbedderSuite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights
    from nearfield.protocols.embedder import Embedder


class TestStatic(EmbedderSuite):
    tolerance = 1e-6

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, weights: Callable[[str], Weights]) -> Callable[[], Embedder]:
        found = weights("potion-base-8M")
        return lambda: StaticEmbedder(found.folder, name=found.name, digest=found.digest)


async def test_meaning_goes_past_words(weights: Callable[[str], Weights]) -> None:
    found = weights("potion-base-8M")
    embedder = StaticEmbedder(found.folder, name=found.name, digest=found.digest)
    texts = ["cheap audio equipment", "affordable headphones", "gardening gloves"]
    query, near, far = await embedder.embed(texts, role="query")
    assert query @ near > query @ far
    empty, emoji = await embedder.embed(["", "🫨"], role="query")
    np.testing.assert_array_equal(empty, emoji)
    await embedder.close()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_refused(weights: Callable[[str], Weights], tmp_path: Path, missing: str) -> None:
    for path in weights("potion-base-8M").folder.iterdir():
        if path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(InvalidFile, match=f"holds no {missing}"):
        StaticEmbedder(tmp_path, name="x", digest="x")


def test_a_damaged_table_is_told(weights: Callable[[str], Weights], tmp_path: Path) -> None:
    for path in weights("potion-base-8M").folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 5_000 if path.suffix == ".safetensors" else None])
    with pytest.raises(InvalidFile, match="no readable model2vec model"):
        StaticEmbedder(tmp_path, name="x", digest="x")
