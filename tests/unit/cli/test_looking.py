"""Collections, status and check."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import chunk_key
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

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


async def _lose_one_row() -> None:
    """Take a row out of the index behind the store's back."""
    backend = await open_backend(load_settings())
    try:
        collection = await backend.catalog.get("shop")
        live = await backend.generations.live(collection)
        document = (await backend.store.by_id(collection, ["3"]))["3"]
        await live.index.delete(np.array([chunk_key(document.key, 0)], dtype=np.int64))
        await live.index.flush()
    finally:
        await backend.close()


def test_damage_is_found_and_mended(shop: Run) -> None:
    asyncio.run(_lose_one_row())
    found = shop("check", "--json")
    assert (found.code, found.json["clean"], found.json["checks"][0]["missing"]) == (1, False, 1)
    told = shop("check")
    assert told.code == 1
    assert told.out.splitlines()[1].split()[-1] == "damaged"
    assert "--repair" in told.out
    mended = shop("check", "--repair", "--json")
    assert mended.code == 0
    assert [(one["repaired"], one["missing"], one["clean"]) for one in mended.json["checks"]] == [
        (True, 1, False),
        (False, 0, True),
    ]
    assert shop("check").code == 0
