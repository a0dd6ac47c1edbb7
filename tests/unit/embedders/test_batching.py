from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import EmbedderUnavailable
from nearfield.embedders.batching import BatchingEmbedder
from nearfield.embedders.hashing import HashingEmbedder
from nearfield.testing.embedder_suite import EmbedderSuite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Embedder, Role


class TestBatching(EmbedderSuite):
    tolerance = 0.0

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls) -> Callable[[], Embedder]:
        return lambda: BatchingEmbedder(HashingEmbedder(), max_batch=8)


class Gated(HashingEmbedder):
    """Answers only when let; remembers each call; fails on request."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.open = asyncio.Event()
        self.broken = False

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        self.calls.append(list(texts))
        await self.open.wait()
        if self.broken:
            raise EmbedderUnavailable("out of order")
        return await super().embed(texts, role=role)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_idle_embedder_is_asked_at_once_and_the_rest_go_together() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner)
    asked = [asyncio.create_task(embedder.embed([f"query {at}"], role="query")) for at in range(6)]
    await settled()
    first = inner.calls[0]
    inner.open.set()
    found = await asyncio.gather(*asked)
    assert sorted(text for call in inner.calls for text in call) == [f"query {at}" for at in range(6)]
    assert len(inner.calls) <= 2
    assert first[0] == "query 0"
    expected = await HashingEmbedder().embed([f"query {at}" for at in range(6)], role="query")
    np.testing.assert_array_equal(np.concatenate(found), expected)


async def test_those_that_come_while_one_runs_make_one_call() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner)
    first = asyncio.create_task(embedder.embed(["first"], role="query"))
    await settled()
    rest = [asyncio.create_task(embedder.embed([f"next {at}"], role="query")) for at in range(5)]
    await settled()
    assert inner.calls == [["first"]]
    inner.open.set()
    await asyncio.gather(first, *rest)
    assert inner.calls == [["first"], [f"next {at}" for at in range(5)]]


async def test_a_gathered_call_is_bounded_and_a_callers_list_stays_whole() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner, max_batch=4)
    first = asyncio.create_task(embedder.embed(["first"], role="query"))
    await settled()
    lists = [["a", "b", "c"], ["d", "e"], [f"long {at}" for at in range(9)], ["f"]]
    rest = [asyncio.create_task(embedder.embed(texts, role="query")) for texts in lists]
    await settled()
    inner.open.set()
    await asyncio.gather(first, *rest)
    assert inner.calls[1:] == lists


async def test_a_failure_is_every_gathered_callers_and_passes() -> None:
    inner = Gated()
    inner.broken = True
    embedder = BatchingEmbedder(inner)
    asked = [asyncio.create_task(embedder.embed([f"query {at}"], role="query")) for at in range(3)]
    await settled()
    inner.open.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, EmbedderUnavailable) for answer in found)
    inner.broken = False
    assert (await embedder.embed(["again"], role="query")).shape == (1, inner.dimension)


async def test_a_query_given_up_is_not_embedded() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner)
    first = asyncio.create_task(embedder.embed(["first"], role="query"))
    await settled()
    given_up, kept = (asyncio.create_task(embedder.embed([text], role="query")) for text in ("gone", "kept"))
    await settled()
    given_up.cancel()
    await settled()
    inner.open.set()
    await asyncio.gather(first, kept)
    assert inner.calls == [["first"], ["kept"]]


async def test_documents_pass_straight_through() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner)
    asked = [asyncio.create_task(embedder.embed([f"text {at}"], role="document")) for at in range(3)]
    await settled()
    assert len(inner.calls) == 3
    inner.open.set()
    await asyncio.gather(*asked)


async def test_closing_answers_what_waits() -> None:
    inner = Gated()
    embedder = BatchingEmbedder(inner)
    waiting = asyncio.create_task(embedder.embed(["waiting"], role="query"))
    await settled()
    closing = asyncio.create_task(embedder.close())
    await settled()
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["late"], role="query")
    inner.open.set()
    await closing
    assert (await waiting).shape == (1, inner.dimension)
