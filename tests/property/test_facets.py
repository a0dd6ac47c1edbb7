"""Facet counts are those of SQL over the same documents."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_search import DIMENSION_WORDS, RELAXED, Laboratory
from tests.unit.search.parts import open_world

from nearfield.domain.facets import FacetCounts, FacetScope, read_facets
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = {"price": "float", "stock": "int", "brand": "keyword", "tags": "keyword[]", "sizes": "int[]", "new": "bool"}
PRICES = st.floats(-50, 200).map(lambda value: round(value, 4))  # SQLite's json functions keep 15 digits
OPTIONAL = {
    "price": st.one_of(st.none(), st.sampled_from((0.0, 10.0, 9.99, 50.0, 100.0)), PRICES),
    "stock": st.integers(-20, 60),
    "brand": st.sampled_from(("Acme", "Zenith", 'Q"uote', "Ünï", "")),
    "tags": st.lists(st.sampled_from(("new", "sale", "old", "red")), max_size=4),
    "sizes": st.lists(st.integers(0, 30), max_size=3),
    "new": st.booleans(),
}
WHERES = (
    None,
    "price <= 50",
    'brand = "Acme"',
    'brand = "Acme" AND stock >= 0',
    'brand IN ["Acme", "Zenith"] OR new = true',
)
NUMBERS = st.one_of(st.none(), st.integers(-30, 120), st.floats(-30, 120, width=16))


@pytest.fixture(scope="module", params=["exact", "local"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory.__new__(Laboratory)
    laboratory.loop = asyncio.Runner()
    laboratory.world = laboratory.loop.run(
        open_world(tmp_path_factory.mktemp("data"), request.param, bodies=[], fields=FIELDS)
    )
    yield laboratory
    laboratory.close()


@st.composite
def facets(draw: st.DrawFn) -> dict[str, Any]:
    field = draw(st.sampled_from(sorted(FIELDS)))
    asked: dict[str, Any] = {"field": field, "disjunctive": draw(st.booleans())}
    if field in ("price", "stock", "sizes"):
        match draw(st.integers(0, 2)):
            case 1:
                asked["ranges"] = draw(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4))
                return asked
            case 2:
                asked["histogram"] = draw(st.sampled_from((1, 7, 10, 0.5, 2.5, 100)))
                return asked
    asked["limit"] = draw(st.integers(1, 8))
    return asked


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as a caller spells it."""

    query: str
    mode: Mode | None
    where: str | None
    facets: list[dict[str, Any]]
    scope: FacetScope
    limit: int


REQUESTS = st.builds(
    Request,
    query=DIMENSION_WORDS,
    mode=st.sampled_from((*Mode, None)),
    where=st.sampled_from(WHERES),
    facets=st.lists(facets(), min_size=1, max_size=4),
    scope=st.sampled_from(FacetScope),
    limit=st.integers(1, 5),
)
BODIES = st.lists(st.tuples(DIMENSION_WORDS, st.fixed_dictionaries({}, optional=OPTIONAL)), max_size=40)


@settings(RELAXED, max_examples=25)
@given(bodies=BODIES, requests=st.lists(REQUESTS, min_size=20, max_size=20))
def test_counts_are_those_of_sql_over_the_same_documents(
    shop: Laboratory, bodies: list[tuple[str, dict[str, Any]]], requests: list[Request]
) -> None:
    """Twenty requests to each of 25 catalogues: writing one costs more than they do."""
    shop.fill([{"id": str(i), "name": name, "description": "", **body} for i, (name, body) in enumerate(bodies)])
    for request in requests:
        answer = shop.loop.run(shop.world.search(search_of(request)))
        for asked, told in zip(request.facets, answer.facets, strict=True):
            where = without(request.where, asked["field"]) if asked["disjunctive"] else request.where
            lexical = request.mode is Mode.LEXICAL and request.scope is FacetScope.CANDIDATES
            counted_over = shop.loop.run(candidates(shop, request.query if lexical else None, where))
            assert counted(told) == in_sql(counted_over, asked), (request, asked)
            assert told.documents == len(counted_over)


def search_of(request: Request) -> Search:
    return Search(
        query=None if request.mode is None else request.query,
        mode=request.mode,
        where=None if request.where is None else parse_text(request.where),
        facets=read_facets(request.facets),
        facet_scope=request.scope,
        limit=request.limit,
    )


def without(where: str | None, field: str) -> str | None:
    """A filter of WHERES less its own conditions on a field."""
    if where is None or " OR " in where:
        return where
    left = [part for part in where.split(" AND ") if not part.startswith(field)]
    return " AND ".join(left) or None


async def candidates(shop: Laboratory, words: str | None, where: str | None) -> list[dict[str, Any]]:
    """The bodies a search ranks: those that pass, and where words alone decide, that hold one."""
    documents = await shop.world.documents(None if where is None else parse_text(where))
    if words is not None:
        holding = await shop.world.words(words, documents)
        documents = [one for one in documents if one.key in holding]
    return [dict(one.body) for one in documents]


def counted(told: FacetCounts) -> list[Any]:
    if told.kind == "values":
        return [*((one.value, one.count) for one in told.buckets), told.others, told.missing]
    return [*((one.low, one.count) for one in told.buckets), told.missing]


def in_sql(bodies: list[dict[str, Any]], asked: dict[str, Any]) -> list[Any]:
    """The same counts by SQLite's json functions."""
    field = asked["field"]
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE document (key INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO document (body) VALUES (?)", [(json.dumps(body),) for body in bodies])
        db.execute(
            f"""CREATE VIEW pair AS SELECT DISTINCT document.key AS key, each.value AS value FROM document,
            json_each(CASE json_type(body, '$.{field}') WHEN 'array' THEN json_extract(body, '$.{field}')
            ELSE json_array(json_extract(body, '$.{field}')) END) AS each WHERE each.value IS NOT NULL"""
        )
        having = db.execute("SELECT count(DISTINCT key) FROM pair").fetchone()[0]
        missing = len(bodies) - having
        if "ranges" in asked:
            sql = (
                "SELECT count(DISTINCT key) FROM pair WHERE (?1 IS NULL OR value >= ?1) AND (?2 IS NULL OR value < ?2)"
            )
            return [*((low, db.execute(sql, (low, high)).fetchone()[0]) for low, high in asked["ranges"]), missing]
        if "histogram" in asked:
            width = asked["histogram"]
            sql = """SELECT bucket, count(DISTINCT key) FROM (SELECT key, CAST(value / ?1 AS INTEGER) -
                (value / ?1 < CAST(value / ?1 AS INTEGER)) AS bucket FROM pair) GROUP BY bucket ORDER BY bucket"""
            return [*((bucket * width, found) for bucket, found in db.execute(sql, (float(width),))), missing]
        rows = db.execute("SELECT value, count(*) AS n FROM pair GROUP BY value ORDER BY n DESC, value").fetchall()
        return [*rows[: asked["limit"]], max(0, len(rows) - asked["limit"]), missing]
