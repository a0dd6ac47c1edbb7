"""What every reranker must do. Subclass `RerankerSuite`, supply `build`, and run it with pytest.

    class TestMine(RerankerSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def build(cls) -> Callable[[], Reranker]:
            return MyReranker

Needs pytest with pytest-asyncio in auto mode. Nothing here measures time.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from nearfield.domain.errors import RerankerUnavailable
from nearfield.testing.embedder_suite import HOSTILE, LENGTHS, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nearfield.protocols.reranker import Reranker

QUERY = "wireless bluetooth headphones"
ANSWER = "bluetooth headphones, wireless"
OTHER = "a garden hose of ten metres"


class RerankerSuite:
    """Subclass and supply `build`. The reranker is built once per class, and once more by the tests that close it."""

    tolerance: ClassVar[float] = 1e-5
    """Largest difference between two scores of one pair, alone and beside others."""

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Reranker]:
        """Returns what makes a new reranker. Supplied by the subclass."""
        raise NotImplementedError("supply the fixture `build`")

    @pytest.fixture(scope="class")
    @classmethod
    def reranker(cls, build: Callable[[], Reranker]) -> Iterator[Reranker]:
        made = build()
        yield made
        asyncio.run(made.close())

    def test_it_says_what_it_is(self, reranker: Reranker, build: Callable[[], Reranker]) -> None:
        assert reranker.name
        assert reranker.max_tokens >= 0
        assert re.fullmatch(r"[A-Za-z0-9.:_-]{1,128}", reranker.fingerprint)
        again = build()
        assert again.fingerprint == reranker.fingerprint
        asyncio.run(again.close())

    async def test_scores_are_float32_from_0_to_1(self, reranker: Reranker) -> None:
        scores = await reranker.score(QUERY, [sentence(length) for length in LENGTHS])
        assert scores.dtype == np.float32
        assert scores.shape == (len(LENGTHS),)
        assert ((scores >= 0) & (scores <= 1)).all()

    async def test_no_text_gives_no_score(self, reranker: Reranker) -> None:
        scores = await reranker.score(QUERY, [])
        assert scores.dtype == np.float32
        assert scores.shape == (0,)

    async def test_an_answer_scores_above_another_thing(self, reranker: Reranker) -> None:
        answer, other = await reranker.score(QUERY, [ANSWER, OTHER])
        assert answer > other

    async def test_each_score_is_its_own_texts(self, reranker: Reranker) -> None:
        """Whatever is sorted or batched inside, the order given comes back, and neighbours change nothing."""
        texts = [f"{sentence(length, start)} {QUERY if start % 2 else ''}" for start, length in enumerate(LENGTHS)]
        together = await reranker.score(QUERY, texts)
        for text, score in zip(texts, together, strict=True):
            alone = await reranker.score(QUERY, [text])
            np.testing.assert_allclose(alone[0], score, atol=self.tolerance)

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    async def test_any_string_has_a_score(self, reranker: Reranker, text: str) -> None:
        for query, other in ((QUERY, text), (text, ANSWER), (text, text)):
            scores = await reranker.score(query, [other, "a plain text", other])
            assert np.isfinite(scores).all()
            np.testing.assert_allclose(scores[0], scores[2], atol=self.tolerance)

    async def test_what_lies_beyond_max_tokens_is_not_seen(self, reranker: Reranker) -> None:
        if reranker.max_tokens == 0:
            pytest.skip("claims no limit")
        head = sentence(reranker.max_tokens * 2)
        one, other = await reranker.score(QUERY, [head, f"{head} {QUERY}"])
        np.testing.assert_allclose(one, other, atol=self.tolerance)

    async def test_concurrent_calls_get_their_own_scores(self, reranker: Reranker) -> None:
        calls = [
            (sentence(1 + at % 4, at), [sentence(1 + (at * 7) % 30, at + more) for more in range(1 + at % 9)])
            for at in range(24)
        ]
        found = await asyncio.gather(*(reranker.score(query, texts) for query, texts in calls))
        for (query, texts), scores in zip(calls, found, strict=True):
            np.testing.assert_allclose(scores, await reranker.score(query, texts), atol=self.tolerance)

    async def test_the_event_loop_goes_on_meanwhile(self, reranker: Reranker) -> None:
        turns = 0
        working = asyncio.create_task(reranker.score(QUERY, [sentence(30, at) for at in range(128)]))
        while not working.done():
            turns += 1
            await asyncio.sleep(0)
        await working
        assert turns > 1, "the call ran from beginning to end without giving way"

    async def test_a_call_given_up_harms_no_other(self, reranker: Reranker) -> None:
        given_up = asyncio.create_task(reranker.score(QUERY, [sentence(50, at) for at in range(64)]))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (await reranker.score(QUERY, [ANSWER])).shape == (1,)
        await asyncio.gather(given_up, return_exceptions=True)

    async def test_warming_twice_is_warming_once(self, reranker: Reranker) -> None:
        await reranker.warm()
        await reranker.warm()

    async def test_closed_it_says_so(self, build: Callable[[], Reranker]) -> None:
        reranker = build()
        await reranker.score(QUERY, [ANSWER])
        await reranker.close()
        await reranker.close()
        with pytest.raises(RerankerUnavailable):
            await reranker.score(QUERY, [ANSWER])
