"""Every engine answers every filter it claims as the domain's evaluator does, whatever stands in the values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.vendors.postgres_server import PASSWORD

from nearfield.domain.filters import Filter, Row, matches
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings
from nearfield.engines.exact import ExactEngine
from nearfield.engines.faiss import FaissEngine
from nearfield.engines.local import LocalEngine
from nearfield.engines.pgvector import PgvectorEngine
from nearfield.protocols.engine import IndexSpec, VectorEngine, VectorIndex
from nearfield.testing import strategies as ours
from nearfield.testing.engine_checks import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.domain.documents import Int64Array

NAMES = ("a", "A", "alse", "rue", "price", "_", "n_text", "null", "select", "in", "x" * 63, "ull", "n_slice", "or")
FIELDS = dict(zip(NAMES, FieldType, strict=True))
"""One field of every type, under names that are words of query languages or differ only in case."""

SPEC = IndexSpec("laboratory", 2, IndexSettings(kind=IndexKind.FLAT), FIELDS)
EAST = np.array([1.0, 0.0], np.float32)
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


class Laboratory:
    """One index for all examples of a test, since making one costs a second where the disk is slow."""

    def __init__(self, engine: VectorEngine) -> None:
        self.loop = asyncio.Runner()
        self.engine = engine
        self.index: VectorIndex = self.loop.run(engine.create(SPEC))
        self.used = 0

    def try_out(self, table: list[Row], asked: list[Filter], settled: int, optimize: bool) -> None:
        """Write the rows, `settled` of them first (and into the index, if `optimize`), and ask all filters."""
        self.loop.run(self._try_out(table, asked, settled, optimize))

    async def _try_out(self, table: list[Row], asked: list[Filter], settled: int, optimize: bool) -> None:
        keys = np.arange(self.used, self.used + len(table), dtype=np.int64)
        self.used += len(table)
        vectors = np.tile(EAST, (len(table), 1))
        words = ["word"] * len(table)
        try:
            await self.index.upsert(keys[:settled], vectors[:settled], table[:settled], words[:settled])
            if optimize:
                await self.index.optimize()
            await self.index.upsert(keys[settled:], vectors[settled:], table[settled:], words[settled:])
            for where in asked:
                passing = {key for key, row in zip(keys.tolist(), table, strict=True) if matches(where, row)}
                if not self.index.unsupported(where):
                    await self._ask(where, len(table), passing)
        finally:
            await self.index.delete(keys)

    async def _ask(self, where: Filter, limit: int, passing: set[int]) -> None:
        near = await self.index.nearest(EAST, limit=limit, where=where, exact=True)
        assert keys_of(near.keys) == passing, where
        assert await self.index.count(where) == len(passing), where
        if self.engine.capabilities.lexical:
            told = await self.index.lexical("word", limit=limit, where=where)
            assert keys_of(told.keys) == passing, where

    def close(self) -> None:
        self.loop.run(self.engine.close())
        self.loop.close()


def keys_of(keys: Int64Array) -> set[int]:
    assert len(set(keys.tolist())) == len(keys)
    return set(keys.tolist())


@pytest.fixture(
    scope="module", params=[ExactEngine, FaissEngine, LocalEngine, PgvectorEngine], ids=lambda engine: engine.name
)
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    address = key = None
    if request.param is PgvectorEngine:
        address, key = request.getfixturevalue("postgres").address(), PASSWORD
    laboratory = Laboratory(engine_of(request.param, tmp_path_factory.mktemp("engine"), address, key))
    yield laboratory
    laboratory.close()


def draw_case(
    data: st.DataObject, engine: VectorEngine, fields: dict[str, FieldType]
) -> tuple[list[Row], list[Filter]]:
    table = data.draw(st.lists(ours.rows(fields), min_size=1, max_size=12))
    filters = ours.bound_filters(fields, table, engine.capabilities.filters)
    return table, data.draw(st.lists(filters, min_size=1, max_size=10))


@settings(RELAXED, max_examples=100)
@given(data=st.data())
def test_filters_mean_the_same_in_every_engine(laboratory: Laboratory, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=data.draw(st.integers(0, len(table))), optimize=False)


@pytest.mark.parametrize("name", NAMES)
@settings(RELAXED, max_examples=15)
@given(data=st.data())
def test_each_type_of_field_alone(laboratory: Laboratory, name: str, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, {name: FIELDS[name]})
    laboratory.try_out(table, asked, settled=len(table), optimize=False)


@settings(RELAXED, max_examples=8)
@given(data=st.data())
def test_rows_in_the_index_and_beside_it(laboratory: Laboratory, data: st.DataObject) -> None:
    """An engine may plan a filter otherwise for rows it has indexed than for those it has just taken in."""
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=(len(table) + 1) // 2, optimize=True)
