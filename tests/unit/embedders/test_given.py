from __future__ import annotations

import numpy as np
import pytest

from nearfield.domain.errors import InvalidRequest, InvalidSetting
from nearfield.embedders.given import GivenVectors


async def test_text_is_refused_with_what_to_do_instead() -> None:
    embedder = GivenVectors(3)
    with pytest.raises(InvalidRequest, match=r"takes vectors of 3 components.*`vector` with each document") as caught:
        await embedder.embed(["text"], role="document")
    assert caught.value.field == "documents"
    with pytest.raises(InvalidRequest, match="mode lexical"):
        await embedder.embed(["text"], role="query")


async def test_no_text_is_no_trouble() -> None:
    vectors = await GivenVectors(3).embed([], role="query")
    assert vectors.shape == (0, 3)
    assert vectors.dtype == np.float32


def test_it_reads_no_text() -> None:
    embedder = GivenVectors(3)
    assert embedder.max_tokens == 0
    assert embedder.count_tokens(["any", "text"]).tolist() == [0, 0]


def test_its_name_says_its_dimension() -> None:
    embedder = GivenVectors.named("vectors:384")
    assert embedder.dimension == 384
    assert embedder.name == embedder.fingerprint == "vectors:384"


@pytest.mark.parametrize(
    "name", ["vectors:", "vectors:x", "vectors:-1", "vectors:0", "vectors:1.5", "vectors:²", "384"]
)
def test_a_name_without_a_dimension_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match="expected"):
        GivenVectors.named(name)
