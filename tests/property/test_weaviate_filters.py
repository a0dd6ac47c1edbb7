"""The real server answers every filter that is claimed as the domain's evaluator does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_engine_filters import FIELDS, RELAXED, Laboratory, draw_case
from tests.vendors.weaviate_server import KEY, Node

from nearfield.domain.addresses import EngineAddress
from nearfield.engines.weaviate import WeaviateEngine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def laboratory(weaviate_node: Node) -> Iterator[Laboratory]:
    address = EngineAddress.parse(weaviate_node.address())
    laboratory = Laboratory(WeaviateEngine.reach(address, prefix="property_", key=KEY))
    yield laboratory
    laboratory.close()


@settings(RELAXED, max_examples=25)
@given(data=st.data())
def test_filters_mean_the_same_on_the_server(laboratory: Laboratory, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=data.draw(st.integers(0, len(table))), optimize=False)


@pytest.mark.heavy
@pytest.mark.servers
@settings(RELAXED, max_examples=300)
@given(data=st.data())
def test_many_filters_mean_the_same_on_the_server(laboratory: Laboratory, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=len(table), optimize=False)
