"""Qdrant answers every filter it claims as the domain's evaluator does, in its own code and in its client's mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_engine_filters import FIELDS, NAMES, RELAXED, Laboratory, draw_case
from tests.vendors.qdrant_memory import engines
from tests.vendors.qdrant_process import QDRANT_KEY, QdrantProcess

from nearfield.engines.qdrant import QdrantEngine
from nearfield.testing.engine_checks import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["http", "grpc", "memory"])
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    if request.param == "memory":
        laboratory = Laboratory(engines()(Path("laboratory")))
        yield laboratory
        laboratory.close()
        return
    server: QdrantProcess = request.getfixturevalue("qdrant_server")
    address = server.grpc_address if request.param == "grpc" else server.address
    laboratory = Laboratory(engine_of(QdrantEngine, Path("laboratory"), address, QDRANT_KEY))
    yield laboratory
    laboratory.close()
    server.reset()


@pytest.mark.heavy
@pytest.mark.servers
@settings(RELAXED, max_examples=25)
@given(data=st.data())
def test_filters_mean_the_same_in_qdrant(laboratory: Laboratory, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=data.draw(st.integers(0, len(table))), optimize=data.draw(st.booleans()))


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("name", NAMES)
@settings(RELAXED, max_examples=5)
@given(data=st.data())
def test_each_type_of_field_alone(laboratory: Laboratory, name: str, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, {name: FIELDS[name]})
    laboratory.try_out(table, asked, settled=len(table), optimize=False)
