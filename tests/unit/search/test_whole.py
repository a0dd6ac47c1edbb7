"""Sorted, grouped and counted answers, and listings without a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.facets import Facet, FacetScope, read_facets
from nearfield.domain.filter_text import parse_text
from nearfield.domain.ordering import GroupBy, read_group_by, read_sort
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search
from nearfield.domain.rules import Hide, Rules

if TYPE_CHECKING:
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

    from nearfield.domain.hits import Hit

TEXT = "a warm lamp for late work"


async def paged(world: World, ask: Search) -> list[Hit]:
    answer = await world.search(ask)
    hits = list(answer)
    while answer.cursor is not None:
        assert len(answer) == ask.limit
        answer = await world.search(Search(cursor=answer.cursor, limit=ask.limit))
        hits += answer
    return hits


# -- sort --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("query", [TEXT, None])
async def test_candidates_are_sorted_by_fields_and_ties_by_key(world: World, query: str | None) -> None:
    documents = await world.documents()
    expected = sorted(documents, key=lambda one: (one.body["category"], -one.body["price"], one.key))
    hits = await paged(world, Search(query=query, sort=read_sort(["category", "-price"]), limit=40))
    assert [hit.id for hit in hits] == [one.id for one in expected]


@pytest.mark.parametrize("sort", ["price", "-price"])
async def test_documents_without_the_field_come_last(open_one: Open, sort: str) -> None:
    bodies = [
        {"id": str(i), "name": "lamp", "description": "", **({"price": 9.0 - i} if i % 2 else {})} for i in range(6)
    ]
    world = await open_one("exact", bodies=bodies)
    ids = [hit.id for hit in await world.search(Search(query="lamp", sort=read_sort(sort)))]
    assert ids == (["5", "3", "1"] if sort == "price" else ["1", "3", "5"]) + ["0", "2", "4"]


async def test_the_score_may_be_a_key_too(world: World) -> None:
    by_score = await world.search(Search(query=TEXT, sort=read_sort("-_score"), limit=20))
    plain = await world.search(Search(query=TEXT, limit=20))
    assert [hit.id for hit in by_score] == [hit.id for hit in plain]
    worst = await world.search(Search(query=TEXT, sort=read_sort("_score"), limit=1))
    assert worst[0].score <= plain[19].score


async def test_what_is_sorted_is_told_where_more_match(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.search.service.CANDIDATES", 30)
    answer = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, sort=read_sort("price"), limit=5))
    assert any("more match" in note for note in answer.plan.notes)
    best = {hit.id for hit in await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, limit=34))}
    assert {hit.id for hit in answer} <= best


@pytest.mark.parametrize(("sort", "told"), [("colour", "unknown field"), ("at", "no order"), ("-", "expected a field")])
async def test_what_cannot_be_sorted_by_is_refused(world: World, sort: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        await world.search(Search(query=TEXT, sort=read_sort(sort)))


# -- listings ----------------------------------------------------------------------------------------------------------
async def test_a_filter_alone_lists_what_passes_it(world: World) -> None:
    where = parse_text("price <= 60")
    expected = [one.id for one in await world.documents(where)]
    answer = await world.search(Search(where=where, limit=7))
    assert (answer.plan.mode, answer.plan.access) == (None, Access.SCAN)
    assert [hit.id for hit in await paged(world, Search(where=where, limit=7))] == expected
    assert all(hit.score == 1 for hit in answer)
    assert world.live.embedder.calls == 0


async def test_a_listing_takes_no_mode_and_nothing_is_no_listing() -> None:
    with pytest.raises(InvalidRequest, match="mode"):
        Search(where=parse_text("price <= 60"), mode=Mode.HYBRID)
    with pytest.raises(InvalidRequest, match="either query or vector"):
        Search()


# -- groups ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", list(Mode))
async def test_groups_are_the_best_of_each_value_in_order(world: World, mode: Mode) -> None:
    ranking = [hit.id for hit in await world.search(Search(query=TEXT, mode=mode, limit=1000))]
    brand = {one.id: one.body["brand"] for one in await world.documents()}
    groups: dict[str, list[str]] = {}
    for name in ranking:
        groups.setdefault(brand[name], []).append(name)
    hits = await paged(world, Search(query=TEXT, mode=mode, group_by=GroupBy("brand", 2), limit=4))
    assert [(hit.group, hit.id, [one.id for one in hit.members or ()]) for hit in hits] == [
        (value, names[0], names[1:3]) for value, names in groups.items()
    ]


async def test_documents_without_the_field_stand_alone(open_one: Open) -> None:
    bodies = [
        {"id": str(i), "name": "lamp", "description": "", **({"brand": "Acme"} if i % 2 else {})} for i in range(10)
    ]
    world = await open_one("exact", bodies=bodies)
    hits = await paged(world, Search(query="lamp", group_by=GroupBy("brand", 1), limit=2))
    assert [(hit.id, hit.group, len(hit.members or ())) for hit in hits] == [
        ("0", None, 0), ("1", "Acme", 1), ("2", None, 0), ("4", None, 0), ("6", None, 0), ("8", None, 0)
    ]  # fmt: skip


async def test_groups_are_looked_for_until_there_are_enough(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred variants of one product before the others."""
    bodies = [
        {
            "id": str(i),
            "name": "warm lamp" if i < 300 else f"garden chair {i}",
            "description": "",
            "brand": str(max(i, 300)),
        }
        for i in range(320)
    ]
    world = await open_one("exact", bodies=bodies)
    monkeypatch.setattr("nearfield.search.service.CANDIDATES", 20)
    answer = await world.search(Search(query="warm lamp", group_by=GroupBy("brand", 0), limit=10))
    assert len({hit.group for hit in answer}) == len(answer) == 10
    hits = await paged(world, Search(query="warm lamp", group_by=GroupBy("brand", 0), limit=7))
    assert sorted(hit.group for hit in hits) == sorted(str(i) for i in range(300, 320))


