"""Chroma itself, in the process and as its server, lets the same rows pass as the domain's evaluator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vendors.chroma_server import binary, running

from nearfield.domain.addresses import EngineAddress
from nearfield.domain.filters import Filter, Row, matches
from nearfield.domain.schema import FieldType, IndexSettings
from nearfield.engines.chroma import ChromaEngine
from nearfield.engines.chroma_filters import CLAIMED
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import strategies as ours

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("chromadb", reason="chromadb is not installed")

NAMES = ("a", "A", "alse", "has", "price", "_", "id", "null", "select", "in", "x" * 63, "f", "document", "or")
FIELDS = dict(zip(NAMES, FieldType, strict=True))
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))
EAST = np.array([1.0, 0.0], np.float32)


class Laboratory:
    """One index for all examples; keys are not used twice, so that what a row leaves behind would show."""

    def __init__(self, engine: ChromaEngine) -> None:
        self.loop, self.engine, self.used = asyncio.Runner(), engine, 0
        self.index = self.loop.run(engine.create(IndexSpec("laboratory", 2, IndexSettings(), FIELDS)))

    async def try_out(self, before: list[Row], table: list[Row], asked: list[Filter]) -> None:
        keys = np.arange(self.used, self.used + len(table), dtype=np.int64)
        self.used += len(table)
        east = np.tile(EAST, (len(table), 1))
        try:
            await self.index.upsert(keys[: len(before)], east[: len(before)], before, [""] * len(before))
            await self.index.upsert(keys, east, table, [""] * len(table))
            for where in asked:
                if self.index.unsupported(where):
                    continue
                passing = {key for key, row in zip(keys.tolist(), table, strict=True) if matches(where, row)}
                near = await self.index.nearest(EAST, limit=len(table), where=where)
                assert set(near.keys.tolist()) == passing, where
                assert await self.index.count(where) == len(passing), where
        finally:
            await self.index.delete(keys)


@pytest.fixture(scope="module", params=["folder", "server"])
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("chroma")
    if request.param == "folder":
        laboratory = Laboratory(ChromaEngine.at(folder))
        yield laboratory
        laboratory.loop.run(laboratory.engine.close())
        laboratory.loop.close()
        return
    if binary() is None:
        pytest.skip("the command `chroma` is not installed")
    with running(folder) as server:
        laboratory = Laboratory(ChromaEngine.reach(EngineAddress.parse(f"chroma+{server.url}"), prefix="p_"))
        yield laboratory
        laboratory.loop.run(laboratory.engine.close())
        laboratory.loop.close()


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("name", [None, *NAMES])
@settings(RELAXED, max_examples=12)
@given(data=st.data())
def test_filters_mean_the_same(laboratory: Laboratory, name: str | None, data: st.DataObject) -> None:
    fields = FIELDS if name is None else {name: FIELDS[name]}
    table: list[Row] = data.draw(st.lists(ours.rows(fields), min_size=1, max_size=8))
    before: list[Row] = data.draw(st.lists(ours.rows(fields), max_size=len(table)))
    nodes = CLAIMED if FieldType.GEO not in (kind.element for kind in fields.values()) else EVERY_FILTER
    asked = data.draw(st.lists(ours.bound_filters(fields, table, nodes), min_size=1, max_size=8))
    laboratory.loop.run(laboratory.try_out(before, table, asked))
