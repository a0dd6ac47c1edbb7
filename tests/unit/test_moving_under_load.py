"""The round of engines that benchmarks measure, in small: moved under load, it ends as if nothing had been."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from benchmarks.moving_round import Shop, go_round
from benchmarks.moving_servers import FAISS, LOCAL, Place

import nearfield

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("faiss", reason="faiss-cpu is not installed")
pytest.importorskip("chromadb", reason="chromadb is not installed")

ROWS = 2_000
WORDS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar", "blanket", "saddle", "red", "small", "heavy", "spare"]


@pytest.mark.heavy
def test_a_round_under_load_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_ENVIRONMENT", "test")
    monkeypatch.setenv("NEARFIELD_EMBEDDER", "hashing")
    dice = random.Random(5)
    documents = [
        {"id": str(n), "title": " ".join(dice.choices(WORDS, k=5)), "price": float(dice.randrange(100))}
        for n in range(ROWS)
    ]
    with nearfield.open(tmp_path / "source") as db:
        db.collection("listings", embed="{title}", fields={"price": float}).upsert(documents)
    queries = [" ".join(dice.choices(WORDS, k=3)) for _ in range(600)]
    shop = Shop(tmp_path / "source", documents, queries[50:], queries[:50])
    folder = tmp_path / "round"
    folder.mkdir()
    chroma = Place("`chroma`, in the process", {"engine": "chroma", "index": {"kind": "hnsw", "quantization": "none"}})
    made, compared = go_round(shop, folder, [FAISS, chroma, LOCAL], rate=20.0)
    assert [one.shown["engine"] for one in made] == ["local", "faiss", "chroma", "local", "local"]
    for one in made:
        assert one.tally.failed == []
        assert one.tally.failed_writes == []
        assert one.tally.took_ms
    assert all(one.report["passed"] for one in made if one.report is not None)
    assert compared.writes > 50
    assert (compared.lost, compared.differing, compared.clean) == (0, 0, True)
    assert compared.exact == compared.asked == 50
