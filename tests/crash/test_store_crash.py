"""A writing process is killed with -9, again and again on the same database: what it acknowledged is there, whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.crash.store_child import BATCH, documents

from nearfield.domain.documents import ChangeKind
from nearfield.store.sqlite import SqliteStore

KILLS = 10
CHILD = Path(__file__).with_name("store_child.py")


def run_and_kill(database: Path, first: int, after_s: float) -> list[tuple[str, int, int]]:
    """What the child acknowledged before it was killed, `after_s` seconds after its first word."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(database), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "ready 0 0\n"
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
    assert child.wait() == -signal.SIGKILL
    whole = said[: said.rfind("\n") + 1]  # the kill may cut its last line
    return [(what, int(batch), int(seq)) for what, batch, seq in map(str.split, whole.splitlines())]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    dice = random.Random(20_240_607)
    database = tmp_path / "store.db"
    acknowledged: dict[int, str] = {}
    first = highest = 0
    for _ in range(KILLS):
        said = run_and_kill(database, first, dice.uniform(0.0, 0.4))
        acknowledged.update({batch: what for what, batch, _ in said})
        highest = max([highest, *(seq for _, _, seq in said)])
        first = max([first, *acknowledged]) + 100  # batches begun and not acknowledged are left as they are

        with sqlite3.connect(database) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        raw.close()
        store = await SqliteStore.open(database)
        await check(store, acknowledged, highest)
        await store.close()
    assert len(acknowledged) > KILLS


async def check(store: SqliteStore, acknowledged: dict[int, str], highest: int) -> None:
    books = await store.collection("books")
    held: dict[int, list[int]] = {}
    keys: dict[int, int] = {}
    after = 0
    while page := await store.scan(books, after_key=after):
        after = page[-1].key
        for one in page:
            batch, version = int(one.id.split("-")[0]), one.body["version"]
            expected = next(given for given in documents(batch, version) if given.id == one.id)
            assert one.body == expected.body
            assert one.content_hash == expected.content_hash
            held.setdefault(batch, []).append(version)
            keys[one.key] = one.seq
    for batch, versions in held.items():
        assert len(versions) == BATCH, f"batch {batch} is there in part"
        assert len(set(versions)) == 1, f"batch {batch} was replaced in part"
    allowed = {"new": ([1], [2]), "changed": ([2], []), "deleted": ([],)}
    for batch, what in acknowledged.items():
        there = sorted(set(held.get(batch, [])))
        assert there in allowed[what], f"batch {batch} was acknowledged as {what}, the store holds versions {there}"
        assert there or batch % 5 == 0, f"batch {batch} is lost"

    changes = await store.changes(books, after=0, limit=1_000_000)
    seqs = [change.seq for change in changes]
    assert seqs == list(range(1, len(seqs) + 1))  # no number was lost or given twice, by no process
    assert await store.last_seq(books) == (seqs[-1] if seqs else 0) >= highest
    last = {change.document_key: change for change in changes}
    assert {key: change.seq for key, change in last.items() if change.kind is ChangeKind.UPSERT} == keys
    assert await store.count(books) == len(keys)