async def test_a_group_outlives_its_best(world: World) -> None:
    ask = Search(query=TEXT, group_by=GroupBy("category", 1), limit=1)
    first = await world.search(ask)
    second = await world.search(Search(cursor=first.cursor, limit=1))
    await world.backend.documents.delete(world.name, [second[0].id])
    again = await world.search(Search(cursor=first.cursor, limit=1))
    assert again[0].group == second[0].group
    assert again[0].id == (second[0].members or ())[0].id


@pytest.mark.parametrize(
    ("spelled", "told"),
    [({"field": "at"}, "not a place"), ("colour", "unknown field"), ({"field": "brand", "limit": -1}, "expected 0 to"),
     ({"fields": "brand"}, "unknown key"), ({}, "name of a field")],
)  # fmt: skip
async def test_what_cannot_be_grouped_by_is_refused(world: World, spelled: object, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        await world.search(Search(query=TEXT, group_by=read_group_by(spelled)))  # type: ignore[arg-type]


# -- facets ------------------------------------------------------------------------------------------------------------
async def test_facets_come_with_the_first_page_and_say_what_they_counted(world: World) -> None:
    answer = await world.search(Search(query=TEXT, facets=read_facets(["brand", "in_stock"]), limit=5))
    assert [one.field for one in answer.facets] == ["brand", "in_stock"]
    assert [one.documents for one in answer.facets] == [150, 150]
    later = await world.search(Search(cursor=answer.cursor, limit=5))
    assert later.facets == ()
    plain = await world.search(Search(query=TEXT, limit=10))
    assert [hit.id for hit in (*answer, *later)] == [hit.id for hit in plain]


async def test_every_match_is_counted_where_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.search.service.CANDIDATES", 20)
    facets = (Facet("category"),)
    few = await world.search(Search(query=TEXT, mode=Mode.SEMANTIC, facets=facets))
    assert few.facets[0].documents == 24
    assert any("more match" in note for note in few.plan.notes)
    every = await world.search(Search(query=TEXT, facets=facets, facet_scope=FacetScope.MATCHES))
    assert every.facets[0].documents == 150
    assert any("every match" in note for note in every.plan.notes)


async def test_instants_are_counted_by_value_range_and_span(open_one: Open) -> None:
    days = ("2024-01-01", "2024-01-07T23:59:59Z", "2024-01-08", "2024-02-29T12:00:00+02:00", "2025-01-01")
    bodies = [{"id": day, "name": "lamp", "description": "", "added": day} for day in days]
    world = await open_one("exact", bodies=bodies, fields={"added": "datetime"})
    spelled: list[dict[str, Any]] = [{"field": "added", "histogram": span} for span in ("week", "month", "year")]
    spelled.append({"field": "added", "ranges": [[None, "2024-01-08"], ["2024-01-08", "2025-01-01T00:00:00Z"]]})
    week, month, year, ranges = (await world.search(Search(query="lamp", facets=read_facets(spelled)))).facets
    assert [(one.low[:10], one.count) for one in week.buckets] == [
        ("2024-01-01", 2), ("2024-01-08", 1), ("2024-02-26", 1), ("2024-12-30", 1)
    ]  # fmt: skip
    assert [(one.low[:7], one.high[:7], one.count) for one in month.buckets] == [
        ("2024-01", "2024-02", 3), ("2024-02", "2024-03", 1), ("2025-01", "2025-02", 1)
    ]  # fmt: skip
    assert [one.count for one in year.buckets] == [4, 1]
    assert [one.count for one in ranges.buckets] == [2, 2]


@pytest.mark.parametrize(
    ("spelled", "told"),
    [
        (["colour"], "unknown field"),
        (["at"], "not counted"),
        ([{"field": "brand", "histogram": 5}], "need int, float or datetime"),
        ([{"field": "price", "histogram": 0}], "above 0"),
        ([{"field": "price", "histogram": "day"}], "above 0"),
        ([{"field": "price", "histogram": 0.0001}], "make them wider"),
        ([{"field": "price", "ranges": [["a", 5]]}], "expected float"),
        ([{"field": "price", "ranges": [[1, 2, 3]]}], "a pair"),
        ([{"field": "price", "ranges": [[1, 2]], "histogram": 5}], "either ranges or histogram"),
        ([{"field": "brand", "limit": 0}], "expected 1 to"),
        ([{"feild": "brand"}], "unknown key"),
        ("brand", "a list of facets"),
    ],
)
async def test_what_cannot_be_counted_is_refused(open_one: Open, spelled: object, told: str) -> None:
    bodies = [{"id": str(i), "name": "lamp", "description": "", "price": float(i)} for i in range(1_100)]
    world = await open_one("exact", bodies=bodies if told == "make them wider" else bodies[:3])
    with pytest.raises(InvalidRequest, match=told):
        await world.search(Search(query="lamp", facets=read_facets(spelled)))  # type: ignore[arg-type]


# -- hidden documents --------------------------------------------------------------------------------------------------
async def test_documents_hidden_by_rules_do_not_use_up_what_is_sorted(
    open_one: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfield.search.service.CANDIDATES", 5)
    bodies = [{"id": str(i), "name": "lamp " * (40 - i), "description": "", "price": float(i)} for i in range(40)]
    world = await open_one("exact", bodies=bodies)
    hidden = [str(i) for i in range(30)]
    await world.backend.rules.write(world.name, Rules(hides=(Hide(tuple(hidden)),)))
    for mode in (Mode.SEMANTIC, Mode.LEXICAL, Mode.HYBRID):
        ask = Search(query="lamp", mode=mode, sort=read_sort("price"), limit=10)
        answer = await world.backend.searches.search(world.name, ask)
        assert len(answer) >= 5, mode
        assert not {hit.id for hit in answer} & set(hidden)


@pytest.mark.parametrize("scope", list(FacetScope))
async def test_documents_hidden_by_rules_are_not_counted(open_one: Open, scope: FacetScope) -> None:
    bodies = [{"id": str(i), "name": "lamp", "description": "", "brand": "Acme"} for i in range(5)]
    world = await open_one("exact", bodies=bodies)
    await world.backend.rules.write(world.name, Rules(hides=(Hide(("0", "3")),)))
    ask = Search(query="lamp", facets=read_facets(["brand"]), facet_scope=scope)
    answer = await world.backend.searches.search(world.name, ask)
    assert [(one.value, one.count) for one in answer.facets[0].buckets] == [("Acme", 3)]
