"""Any small collection, filter and page: a search answers as comparing everything does, and never short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.search.parts import World, assert_same, open_world, told

from nearfield.domain.filters import Filter, GeoPoint, walk
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search
from nearfield.domain.rows import row_of
from nearfield.testing import strategies as ours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ("lamp", "warm", "garden", "chair", "steel", "audio", "light", "desk", "quiet", "red")
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))
DIMENSION_WORDS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
OPTIONAL = {
    "price": st.one_of(st.sampled_from((0.0, 10.0, 20.0)), st.floats(0, 100, width=16)),
    "category": st.sampled_from(("a", "b", 'c"', "")),
    "brand": st.sampled_from(("Acme", "Zenith\\")),
    "in_stock": st.booleans(),
    "at": ours.points().map(GeoPoint._asdict),
}
LONG = " ".join(f"part{i} " + " ".join(f"{word}{i}" for word in WORDS * 6) for i in range(8))


class Laboratory:
    """One world for all examples of a test; each example's documents replace the last one's."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.loop = asyncio.Runner()
        self.world: World = self.loop.run(open_world(folder, engine, bodies=[]))

    def fill(self, bodies: list[dict[str, Any]]) -> None:
        """Empty the collection and write these."""

        async def work() -> None:
            backend, name = self.world.backend, self.world.name
            await backend.documents.delete(name, [one.id for one in await self.world.documents()])
            await self.world.write(bodies)
            receipt = await backend.documents.delete(name, [])
            await backend.documents.wait(name, receipt.seq)

        self.world.index.keeps, self.world.index.cannot_say = 1.0, ()
        self.world.live.seen = self.world.live.heard = None
        self.loop.run(work())

    def close(self) -> None:
        self.loop.run(self.world.service.close())
        self.loop.run(self.world.backend.close())
        self.loop.close()


@pytest.fixture(scope="module", params=["exact", "local"])
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path_factory.mktemp("data"), request.param)
    yield laboratory
    laboratory.close()


@st.composite
def collections(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to 25 documents, some of equal text, one perhaps of several passages."""
    texts = draw(st.lists(st.tuples(DIMENSION_WORDS, DIMENSION_WORDS), max_size=24))
    bodies = [
        {"id": str(i), "name": name, "description": description, **draw(st.fixed_dictionaries({}, optional=OPTIONAL))}
        for i, (name, description) in enumerate(texts)
    ]
    if draw(st.booleans()):
        bodies.insert(draw(st.integers(0, len(bodies))), {"id": "long", "name": LONG, "description": "lamp"})
    return bodies


@st.composite
def cases(draw: st.DrawFn, world: World) -> tuple[list[dict[str, Any]], Search, tuple[type[Filter], ...]]:
    """Documents, a question to them, and the filter nodes the engine is not to know."""
    bodies = draw(collections())
    fields = world.collection.spec.fields
    rows = [row_of(body, fields) for body in bodies]
    claimed = world.live.capabilities.filters
    where = draw(st.none() | ours.bound_filters(fields, rows, claimed))
    nodes = sorted({type(node) for node in walk(where)}, key=lambda node: node.__name__) if where else []
    unknown = tuple(draw(st.sets(st.sampled_from(nodes)))) if nodes else ()
    ask = Search(
        query=draw(DIMENSION_WORDS),
        where=where,
        limit=draw(st.integers(1, 30)),
        offset=draw(st.sampled_from((0, 0, 0, 1, 5, 24))),
        mode=draw(st.sampled_from(Mode)),
        exact=draw(st.booleans()),
    )
    return bodies, ask, unknown


@settings(RELAXED, max_examples=120)
@given(data=st.data())
def test_a_search_answers_as_comparing_everything_does(laboratory: Laboratory, data: st.DataObject) -> None:
    world = laboratory.world
    bodies, ask, unknown = data.draw(cases(world))
    laboratory.fill(bodies)
    world.index.cannot_say = unknown
    answer = laboratory.loop.run(world.search(ask))
    expected = laboratory.loop.run(world.expected(ask.mode or "", text=ask.query or "", where=ask.where))
    assert_same(answer, expected, ask.limit, offset=ask.offset)
    if answer.plan.filter_residual is not None and ask.mode is not Mode.LEXICAL:
        assert answer.plan.access is Access.OVERFETCH


@settings(RELAXED, max_examples=60)
@given(data=st.data(), keeps=st.sampled_from((1.0, 0.7, 0.0)))
def test_a_search_never_comes_back_short(laboratory: Laboratory, data: st.DataObject, keeps: float) -> None:
    """Whatever an approximate index loses behind a filter: min(limit, matches) hits, all of which pass."""
    world = laboratory.world
    bodies, ask, unknown = data.draw(cases(world))
    laboratory.fill(bodies)
    world.forget_size()
    world.index.keeps, world.index.cannot_say = keeps, unknown
    answer = laboratory.loop.run(world.search(ask))
    expected = laboratory.loop.run(world.expected(ask.mode or "", text=ask.query or "", where=ask.where))
    assert len(answer) == len(expected[ask.offset : ask.offset + ask.limit])
    assert {hit.id for hit in answer} <= {name for name, _ in expected}
    told(answer)
