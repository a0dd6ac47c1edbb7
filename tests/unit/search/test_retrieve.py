"""Candidates from engines that can say everything, from some that cannot, and from one that loses rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.search.parts import assert_same

from nearfield.domain.documents import chunk_key
from nearfield.domain.filter_text import parse_text
from nearfield.domain.filters import Eq, GeoRadius, Lte, Or
from nearfield.domain.hits import Matches
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search
from nearfield.domain.schema import Metric
from nearfield.search import retrieve
from nearfield.search.retrieve import Candidates, similarity

if TYPE_CHECKING:
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

TEXT = "a warm lamp for late work"
SPLIT = 'price <= 120 AND (category = "Garden" OR in_stock = true)'


def test_a_document_is_as_good_as_its_best_passage() -> None:
    keys = np.array([chunk_key(2, 3), chunk_key(1, 0), chunk_key(2, 0), chunk_key(3, 1), chunk_key(1, 1)])
    found = Candidates.of(Matches(keys, np.array([0.9, 0.8, 0.8, 0.5, 0.1], dtype=np.float32)))
    assert found.documents.tolist() == [2, 1, 3]
    assert found.chunks.tolist() == [chunk_key(2, 3), chunk_key(1, 0), chunk_key(3, 1)]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.5])
    assert len(found.take([])) == 0


@pytest.mark.parametrize("metric", list(Metric))
async def test_similarity_is_what_engines_score(open_one: Open, metric: Metric) -> None:
    world = await open_one("exact", count=30, index={"metric": metric.value})
    vector = np.random.default_rng(1).normal(size=256).astype(np.float32)
    vector /= np.linalg.norm(vector)
    found = await world.index.nearest(vector, limit=30, exact=True)
    keys, vectors = await world.index.vectors(found.keys)
    assert keys.tolist() == found.keys.tolist()
    assert similarity(vector, vectors, metric).tolist() == pytest.approx(found.scores.tolist(), abs=1e-5)


@pytest.mark.parametrize("limit", [1, 10, 60, 500])
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_part_the_engine_cannot_say_is_checked_on_the_store(world: World, mode: Mode, limit: int) -> None:
    world.index.cannot_say = (Or,)
    where = parse_text(SPLIT)
    answer = await world.search(Search(query=TEXT, where=where, mode=mode, limit=limit, exact=True))
    assert_same(answer, await world.expected(mode, text=TEXT, where=where), limit)
    assert answer.plan.filter_native == "price <= 120"
    assert answer.plan.filter_residual == 'category = "Garden" OR in_stock = true'
    assert answer.plan.access is (Access.NONE if mode is Mode.LEXICAL else Access.OVERFETCH)
    assert answer.plan.effort is None


async def test_a_circle_is_answered_alike_by_both_engines(world: World) -> None:
    where = parse_text("GEO_RADIUS(at, 5, 20, 6000000) AND price >= 20")
    answer = await world.search(Search(query=TEXT, where=where, limit=50, mode=Mode.SEMANTIC))
    expected = await world.expected("semantic", text=TEXT, where=where)
    assert 5 < len(expected) < 120
    assert_same(answer, expected, 50)
    assert (answer.plan.filter_residual is None) == (world.collection.spec.engine == "exact")


async def test_beyond_the_most_that_is_fetched_every_document_is_decided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve, "MAX_OVERFETCH", 20)
    monkeypatch.setattr(retrieve, "SCAN_PAGE", 17)
    world.index.cannot_say = (Eq, Or, GeoRadius)
    for text in ('category = "Garden"', 'brand = "nobody"', SPLIT):
        where = parse_text(text)
        for limit in (3, 40):
            answer = await world.search(Search(query=TEXT, where=where, mode=Mode.SEMANTIC, limit=limit))
            assert_same(answer, await world.expected("semantic", text=TEXT, where=where), limit)
    assert answer.plan.access is Access.SCAN
    assert answer.plan.effort is None


async def test_an_overfetch_that_saw_all_is_no_scan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "MAX_OVERFETCH", 150)
    world.index.cannot_say = (Eq,)
    answer = await world.search(Search(query=TEXT, where=parse_text('brand = "nobody"'), mode=Mode.SEMANTIC))
    assert len(answer) == 0
    assert answer.plan.access is Access.OVERFETCH


async def test_a_graph_that_lost_rows_is_asked_for_every_row(open_one: Open) -> None:
    world = await open_one("local")
    world.forget_size()
    world.index.keeps = 0.5
    where = parse_text("price <= 1000000")
    answer = await world.search(Search(query=TEXT, where=where, mode=Mode.SEMANTIC, limit=140))
    assert_same(answer, await world.expected("semantic", text=TEXT, where=where), 140)
    assert world.index.asked_exact == [False, True]
    assert answer.plan.access is Access.EXACT
    assert answer.plan.effort is None
    assert answer.plan.notes == ("the approximate search came back short; every row was compared",)


async def test_an_engine_that_lost_rows_and_cannot_compare_all_is_not_believed(open_one: Open) -> None:
    world = await open_one("local")
    world.claim(exact=False)
    world.index.keeps = 0.5
    for where in (None, parse_text("price <= 60")):
        answer = await world.search(Search(query=TEXT, where=where, mode=Mode.SEMANTIC, limit=150))
        assert_same(answer, await world.expected("semantic", text=TEXT, where=where), 150)
        assert answer.plan.access is Access.SCAN
        assert "came back short" in answer.plan.notes[0]
    assert not any(world.index.asked_exact)


async def test_a_search_that_found_enough_asks_once_and_says_ann(open_one: Open) -> None:
    world = await open_one("local")
    world.forget_size()
    answer = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=10, effort=300))
    assert world.index.asked_exact == [False]
    assert (answer.plan.access, answer.plan.effort, answer.plan.notes) == (Access.ANN, 300, ())
    answer = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=10))
    assert answer.plan.effort == world.collection.spec.index.ef_search


async def test_a_small_index_is_compared_row_by_row_in_one_call(open_one: Open) -> None:
    world = await open_one("local")
    answer = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=500, effort=300))
    assert world.index.asked_exact == [True]
    assert len(answer) == 150
    assert answer.plan.access is Access.EXACT
    assert answer.plan.notes == ("ef had no use: no approximate index was searched",)


async def test_an_index_of_codes_is_compared_row_by_row_only_when_tiny(open_one: Open) -> None:
    for count, access in ((150, Access.EXACT), (230, Access.ANN)):
        world = await open_one("local", count=count, index={"quantization": "int8"})
        answer = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=10))
        assert answer.plan.access is access
        assert answer.plan.index == "hnsw/cosine/int8"
        assert world.index.asked_exact == [access is Access.EXACT]
        exact = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=10, exact=True))
        assert_same(exact, await world.expected("semantic", text=TEXT), 10)


async def test_rows_are_asked_for_until_documents_are_enough(open_one: Open) -> None:
    long = " ".join(f"chapter{i} {' '.join(f'word{i % 7}{j}' for j in range(60))}." for i in range(40))
    bodies = [{"id": f"long {i}", "name": long, "description": f"tail{i}"} for i in range(4)]
    bodies += [{"id": f"short {i}", "name": f"plain{i}", "description": "nothing of it"} for i in range(20)]
    world = await open_one("exact", bodies=bodies)
    assert (await world.index.stats()).rows > 4 * 8
    answer = await world.search(Search(query="chapter5 word51 word52", mode=Mode.SEMANTIC, limit=24))
    assert_same(answer, await world.expected("semantic", text="chapter5 word51 word52"), 24)
    assert {hit.id for hit in answer.hits[:4]} == {f"long {i}" for i in range(4)}
    assert len(world.index.asked_limits) > 1
    chapter = answer[0].passage
    assert chapter > 0
    by_words = await world.search(Search(query="chapter5", mode=Mode.LEXICAL, limit=24))
    assert {hit.id for hit in by_words} == {f"long {i}" for i in range(4)}


async def test_words_beyond_the_most_rows_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "MAX_ROWS", 20)
    world.index.cannot_say = (Lte,)
    where = parse_text("price <= 25")
    common = "hours days cotton steel leather light battery oak"
    assert len(await world.index.lexical(common, limit=1000)) > 20
    answer = await world.search(Search(query=common, mode=Mode.LEXICAL, where=where, limit=100))
    assert answer.plan.notes == ("only the best 20 passages that hold these words were looked at",)
    answer = await world.search(Search(query="lamp", mode=Mode.LEXICAL, where=where, limit=100))
    assert answer.plan.notes == ()
