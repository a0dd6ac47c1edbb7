"""Export and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run


def test_an_export_imports_to_the_same_documents(shop: Run, own_folder: Path) -> None:
    ran = shop("export", "shop")
    bodies = [orjson.loads(line) for line in ran.out.splitlines()]
    assert [body["id"] for body in bodies] == ["1", "2", "3", "4"]
    assert bodies[0]["price"] == 50.0
    assert shop("export", "shop", "--json").out == ran.out
    (own_folder / "copy.jsonl").write_text(ran.out, encoding="utf-8")
    assert shop("import", "copy.jsonl", "-c", "shop", "--json").json["unchanged"] == 4


def test_brought_vectors_are_exported(nearfield: Run) -> None:
    line = b'{"id":"a","title":"x","vector":[0.6,0.8]}\n'
    ran = nearfield("import", "-", "-c", "points", "--embedder", "vectors:2", "--embed", "{title}", stdin=line)
    assert ran.code == 0, ran.err
    (body,) = [orjson.loads(line) for line in nearfield("export", "points").out.splitlines()]
    assert (body["id"], [round(part, 6) for part in body["vector"]]) == ("a", [0.6, 0.8])


def test_some_documents_are_deleted(shop: Run) -> None:
    assert shop("delete", "shop", "--where", "price < 40", "--json").json == {
        "collection": "shop",
        "deleted": 2,
        "dropped": False,
    }
    assert shop("delete", "shop", "--where", "price < 40").out == "deleted 0 documents\n"
    hits = shop("search", "shop", "lamp", "--json").json["hits"]
    assert {hit["id"] for hit in hits} == {"1", "3"}


def test_a_collection_is_deleted_once_confirmed(shop: Run) -> None:
    refused = shop("delete", "shop", stdin=b"n\n")
    assert refused.code == 1
    assert "with its 4 documents?" in refused.err
    assert shop("delete", "shop").code == 1, "no answer is no"
    assert shop("status", "shop").code == 0
    agreed = shop("delete", "shop", stdin=b"y\n")
    assert agreed.code == 0
    assert "deleted collection shop with its 4 documents" in agreed.out
    assert shop("status", "shop").code == 1


def test_yes_asks_nothing(shop: Run) -> None:
    assert shop("delete", "shop", "--yes", "--json").json == {"collection": "shop", "deleted": 4, "dropped": True}
