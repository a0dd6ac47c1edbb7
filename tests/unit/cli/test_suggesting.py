"""Suggestions, as JSON and as a table, and typing errors on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run


def test_titles_are_completed(shop: Run) -> None:
    found = shop("suggest", "shop", "desk", "--json").json
    assert [(one["text"], one["kind"]) for one in found["suggestions"]] == [("Desk Lamp", "title")]
    table = shop("suggest", "shop", "desk l").out
    assert table.splitlines()[0].split() == ["suggestion", "kind", "count"]
    assert "Desk Lamp" in table
    assert shop("suggest", "shop", "zzz").out.strip() == "nothing found"


def test_a_limit_out_of_bounds_is_told(shop: Run) -> None:
    ran = shop("suggest", "shop", "desk", "--limit", "0")
    assert ran.code != 0
    assert "1 to 100" in ran.err


def test_typing_errors_are_forgiven_unless_refused(shop: Run) -> None:
    ran = shop("search", "shop", "hedphones", "--mode", "lexical")
    assert "hedphones taken for headphones" in ran.out.splitlines()[-1]
    refused = shop("search", "shop", "hedphones", "--mode", "lexical", "--no-typos", "--json").json
    assert (refused["hits"], refused["plan"]["corrections"]) == ([], [])
