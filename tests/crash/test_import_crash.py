"""An import is killed with -9 at random moments and run again: it ends as one that was left alone, at no extra cost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests.crash.killed_commands import Commands, finish

from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.indexing.embedding import EMBED_SLICE
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 3_000
LONG = 40  # rows of several passages
KILLS = 3
CHILD = Path(__file__).with_name("import_child.py")
NOUNS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar", "blanket", "saddle", "telescope", "notebook"]
ADJECTIVES = ["red", "small", "heavy", "wooden", "quiet", "folding", "spare", "vintage", "bright", "waterproof"]


def bodies() -> Iterator[dict[str, Any]]:
    dice = random.Random(11)
    for n in range(ROWS):
        length = dice.randrange(600, 1_500) if n % (ROWS // LONG) == 7 else dice.randrange(3, 12)
        words = [dice.choice(NOUNS if at % 2 else ADJECTIVES) for at in range(length)]
        yield {"id": f"item-{n}", "text": f"number {n}: {' '.join(words)}", "price": dice.randrange(100)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE) for body in bodies()))
    return path


def commands(folder: Path, *, ms: float = 0) -> Commands:
    """Over the data directory of a folder; what they embed, in `ms` milliseconds a text, is on record there."""
    folder.mkdir(exist_ok=True)
    return Commands(folder, {"embedder": "hashing"}, (str(CHILD), str(folder / "embedded"), str(ms)))


def start_import(folder: Path, rows: Path, *, ms: float = 0) -> subprocess.Popen[bytes]:
    return commands(folder, ms=ms).start("import", str(rows), "--collection", "items", "--embed", "{text}")


def record(folder: Path) -> list[bytes]:
    path = folder / "embedded"
    return path.read_bytes().splitlines() if path.exists() else []


def kill_in_the_middle(folder: Path, rows: Path, after_s: float) -> None:
    """Start an import, and kill it so long after its first text was embedded or, by luck, before."""
    embedded = len(record(folder))
    child = start_import(folder, rows, ms=1)
    give_up = time.monotonic() + 60
    while len(record(folder)) == embedded and time.monotonic() < give_up:
        time.sleep(0.01)
    time.sleep(after_s)
    assert child.poll() is None, "the import had ended before it was killed"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


async def answers(folder: Path) -> list[list[tuple[str, float]]]:
    """20 queries, answered by comparing every vector, by words, and by both."""
    settings = load_settings(
        data_dir=folder / "data", models_dir=folder / "models", environment="test", embedder="hashing"
    )
    backend = await open_backend(settings)
    try:
        dice = random.Random(5)
        found = []
        for n in range(20):
            query = f"{dice.choice(ADJECTIVES)} {dice.choice(NOUNS)} number {dice.randrange(ROWS)}"
            mode = [Mode.SEMANTIC, Mode.LEXICAL, Mode.HYBRID][n % 3]
            answer = await backend.searches.search("items", Search(query=query, mode=mode, exact=mode != Mode.LEXICAL))
            found.append([(hit.id, hit.score) for hit in answer])
        return found
    finally:
        await backend.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_an_import_that_was_killed_ends_as_one_that_was_not(rows: Path, tmp_path: Path) -> None:
    left_alone, killed = tmp_path / "left alone", tmp_path / "killed"
    undisturbed = start_import(left_alone, rows)
    dice = random.Random()
    moments = [dice.uniform(0.0, 0.9) for _ in range(KILLS)]
    print("killed after", moments)  # shown when the test fails
    for moment in moments:
        kill_in_the_middle(killed, rows, moment)
    report = finish(start_import(killed, rows))
    assert finish(undisturbed)["new"] == ROWS

    assert (report["changed"], report["rejected"], report["new"] + report["unchanged"]) == (0, 0, ROWS)
    assert report["unchanged"] > 0  # the killed ones left something
    checks = [commands(folder).run("check", "items") for folder in (left_alone, killed)]
    assert checks[0] == checks[1]
    [check] = checks[0]["checks"]
    assert check["clean"]
    assert check["documents"] == ROWS < check["passages"] == check["rows"]

    once = record(left_alone)
    twice = record(killed)
    assert len(once) == len(set(once)) > ROWS
    assert set(once) == set(twice)
    assert len(twice) - len(once) <= KILLS * 3 * EMBED_SLICE
    assert await answers(left_alone) == await answers(killed)
