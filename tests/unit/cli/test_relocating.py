from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run


@pytest.fixture
def shop(nearfield: Run, products: Path) -> None:
    assert nearfield("import", str(products), "-c", "shop", "--json").code == 0


@pytest.mark.usefixtures("shop")
def test_a_move_there_and_back(nearfield: Run, tmp_path: Path) -> None:
    planned = nearfield("move", "shop", "--engine", "local", "--plan", "--price", "0.02", "--json")
    assert planned.code == 0
    assert (planned.json["to"]["engine"], planned.json["documents"], planned.json["cost"]) == ("local", 4, 0.0)
    assert [one["number"] for one in nearfield("generations", "shop", "--json").json["generations"]] == [1]

    verified = nearfield("move", "shop", "--engine", "local", "--verify-only", "--yes", "--json")
    assert verified.code == 0
    assert verified.json["verification"]["passed"]
    assert not verified.json["switched"]
    page = tmp_path / "report.html"
    moved = nearfield("move", "shop", "--html", str(page))
    assert moved.code == 0
    assert "shop is searched on generation 2 now" in moved.out
    assert "nearfield rollback shop" in moved.err
    assert page.read_text().count("<svg") == 2
    states = {one["number"]: one["state"] for one in nearfield("generations", "shop", "--json").json["generations"]}
    assert states == {1: "retired", 2: "live"}
    found = nearfield("search", "shop", "lamp", "--json")
    assert (found.json["plan"]["engine"], found.json["hits"][0]["id"]) == ("local", "2")
    assert "is there already" in nearfield("move", "shop", "--engine", "local", "--yes").out

    assert nearfield("rollback", "shop", "--json").json == {"collection": "shop", "generation": 1}
    assert nearfield("search", "shop", "lamp", "--json").json["plan"]["engine"] == "exact"
    assert "retired" not in nearfield("generations", "shop", "--drop").out
    failed = nearfield("rollback", "shop", "--json")
    assert (failed.code, failed.json["code"]) == (1, "generation_not_found")


@pytest.mark.usefixtures("shop")
def test_what_does_not_hold_is_not_switched(nearfield: Run) -> None:
    refused = nearfield("move", "shop", "--engine", "local", "--max-p95-ms", "0", "--yes")
    assert refused.code == 1
    assert "not held" in refused.out
    assert "nothing was switched" in refused.out
    assert nearfield("search", "shop", "lamp", "--json").json["plan"]["engine"] == "exact"


@pytest.mark.usefixtures("shop")
def test_wrong_use_is_told(nearfield: Run) -> None:
    assert nearfield("move", "shop", "--engine", "local", "--json").code == 2
    nothing = nearfield("move", "shop", "--json")
    assert nothing.json["code"] == "generation_not_found"
    assert "say where to" in nothing.json["detail"]
