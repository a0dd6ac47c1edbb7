"""`nearfield rules`: put from a file, shown, listed, taken back; and the flags of `search` beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run

RULES = {"synonyms": [{"words": ["kettle", "boiler"]}], "pins": [{"ids": ["3"], "query": "lamp"}], "hides": []}


def put(shop: Run, folder: Path, rules: object) -> None:
    (folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
    assert shop("rules", "put", "shop", "rules.json").code == 0


def test_rules_are_put_shown_and_taken_back(shop: Run, own_folder: Path) -> None:
    put(shop, own_folder, RULES)
    shown = json.loads(shop("rules", "show", "shop").out)
    assert shown["synonyms"] == RULES["synonyms"]
    put(shop, own_folder, shown)
    put(shop, own_folder, {})
    assert shop("rules", "restore", "shop", "1", "--json").json["version"] == 4
    history = shop("rules", "history", "shop", "--json").json["versions"]
    assert [(one["version"], one["restored_from"]) for one in history] == [(4, 1), (3, None), (2, None), (1, None)]
    assert shop("rules", "show", "shop", "--version", "3", "--json").json["pins"] == []
    header, latest, *_ = shop("rules", "history", "shop").out.splitlines()
    assert header.split() == ["version", "written", "synonyms", "pins", "hides", "restored", "from"]
    assert latest.split()[2:] == ["1", "1", "0", "1"]


def test_a_search_goes_by_the_rules_unless_told_not_to(shop: Run, own_folder: Path) -> None:
    put(shop, own_folder, RULES)
    assert shop("search", "shop", "lamp", "--json").json["hits"][0]["id"] == "3"
    assert shop("search", "shop", "lamp", "--no-rules", "--json").json["hits"][0]["id"] == "2"


def test_no_rules_and_wrong_ones_are_told(shop: Run, own_folder: Path) -> None:
    assert "no rules were ever written" in shop("rules", "history", "shop").err
    (own_folder / "bad.json").write_text('{"pins": [{"ids": ["nobody"]}]}', encoding="utf-8")
    assert "no document 'nobody'" in shop("rules", "put", "shop", "bad.json").err
    (own_folder / "bad.json").write_text("{", encoding="utf-8")
    assert "is no JSON" in shop("rules", "put", "shop", "bad.json").err
    assert shop("rules", "put", "shop", "absent.json").code == 1
    assert "no version 7" in shop("rules", "restore", "shop", "7").err


def test_boosts_and_diversity_are_flags(shop: Run) -> None:
    boost = '{"where": "price > 100", "factor": 0}'
    hits = shop("search", "shop", "light", "--boost", boost, "--diversity", "0.2", "--json").json["hits"]
    plain = shop("search", "shop", "light", "--json").json["hits"]
    assert [hit["id"] for hit in hits] != [hit["id"] for hit in plain]
    assert hits[-1]["id"] == "3"
    assert "is no JSON" in shop("search", "shop", "light", "--boost", "price").err
    assert "diversity is 2" in shop("search", "shop", "light", "--diversity", "2").err
    assert "no reranker 'nowhere'" in shop("search", "shop", "light", "--rerank", "nowhere").err
