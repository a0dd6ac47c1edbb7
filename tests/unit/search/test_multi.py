"""Several searches at once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from nearfield.domain.errors import CollectionNotFound
from nearfield.domain.hits import Answer
from nearfield.domain.queries import Search
from nearfield.search.multi import AT_ONCE, side_by_side

if TYPE_CHECKING:
    from tests.unit.search.parts import World


async def test_each_search_answers_or_fails_on_its_own(world: World) -> None:
    ask = Search(query="warm lamp", limit=3)
    found = await side_by_side(
        [partial(world.service.search, name, ask) for name in (world.name, "nobody", world.name)]
    )
    assert [type(one) for one in found] == [Answer, CollectionNotFound, Answer]


async def test_a_few_at_a_time_in_the_order_asked(world: World) -> None:
    running = most = 0
    answer = await world.search(Search(query="warm lamp"))

    async def search() -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return answer

    assert len(await side_by_side([search] * 20)) == 20
    assert most == AT_ONCE
