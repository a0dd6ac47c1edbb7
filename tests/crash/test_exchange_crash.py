"""What comes from another store, and what goes out as Parquet, is killed with -9 and run again: nothing is lost."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from pyarrow import parquet
from tests.crash.killed_commands import Commands

if TYPE_CHECKING:
    from pathlib import Path

faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")

ROWS = 12_000  # two row groups
DIMENSION = 32
KILLS = 3
NOUNS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar"]
SETTINGS = {"engine": "exact"}


def table(path: Path) -> dict[str, tuple[object, list[float]]]:
    """What a file holds: by id, the rest of the document and its vector."""
    held = parquet.read_table(path)
    vectors = np.stack(held["vector"].to_numpy()).tolist()
    others = held.drop_columns(["id", "vector"]).to_pylist()
    return dict(zip(held["id"].to_pylist(), zip(others, vectors, strict=True), strict=True))


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_imports_from_a_store_and_exports_end_as_undisturbed_ones(tmp_path: Path) -> None:
    vectors = np.random.default_rng(7).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "items.index"))
    bodies = ({"title": f"{NOUNS[n % 6]} number {n}", "price": n % 100} for n in range(ROWS))
    (tmp_path / "items.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in bodies))
    bring = ("import", f"faiss+file:{tmp_path / 'items.index'}?rows={tmp_path / 'items.jsonl'}", "-c", "items")
    dice = random.Random()

    undisturbed = Commands(tmp_path, SETTINGS)
    began = time.monotonic()
    assert undisturbed.run(*bring)["new"] == ROWS
    usual_s = time.monotonic() - began

    folder = tmp_path / "killed"
    folder.mkdir()
    disturbed = Commands(folder, SETTINGS)
    database = folder / "data" / "nearfield.db"
    moments = [dice.uniform(0, usual_s / 4) for _ in range(KILLS)]
    print("imports killed after", moments)  # shown when the test fails
    killed = [disturbed.kill(moment, *bring, begun=database.exists) for moment in moments]
    assert any(killed)
    report = disturbed.run(*bring)
    assert (report["changed"], report["rejected"], report["new"] + report["unchanged"]) == (0, 0, ROWS)
    [check] = disturbed.run("check", "items")["checks"]
    assert (check["clean"], check["documents"], check["rows"]) == (True, ROWS, ROWS)

    out = folder / "out.parquet"
    bring_out = ("export", "items", "--to", str(out))

    def half_written() -> bool:
        return any(folder.glob("out.parquet.*.partial"))

    undisturbed.run("export", "items", "--to", str(tmp_path / "whole.parquet"))
    whole = table(tmp_path / "whole.parquet")
    assert len(whole) == ROWS
    assert np.allclose(whole["77"][1], vectors[77])
    for older in (False, True):  # a file that is there already
        moments = [dice.uniform(0, 0.2) for _ in range(KILLS)]
        print("exports killed after", moments)
        killed = [disturbed.kill(moment, *bring_out, begun=half_written) for moment in moments]
        assert any(killed)
        assert not out.exists() or table(out) == whole, older
        assert disturbed.run(*bring_out)["documents"] == ROWS
        assert table(out) == whole
        assert [path.name for path in folder.glob("out.parquet*")] == ["out.parquet"]  # the halves are gone
