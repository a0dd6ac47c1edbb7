"""Collections, status and check."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run


def test_collections_are_listed(shop: Run) -> None:
    (listed,) = shop("collections", "--json").json["collections"]
    assert (listed["name"], listed["documents"], listed["engine"]) == ("shop", 4, "exact")
    assert listed["fields"]["price"] == "float"
    ran = shop("collections")
    assert ran.out.splitlines()[1].split()[:2] == ["shop", "4"]


def test_no_collections_yet(shop: Run) -> None:
    assert shop("delete", "shop", "--yes").code == 0
    ran = shop("collections")
    assert (ran.code, ran.out) == (0, "")
    assert "nearfield import" in ran.err


def test_status_tells_counts(shop: Run) -> None:
    (one,) = shop("status", "--json").json["collections"]
    assert (one["documents"], one["pending"], one["rows"], one["indexing_error"]) == (4, 0, 4, None)
    assert shop("status", "shop").out.splitlines()[1].split()[:4] == ["shop", "4", "0", "4"]


def test_check_is_clean(shop: Run) -> None:
    ran = shop("check")
    assert ran.code == 0
    assert ran.out.splitlines()[1].split()[-1] == "clean"
    assert shop("check", "shop", "--json").json["clean"] is True


def test_a_lost_index_is_rebuilt(shop: Run, own_folder: Path) -> None:
    shutil.rmtree(own_folder / "nearfield-data" / "engines")
    assert shop("check", "--json").json["clean"] is True
    assert shop("status", "--json").json["collections"][0]["rows"] == 4
