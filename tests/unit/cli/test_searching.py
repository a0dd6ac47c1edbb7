"""Search: the answer as JSON and as a table, and waiting for what is pending."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from nearfield.cli.searching import plan_lines
from nearfield.cli.terminal import printable
from nearfield.domain.documents import Document
from nearfield.domain.plans import Access, Mode, Plan
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run


def test_json_is_hits_plan_and_time(shop: Run) -> None:
    answer = shop("search", "shop", "noise-cancelling headphones", "--limit", "2", "--json").json
    assert answer.keys() == {"hits", "plan", "took_ms"}
    assert [hit.keys() for hit in answer["hits"]] == [{"id", "score", "document"}] * 2
    assert answer["hits"][0]["id"] == "1"
    assert answer["hits"][0]["document"]["price"] == 50.0
    assert 0 <= answer["hits"][1]["score"] <= answer["hits"][0]["score"] <= 1
    assert (answer["plan"]["mode"], answer["plan"]["engine"], answer["plan"]["waited_for"]) == ("hybrid", "exact", 0)
    assert answer["took_ms"] > 0


def test_flags_reach_the_search(shop: Run) -> None:
    where = 'price <= 40 AND brand = "Lumo"'
    answer = shop("search", "shop", "light", "--where", where, "--mode", "semantic", "--exact", "--json").json
    assert {hit["id"] for hit in answer["hits"]} == {"2", "4"}
    assert (answer["plan"]["mode"], answer["plan"]["access"]) == ("semantic", "exact")
    assert len(shop("search", "shop", "light", "--limit", "1", "--json").json["hits"]) == 1


def test_the_table_shows_what_was_embedded_and_filtered(shop: Run) -> None:
    ran = shop("search", "shop", "light for late work", "--where", "price < 40")
    assert ran.code == 0
    header, first, *_ = ran.out.splitlines()
    assert header.split() == ["#", "score", "id", "name", "description", "price"]
    assert first.split()[0] == "1"
    assert "Desk Lamp" in first
    assert "35.5" in first
    assert "hybrid" in ran.out.splitlines()[-1]
    assert ran.err == ""


async def _store_only(id: str, name: str) -> None:
    """Write a document as a process does that is killed before it could index it."""
    backend = await open_backend(load_settings())
    try:
        collection = await backend.catalog.get("shop")
        await backend.store.upsert(collection, [Document.of(id, {"id": id, "name": name})])
    finally:
        await backend.close()


def test_pending_changes_are_waited_for_and_counted(shop: Run) -> None:
    asyncio.run(_store_only("5", "Copper Watering Can"))
    ran = shop("search", "shop", "copper watering can", "--json")
    assert "waiting for pending changes: 1 " in ran.err
    assert ran.json["plan"]["waited_for"] == 1
    assert ran.json["hits"][0]["id"] == "5"
    again = shop("search", "shop", "copper watering can", "--json")
    assert (again.err, again.json["plan"]["waited_for"]) == ("", 0)


def test_waiting_can_be_refused(shop: Run) -> None:
    asyncio.run(_store_only("5", "Copper Watering Can"))
    ran = shop("search", "shop", "copper watering can", "--no-wait", "--json")
    assert (ran.code, ran.err, ran.json["plan"]["waited_for"]) == (0, "", 0)


def test_nothing_found_is_good(shop: Run) -> None:
    ran = shop("search", "shop", "light", "--where", "price > 1000")
    assert ran.code == 0
    assert ran.out.startswith("nothing found")


def test_markup_and_control_characters_stay_text(nearfield: Run) -> None:
    row = json.dumps({"id": "[red]1[/red]", "title": "[bold]x[/] \x1b[31m red \x07"})
    assert nearfield("import", "-", "-c", "things", stdin=row.encode()).code == 0
    ran = nearfield("search", "things", "x")
    assert "[red]1[/red]" in ran.out
    assert "[bold]x[/]" in ran.out
    assert "\x1b" not in ran.out
    assert printable("a\x1b[31m\x07\u202eb\n") == "a [31m  b\n"


def test_a_plan_is_told_in_words() -> None:
    plan = Plan(
        Mode.HYBRID,
        Access.OVERFETCH,
        "local",
        "hnsw",
        "m",
        generation=2,
        applied_seq=9,
        waited_for=1200,
        effort=128,
        matches=7,
        filter_native="a = 1",
        filter_residual="b = 2",
        notes=("something else was done",),
    )
    assert plan_lines(plan, 12.345) == [
        (
            "hybrid, overfetch on local hnsw generation 2; ef 128; 7 matches; filter in the engine: a = 1; "
            "filter on the store: b = 2; waited for 1,200 changes; 12.3 ms"
        ),
        "note: something else was done",
    ]


def test_matches_are_shown(shop: Run) -> None:
    hit = shop("search", "shop", "headphones", "--mode", "lexical", "--highlight", "--json").json["hits"][0]
    assert "<em>" in hit["highlights"]["passage"].lower()
    lines = shop("search", "shop", "headphones", "--mode", "lexical", "--highlight").out.splitlines()
    marked = [line for line in lines if line.startswith("1. ")]
    assert len(marked) == 1 and "*headphones*" in marked[0].lower()


def test_an_answer_can_be_sorted_counted_grouped_and_explained(shop: Run) -> None:
    flags = ("--sort", "-price", "--facet", "brand", "--explain")
    answer = shop("search", "shop", "light", *flags, "--json").json
    prices = [hit["document"].get("price") for hit in answer["hits"]]
    assert prices == sorted(prices, reverse=True)
    assert answer["facets"][0]["field"] == "brand"
    assert sum(part["adds"] for part in answer["hits"][0]["explain"]) > 0
    ran = shop("search", "shop", "light", *flags)
    assert ran.code == 0
    assert "brand: " in ran.out
    assert "stages: " in ran.out
    groups = shop("search", "shop", "light", "--group-by", "brand", "--json").json["hits"]
    assert len({hit["group"] for hit in groups}) == len(groups)
    assert shop("search", "shop", "light", "--sort", "colour").code == 2
