"""A move is killed with -9 at random moments and run again: what is live always answers, and the move finishes."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from tests.crash.killed_commands import Commands

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 2_500
NOUNS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar", "blanket", "saddle", "telescope", "notebook"]


class Box:
    """A collection of ROWS documents, and the commands over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands = Commands(folder, {"embedder": "hashing", "engine": "exact"})
        rows = folder / "rows.jsonl"
        dice = random.Random(3)
        rows.write_bytes(
            b"".join(
                orjson.dumps(
                    {"id": f"i{n}", "text": f"{dice.choice(NOUNS)} number {n}", "price": dice.randrange(100)},
                    option=orjson.OPT_APPEND_NEWLINE,
                )
                for n in range(ROWS)
            )
        )
        assert self.commands.run("import", str(rows), "--collection", "items", "--embed", "{text}")["new"] == ROWS

    def assert_well(self) -> str:
        """What is live answers and holds exactly what it must; its engine."""
        found = self.commands.run("search", "items", "telescope number 77", "--limit", "5")
        assert len(found["hits"]) == 5
        [check] = self.commands.run("check", "items")["checks"]
        assert check["clean"], check
        assert check["documents"] == ROWS
        engine: str = found["plan"]["engine"]
        return engine


def killed_often(box: Box, kills: int) -> int:
    """Moves to and fro, each killed until it ends by itself within its time; how many were killed."""
    dice = random.Random()
    began = time.monotonic()
    box.commands.run("move", "items", "--engine", "local", "--plan")
    usual = time.monotonic() - began
    aims = [("local", "--engine", "local"), ("exact", "--engine", "exact")]
    killed = turn = 0
    while killed < kills:
        aim, *wish = aims[turn % 2]
        moment = dice.uniform(0.3, 3.0) * usual
        print(f"to {aim}, killed after {moment:.2f} s")  # shown when the test fails
        if box.commands.kill(moment, "move", "items", *wish, "--yes"):
            killed += 1
            assert box.assert_well() in ("local", "exact")
        else:
            assert box.assert_well() == aim
            turn += 1
    aim, *wish = aims[turn % 2]
    box.commands.run("move", "items", *wish, "--yes")
    assert box.assert_well() == aim
    states = [one["state"] for one in box.commands.run("generations", "items", "--drop")["generations"]]
    assert states == ["live"]
    folders = [path.name for engine in ("local", "exact") for path in (box.folder / "data/engines" / engine).iterdir()]
    assert len(folders) == 1, folders
    return killed


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_move_that_was_killed_resumes_and_finishes(tmp_path: Path) -> None:
    assert killed_often(Box(tmp_path), 2) == 2


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_move_killed_at_thirty_moments_resumes_and_finishes(tmp_path: Path) -> None:
    assert killed_often(Box(tmp_path), 30) == 30
