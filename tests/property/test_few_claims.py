"""Whatever an engine does not claim, a search over it finds all there is, and its plan says how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_search import RELAXED, Laboratory, cases
from tests.unit.engines.doors import WORDLESS, DoorEngine
from tests.unit.search.parts import assert_same, told

from nearfield import wiring
from nearfield.domain.filters import And
from nearfield.domain.plans import Access, Mode
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import words_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.protocols.engine import EngineCapabilities


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patched:
        known = wiring.engine_class
        patched.setattr(wiring, "engine_class", lambda name: DoorEngine if name == "door" else known(name))
        laboratory = Laboratory(folder, "door")
        assert words_beside(laboratory.world.live.real.index) is not None
        yield laboratory
        laboratory.close()


@st.composite
def claims(draw: st.DrawFn) -> EngineCapabilities:
    """What some engine may claim: no filter or some, exact search or none, few hits at once."""
    every = sorted(EVERY_FILTER, key=lambda node: node.__name__)
    filters = draw(st.just(frozenset()) | st.frozensets(st.sampled_from(every)))
    return replace(
        WORDLESS, filters=filters, exact=draw(st.booleans()), max_hits=draw(st.sampled_from((1, 2, 7, 100_000)))
    )


def fill(laboratory: Laboratory, bodies: list[dict[str, Any]]) -> None:
    """Empty the collection and write these."""
    world = laboratory.world

    async def work() -> None:
        await world.backend.documents.delete(world.name, [one.id for one in await world.documents()])
        await world.write(bodies)
        receipt = await world.backend.documents.delete(world.name, [])
        await world.backend.documents.wait(world.name, receipt.seq)

    world.live.seen = world.live.heard = None
    laboratory.loop.run(work())


@settings(RELAXED, max_examples=60)
@given(data=st.data(), few=claims())
def test_a_search_finds_all_there_is(laboratory: Laboratory, data: st.DataObject, few: EngineCapabilities) -> None:
    world = laboratory.world
    door = next(iter(DoorEngine.doors.values()))
    door.claims = WORDLESS
    world.claim(filters=EVERY_FILTER, exact=True, max_hits=WORDLESS.max_hits)
    bodies, ask, _ = data.draw(cases(world))
    ask = replace(ask, exact=ask.exact and few.exact)
    fill(laboratory, bodies)
    counting = world.live.index
    expected = laboratory.loop.run(world.expected(ask.mode or "", text=ask.query or "", where=ask.where))
    door.claims = few
    world.claim(filters=few.filters, exact=few.exact, max_hits=few.max_hits)
    if data.draw(st.booleans()):
        world.forget_size()
    world.live.index = world.live.real.index  # type: ignore[assignment]
    try:
        answer = laboratory.loop.run(world.search(ask))
    finally:
        world.live.index = counting
    plan = answer.plan
    if ask.mode is Mode.HYBRID:  # whose fusion looks at lists deeper than such an engine gives
        assert len(answer) == len(expected[ask.offset : ask.offset + ask.limit])
        assert {hit.id for hit in answer} <= {name for name, _ in expected}
        told(answer)
    else:
        assert_same(answer, expected, ask.limit, offset=ask.offset)
    if ask.mode is Mode.LEXICAL:
        assert plan.access is Access.NONE
    elif plan.filter_residual is not None:
        assert plan.access in (Access.OVERFETCH, Access.SCAN)
    asks_something = ask.where not in (None, And(()))
    if asks_something and not few.filters and ask.mode is not Mode.LEXICAL:
        assert plan.filter_native is None
        assert plan.filter_residual is not None
    assert ("words were searched in an index beside the engine" in plan.notes) == (ask.mode is not Mode.SEMANTIC)
