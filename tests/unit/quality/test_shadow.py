from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from nearfield.domain.collections import Collection
from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.queries import Search
from nearfield.domain.schema import CollectionSpec
from nearfield.domain.templates import Template
from nearfield.quality.shadow import AT_ONCE, Shadows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.domain.hits import Answer

BOOKS = Collection(1, CollectionSpec("books", Template("{text}")))
ASK = Search(query="a lamp")


class Found:
    """An answer as far as a shadow looks at it."""

    def __init__(self, *names: str, took_ms: float = 1e6) -> None:
        self.names, self.took_ms = names, took_ms

    def __iter__(self) -> Iterator[Any]:
        return iter(type("Hit", (), {"id": name}) for name in self.names)


def answer(*names: str, **more: float) -> Answer:
    return cast("Answer", Found(*names, **more))


async def drain(shadows: Shadows) -> None:
    while shadows._under_way:
        await asyncio.sleep(0)


async def test_what_differs_is_counted() -> None:
    shadows = Shadows(chance=lambda: 0.0)
    alike: list[Answer | Exception] = [answer("a", "b"), answer("b", "a"), answer("a", "x"), EngineUnavailable("down")]
    answers = iter(alike)

    async def search(_: Search) -> Answer:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    shadows.watch(BOOKS, ASK, answer("a"))  # nothing is shadowed yet
    assert shadows.counts(BOOKS, 2) is None
    shadows.begin(BOOKS, 2, 0.5, search, there=lambda: True)
    for took_ms in (0.0, 1e6, 1e6, 1e6):
        shadows.watch(BOOKS, ASK, answer("a", "b", took_ms=took_ms))
        await drain(shadows)
    counts = shadows.counts(BOOKS, 2)
    assert counts is not None
    assert (counts.asked, counts.same, counts.failed, counts.slower, counts.missed) == (4, 1, 1, 1, 0)
    assert counts.overlap == (1 + 1 + 0.5) / 3
    assert shadows.counts(BOOKS, 3) is None
    shadows.end(BOOKS)
    shadows.watch(BOOKS, ASK, answer("a"))
    counts = shadows.counts(BOOKS, 2)
    assert counts is not None
    assert (counts.asked, counts.share) == (4, 0.0)


async def test_it_ends_with_what_it_is_of() -> None:
    there = [True, True, False]
    shadows = Shadows(chance=lambda: 0.0)

    async def search(_: Search) -> Answer:
        return answer("a")

    shadows.begin(BOOKS, 2, 1.0, search, there=lambda: there.pop(0))
    for _ in range(2):
        shadows.watch(BOOKS, ASK, answer("a"))
        await drain(shadows)
    counts = shadows.counts(BOOKS, 2)
    assert counts is not None
    assert (counts.asked, counts.share, counts.mean_live_ms) == (2, 0.0, 1e6)
    shadows.watch(BOOKS, ASK, answer("a"))  # nobody is asked whether it is there
    assert shadows.counts(BOOKS, 2) == counts


async def test_only_a_share_is_tried_and_nobody_waits() -> None:
    rolled = iter([0.9, 0.1, 0.1, 0.1, 0.1])
    shadows = Shadows(chance=lambda: next(rolled))
    never = asyncio.Event()

    async def search(_: Search) -> Answer:
        await never.wait()
        return answer("a")

    shadows.begin(BOOKS, 2, 0.5, search, there=lambda: True)
    for _ in range(5):
        shadows.watch(BOOKS, ASK, answer("a"))
    await asyncio.sleep(0)
    counts = shadows.counts(BOOKS, 2)
    assert counts is not None
    assert (counts.asked, counts.missed) == (AT_ONCE, 4 - AT_ONCE)
    await shadows.close()
    assert not shadows._under_way
