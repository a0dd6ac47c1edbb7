"""What every embedder that takes text must do. Subclass `EmbedderSuite`, supply `build`, and run it with pytest.

    class TestMine(EmbedderSuite):
        tolerance = 1e-5

        @pytest.fixture(scope="class")
        @classmethod
        def build(cls) -> Callable[[], Embedder]:
            return MyEmbedder

Needs pytest with pytest-asyncio in auto mode. Nothing here measures time.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np
import pytest

from nearfield.domain.errors import CallerError, EmbedderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nearfield.protocols.embedder import Embedder, Role

ROLES: Final[tuple[Role, ...]] = ("query", "document")

HOSTILE: Final = {
    "empty": "",
    "blank": "  \t\n ",
    "emoji": "👩‍👩‍👧‍👦🎧🇩🇪",
    "nul": "before\0after",
    "lone surrogate": "half \ud83d of a pair",
    "combining": "e\u0301" * 40,
    "right to left": "سماعات لاسلكية",
    "chinese": "无线耳机，降噪",  # noqa: RUF001
    "punctuation": "?!… -- (())",
    "one long word": "x" * 5_000,
    "markup": "<b>bold</b> [CLS] [SEP] [PAD] [MASK]",
}

LENGTHS: Final = (40, 1, 7, 120, 3, 60, 2, 15, 90, 5)
WORDS: Final = ("lamp", "wireless", "garden", "blue", "sound", "paper", "running", "steel", "coffee", "small")


def sentence(words: int, start: int = 0) -> str:
    """A text of some common words; another `start` gives another text."""
    return " ".join(WORDS[(start + 3 * at) % len(WORDS)] for at in range(words))


class EmbedderSuite:
    """Subclass and supply `build`. The embedder is built once per class, and once more by the tests that close it."""

    tolerance: ClassVar[float] = 1e-5
    """Largest difference of a component between two embeddings of one text, alone and in a batch."""

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Embedder]:
        """Returns what makes a new embedder. Supplied by the subclass."""
        raise NotImplementedError("supply the fixture `build`")

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, build: Callable[[], Embedder]) -> Iterator[Embedder]:
        made = build()
        yield made
        asyncio.run(made.close())

    def test_it_says_what_it_is(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.dimension >= 1
        assert embedder.max_tokens >= 0

    def test_the_fingerprint_can_be_kept_for_ever(self, embedder: Embedder, build: Callable[[], Embedder]) -> None:
        assert re.fullmatch(r"[A-Za-z0-9.:_-]{1,128}", embedder.fingerprint)
        again = build()
        assert again.fingerprint == embedder.fingerprint
        asyncio.run(again.close())

    @pytest.mark.parametrize("role", ROLES)
    async def test_vectors_are_float32_of_unit_length(self, embedder: Embedder, role: Role) -> None:
        texts = [sentence(length) for length in LENGTHS]
        vectors = await embedder.embed(texts, role=role)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(texts), embedder.dimension)
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1.0, atol=1e-5)

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    async def test_any_string_has_a_vector(self, embedder: Embedder, text: str) -> None:
        for role in ROLES:
            vectors = await embedder.embed([text, "a plain text", text], role=role)
            assert np.isfinite(vectors).all()
            np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1.0, atol=1e-5)
            np.testing.assert_allclose(vectors[0], vectors[2], atol=self.tolerance)

    @pytest.mark.parametrize("role", ROLES)
    async def test_no_text_gives_no_vector(self, embedder: Embedder, role: Role) -> None:
        vectors = await embedder.embed([], role=role)
        assert vectors.dtype == np.float32
        assert vectors.shape == (0, embedder.dimension)

    @pytest.mark.parametrize("role", ROLES)
    async def test_each_vector_is_its_own_texts(self, embedder: Embedder, role: Role) -> None:
        """Whatever is sorted or batched inside, the order given comes back, and neighbours change nothing."""
        texts = [sentence(length, start) for start, length in enumerate(LENGTHS)]
        together = await embedder.embed(texts, role=role)
        for text, vector in zip(texts, together, strict=True):
            alone = await embedder.embed([text], role=role)
            np.testing.assert_allclose(vector, alone[0], atol=self.tolerance)

    async def test_a_tuple_is_as_good_as_a_list(self, embedder: Embedder) -> None:
        texts = (sentence(4), sentence(9))
        as_tuple = await embedder.embed(texts, role="document")
        as_list = await embedder.embed(list(texts), role="document")
        np.testing.assert_allclose(as_tuple, as_list, atol=self.tolerance)

    async def test_texts_alike_are_near(self, embedder: Embedder) -> None:
        texts = ["wireless bluetooth headphones", "bluetooth headphones, wireless", "a garden hose of ten metres"]
        alike, same, other = await embedder.embed(texts, role="document")
        assert alike @ same > alike @ other

    async def test_the_role_must_be_said(self, embedder: Embedder) -> None:
        untyped = cast(Any, embedder)
        with pytest.raises(TypeError):
            await untyped.embed(["text"])
        with pytest.raises(CallerError):
            await untyped.embed(["text"], role="title")

    async def test_what_lies_beyond_max_tokens_is_not_seen(self, embedder: Embedder) -> None:
        if embedder.max_tokens == 0:
            pytest.skip("claims no limit")
        head = sentence(embedder.max_tokens * 2)
        vectors = await embedder.embed([f"{head} violin", f"{head} {sentence(50, 5)} tractor"], role="document")
        np.testing.assert_allclose(vectors[0], vectors[1], atol=self.tolerance)

    async def test_what_lies_within_max_tokens_is_seen(self, embedder: Embedder) -> None:
        head = sentence(max(1, embedder.max_tokens // 4))
        vectors = await embedder.embed([head, f"{head} violin tractor"], role="document")
        assert np.abs(vectors[0] - vectors[1]).max() > self.tolerance

    def test_tokens_are_counted_past_the_limit(self, embedder: Embedder) -> None:
        counts = embedder.count_tokens([])
        assert counts.dtype == np.int64
        assert counts.shape == (0,)
        few, more, most = embedder.count_tokens(["", sentence(5), sentence(embedder.max_tokens + 10)])
        assert 0 <= few < more < most
        assert most >= embedder.max_tokens + 10
        assert (embedder.count_tokens(list(HOSTILE.values())) >= 0).all()

    async def test_concurrent_calls_get_their_own_vectors(self, embedder: Embedder) -> None:
        calls: list[tuple[list[str], Role]] = [
            ([sentence(1 + (at * 7) % 30, at), sentence(1 + at % 5, at + 1)], ROLES[at % 2]) for at in range(24)
        ]
        found = await asyncio.gather(*(embedder.embed(texts, role=role) for texts, role in calls))
        for (texts, role), vectors in zip(calls, found, strict=True):
            alone = await embedder.embed(texts, role=role)
            np.testing.assert_allclose(vectors, alone, atol=self.tolerance)

    async def test_the_event_loop_goes_on_meanwhile(self, embedder: Embedder) -> None:
        turns = 0
        working = asyncio.create_task(embedder.embed([sentence(30, at) for at in range(128)], role="document"))
        while not working.done():
            turns += 1
            await asyncio.sleep(0)
        await working
        assert turns > 1, "the call ran from beginning to end without giving way"

    async def test_the_answer_is_the_callers_own(self, embedder: Embedder) -> None:
        for role in ROLES:
            first = await embedder.embed([sentence(6)], role=role)
            kept = first.copy()
            first[:] = 0
            second = await embedder.embed([sentence(6)], role=role)
            np.testing.assert_allclose(second, kept, atol=self.tolerance)

    async def test_a_call_given_up_harms_no_other(self, embedder: Embedder) -> None:
        for role in ROLES:
            given_up = asyncio.create_task(embedder.embed([sentence(50, at) for at in range(64)], role=role))
            await asyncio.sleep(0)
            given_up.cancel()
            vectors = await embedder.embed([sentence(3)], role=role)
            assert vectors.shape == (1, embedder.dimension)
            await asyncio.gather(given_up, return_exceptions=True)

    async def test_warming_twice_is_warming_once(self, embedder: Embedder) -> None:
        await embedder.warm()
        await embedder.warm()

    async def test_closed_it_says_so(self, build: Callable[[], Embedder]) -> None:
        embedder = build()
        await embedder.embed(["before"], role="query")
        await embedder.close()
        await embedder.close()
        for role in ROLES:
            with pytest.raises(EmbedderUnavailable):
                await embedder.embed(["after"], role=role)
