"""What comes from another store, and what goes out as Parquet, is killed with -9 and run again: nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Callable

faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")

ROWS = 12_000  # two row groups
DIMENSION = 32
KILLS = 3
NOUNS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        "NEARFIELD_ENVIRONMENT": "test",
        "NEARFIELD_ENGINE": "exact",
        "NEARFIELD_MODELS_DIR": str(folder / "models"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    program = "import sys; from nearfield.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *arguments, "--data", str(folder / "data"), "--json"]
    return subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE)


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    child = start(folder, *arguments)
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    answer: dict[str, Any] = orjson.loads(out)
    return answer


def kill(folder: Path, begun: Callable[[], bool], after_s: float, *arguments: str) -> bool:
    """Start a command and kill it so long after it has begun to write; whether it had not ended by then."""
    child = start(folder, *arguments)
    give_up = time.monotonic() + 120
    while not begun() and child.poll() is None and time.monotonic() < give_up:
        time.sleep(0.001)
    try:
        child.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    child.communicate()
    return child.returncode == -signal.SIGKILL


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

    began = time.monotonic()
    assert run(tmp_path, *bring)["new"] == ROWS
    usual_s = time.monotonic() - began

    folder = tmp_path / "killed"
    folder.mkdir()
    database = folder / "data" / "nearfield.db"
    moments = [dice.uniform(0, usual_s / 4) for _ in range(KILLS)]
    print("imports killed after", moments)  # shown when the test fails
    killed = [kill(folder, database.exists, moment, *bring) for moment in moments]
    assert any(killed)
    report = run(folder, *bring)
    assert (report["changed"], report["rejected"], report["new"] + report["unchanged"]) == (0, 0, ROWS)
    [check] = run(folder, "check", "items")["checks"]
    assert (check["clean"], check["documents"], check["rows"]) == (True, ROWS, ROWS)

    out = folder / "out.parquet"

    def half_written() -> bool:
        return any(folder.glob("out.parquet.*.partial"))

    run(tmp_path, "export", "items", "--to", str(tmp_path / "whole.parquet"))
    whole = table(tmp_path / "whole.parquet")
    assert len(whole) == ROWS
    assert np.allclose(whole["77"][1], vectors[77])
    for older in (False, True):  # a file that is there already
        moments = [dice.uniform(0, 0.2) for _ in range(KILLS)]
        print("exports killed after", moments)
        killed = [kill(folder, half_written, moment, "export", "items", "--to", str(out)) for moment in moments]
        assert any(killed)
        assert not out.exists() or table(out) == whole, older
        assert run(folder, "export", "items", "--to", str(out))["documents"] == ROWS
        assert table(out) == whole
        assert [path.name for path in folder.glob("out.parquet*")] == ["out.parquet"]  # the halves are gone
