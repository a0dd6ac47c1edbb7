from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run

FILES = ("--queries", "q.jsonl", "--qrels", "qrels.tsv")


@pytest.fixture
def judged(own_folder: Path) -> None:
    queries = [json.dumps({"id": str(n), "text": "kettle" if n % 2 else "desk lamp"}) for n in range(24)]
    (own_folder / "q.jsonl").write_text("\n".join(queries) + "\n")
    (own_folder / "qrels.tsv").write_text("".join(f"{n}\t{4 if n % 2 else 2}\t1\n" for n in range(24)))


@pytest.mark.usefixtures("judged")
def test_a_fusion_is_learned_and_taken_only_where_it_is_better(shop: Run) -> None:
    ran = shop("tune", "shop", "--for", "relevance", *FILES, "--apply", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["queries"] == 24
    assert ran.json["current"] == {"method": "auto", "weight": None}
    assert ran.json["applied"] == ran.json["worth_it"]
    means = [one["mean"] for one in ran.json["tried"]]
    assert means == sorted(means, reverse=True)
    assert "judged queries" in shop("tune", "shop", *FILES).out


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--for", "speed"), "expected relevance"),
        (("--queries", "q.jsonl"), "both --queries and --qrels"),
        ((), "at least 20"),
    ],
)
def test_what_cannot_be_tuned_is_told(shop: Run, flags: tuple[str, ...], told: str) -> None:
    ran = shop("tune", "shop", *flags)
    assert ran.code != 0
    assert told in ran.err
