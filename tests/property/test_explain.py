"""The parts of any hit add up to its score, in every mode and with stages that change, take out and put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_search import DIMENSION_WORDS, RELAXED, Laboratory, collections, laboratory

from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.search.ranked import Ranked
from nearfield.search.work import Stage, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.hits import Hit

__all__ = ["laboratory"]


async def halve(work: Work, ranked: Ranked) -> Ranked:
    return Ranked(ranked.documents, ranked.chunks, ranked.scores * np.float32(0.5))


async def turn(work: Work, ranked: Ranked) -> Ranked:
    scores = (1 - ranked.scores).clip(0, 1)
    return Ranked(ranked.documents, ranked.chunks, scores).take(np.lexsort((ranked.documents, -scores)))


async def thin(work: Work, ranked: Ranked) -> Ranked:
    return ranked.take(np.arange(0, len(ranked), 2))


async def pin(work: Work, ranked: Ranked) -> Ranked:
    """Put the last document of the store first, as a rule does."""
    last = (await work.retrieval.store.scan(work.collection, limit=1_000))[-1:]
    keys = np.array([one.key for one in last], dtype=np.int64)
    rest = ranked.without(frozenset(keys.tolist()))
    return Ranked(
        np.concatenate([keys, rest.documents]),
        np.concatenate([keys << 12, rest.chunks]),
        np.concatenate([np.ones(len(keys), dtype=np.float32), rest.scores]),
    )


@pytest.mark.parametrize("chosen", [(), (halve,), (turn, pin), (thin, turn, halve)], ids=len)
@settings(RELAXED, max_examples=25)
@given(data=st.data())
def test_the_parts_of_a_hit_add_up_to_its_score(
    laboratory: Laboratory, chosen: tuple[Callable[..., object], ...], data: st.DataObject
) -> None:
    world = laboratory.world
    laboratory.fill(data.draw(collections()))
    world.service._stages = tuple(Stage(one.__name__, lambda _: 0, one) for one in chosen)  # type: ignore[arg-type]
    ask = Search(
        query=data.draw(DIMENSION_WORDS),
        mode=data.draw(st.sampled_from(Mode)),
        limit=data.draw(st.sampled_from((1, 5, 40))),
        explain=True,
    )
    try:
        answer = laboratory.loop.run(world.search(ask))
        if answer.cursor is not None:
            later = laboratory.loop.run(world.search(Search(cursor=answer.cursor, limit=40)))
            assert later.explanation is not None
            check(later.hits, chosen)
        plain = laboratory.loop.run(world.search(Search(query=ask.query, mode=ask.mode, limit=ask.limit)))
    finally:
        world.service._stages = ()
    check(answer.hits, chosen)
    assert [(hit.id, hit.score) for hit in plain] == [(hit.id, hit.score) for hit in answer]
    assert all(hit.parts == () for hit in plain)
    assert plain.explanation is None
    assert answer.explanation is not None
    stages = [one.stage for one in answer.explanation.stages]
    assert {one.__name__ for one in chosen} < set(stages)
    assert stages[-1] == "present"
    assert all(one.ms >= 0 for one in answer.explanation.stages)


def check(hits: tuple[Hit, ...], chosen: tuple[Callable[..., object], ...]) -> None:
    for hit in hits:
        assert abs(sum(part.adds for part in hit.parts) - hit.score) <= 1e-6, hit
        assert {one.__name__ for one in chosen[-1:]} <= {part.stage for part in hit.parts}
