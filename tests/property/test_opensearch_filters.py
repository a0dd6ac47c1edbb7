"""OpenSearch's queries mean what the domain means: by the stand-in's own reading of them, and on a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.test_engine_filters import FIELDS, NAMES, SPEC, Laboratory, draw_case
from tests.vendors.opensearch_query import Reader, Shard
from tests.vendors.opensearch_server import server
from tests.vendors.schema import Contract, Request

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import And, ContainsAll, Eq, GeoBox, GeoPoint, GeoRadius, Gt, In, Or, matches
from nearfield.domain.schema import FieldType
from nearfield.engines.opensearch import OpenSearchEngine
from nearfield.engines.opensearch_filters import MAX_CLAUSES, compile_filter
from nearfield.engines.opensearch_schema import CAPABILITIES, MAX_TERM_BYTES, document, index_body, index_name
from nearfield.testing import strategies as ours
from nearfield.testing.engine_checks import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearfield.domain.filters import Filter, Row

RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))
EAST = np.array([1.0, 0.0], np.float32)
BODY = index_body(SPEC, {})
NAMED = {kind: name for name, kind in FIELDS.items()}


@pytest.fixture(scope="module")
def contract(shared_schemas: Path) -> Contract:
    return Contract.load(shared_schemas / "opensearch.openapi.yaml")


def passing(table: list[Row], where: Filter) -> set[int]:
    """The numbers of the rows that the stand-in lets pass, documents and query sent through JSON."""
    documents = [
        json.loads(orjson.dumps(document(n, EAST[:0], row, "", SPEC), option=orjson.OPT_SERIALIZE_NUMPY))
        for n, row in enumerate(table)
    ]
    shard = Shard({str(n): kept for n, kept in enumerate(documents)})
    query = json.loads(orjson.dumps(compile_filter(where, FIELDS)))
    found = Reader(BODY["mappings"]["properties"], BODY["settings"]["index"], shard, [shard]).scores(query)
    return {int(name) for name in found}


@settings(RELAXED, max_examples=200)
@given(data=st.data())
def test_filters_mean_the_same(contract: Contract, data: st.DataObject) -> None:
    table = data.draw(st.lists(ours.rows(FIELDS), min_size=1, max_size=8))
    where: Filter = data.draw(ours.bound_filters(FIELDS, table, CAPABILITIES.filters))
    try:
        query = compile_filter(where, FIELDS)
    except UnsupportedByEngine as refused:
        assert refused.field == "filter"
        return
    assert passing(table, where) == {n for n, row in enumerate(table) if matches(where, row)}
    sent = Request(
        "POST", "/a/_count", headers={"content-type": "application/json"}, body=orjson.dumps({"query": query})
    )
    assert contract.wrong_request(sent) == []


LONG = "x" * (MAX_TERM_BYTES + 5)


@pytest.mark.parametrize(
    ("where", "refused"),
    [
        (GeoRadius(NAMED[FieldType.GEO], GeoPoint(1.0, 1.0), 5.0), True),
        (GeoBox(NAMED[FieldType.GEOS], 0.0, 0.0, 1.0, 1.0), True),
        (GeoBox(NAMED[FieldType.GEO], 0.0, 0.0, 1.0, 1.0), False),
        (Gt(NAMED[FieldType.KEYWORD], LONG), True),
        (Eq(NAMED[FieldType.TEXT], LONG), False),
        (In(NAMED[FieldType.INT], tuple(range(100_000))), False),
        (ContainsAll(NAMED[FieldType.INTS], tuple(range(MAX_CLAUSES + 1))), True),
        (Or(tuple(Eq(NAMED[FieldType.INT], n) for n in range(MAX_CLAUSES))), False),
        (And((Or(tuple(Eq(NAMED[FieldType.INT], n) for n in range(MAX_CLAUSES))), Eq(NAMED[FieldType.INT], 1))), True),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(where: Filter, refused: bool) -> None:
    if refused:
        with pytest.raises(UnsupportedByEngine):
            compile_filter(where, FIELDS)
    else:
        compile_filter(where, FIELDS)


def test_texts_longer_than_a_term_are_told_apart() -> None:
    name = NAMED[FieldType.KEYWORD]
    table: list[Row] = [{name: LONG}, {name: LONG + "y"}, {name: LONG[:-1]}, {name: "ß" * MAX_TERM_BYTES}, {name: "x"}]
    for n, row in enumerate(table):
        assert passing(table, Eq(name, row[name])) == {n}  # type: ignore[arg-type]
    assert passing(table, Gt(name, "x")) == {0, 1, 2, 3}
    assert passing(table, Gt(name, "y")) == {3}


@given(st.lists(st.text(st.sampled_from("abAB09_"), min_size=1, max_size=4), min_size=2, max_size=2, unique=True))
def test_no_two_indexes_share_a_name(names: list[str]) -> None:
    one, other = map(index_name, names)
    assert one != other
    for name in (one, other):
        assert name == name.lower()
        assert name[0].isalnum()


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    for live in server(tmp_path_factory.mktemp("opensearch")):
        engine = engine_of(
            OpenSearchEngine, tmp_path_factory.mktemp("place"), f"opensearch+{live.url}?replicas=0", None
        )
        laboratory = Laboratory(engine)
        yield laboratory
        laboratory.close()


@pytest.mark.heavy
@pytest.mark.servers
@settings(RELAXED, max_examples=60)
@given(data=st.data())
def test_filters_mean_the_same_on_a_server(laboratory: Laboratory, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, FIELDS)
    laboratory.try_out(table, asked, settled=len(table), optimize=False)


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("name", NAMES)
@settings(RELAXED, max_examples=10)
@given(data=st.data())
def test_each_type_of_field_alone_on_a_server(laboratory: Laboratory, name: str, data: st.DataObject) -> None:
    table, asked = draw_case(data, laboratory.engine, {name: FIELDS[name]})
    laboratory.try_out(table, asked, settled=len(table), optimize=False)
