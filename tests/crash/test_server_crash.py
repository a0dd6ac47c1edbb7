"""A serving process is killed with -9 while clients write: what it acknowledged is there after the restart, whole."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

WRITERS = 3
BATCH = 8
OLDER = 100  # documents of earlier rounds looked at again in each
NEARFIELD = [sys.executable, "-c", "import sys; from nearfield.cli.main import main; sys.exit(main())"]
SPEC = {"embed": "{title} {text}", "fields": {"version": "int"}, "engine": "local"}
COLLECTION = "/v1/collections/crash"
GONE = 0  # the version of a document that is not there


def document(id: str, version: int) -> dict[str, Any]:
    """What `id` looks like at a version; `check` tells a document made of two versions."""
    dice = random.Random(f"{id}/{version}")
    text = " ".join(f"w{dice.randrange(500)}" for _ in range(20))
    return {"id": id, "title": word(id), "text": text, "version": version, "check": check_of(text, version)}


def word(id: str) -> str:
    """One word that stands in this document alone."""
    return "u" + hashlib.sha256(id.encode()).hexdigest()[:12]


def check_of(text: str, version: int) -> str:
    return hashlib.sha256(f"{text}/{version}".encode()).hexdigest()


@dataclass
class Journal:
    """What one writer knows. It owns its ids and asks one thing at a time, so at a kill one request is undecided."""

    name: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    seq: int = 0
    count: int = 0


@contextmanager
def serving(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its URL; killed at the end if it still runs."""
    settings = {"NEARFIELD_ENVIRONMENT": "test", "NEARFIELD_EMBEDDER": "hashing", "NEARFIELD_LOG_LEVEL": "warning"}
    with (data.parent / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*NEARFIELD, "serve", "--port", "0", "--data", str(data), "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | settings,
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            first = process.stdout.readline()
            assert first, (data.parent / "server.log").read_text()
            yield process, json.loads(first)["url"]
        finally:
            process.kill()
            process.wait()


def write(url: str, journal: Journal, dice: random.Random) -> None:
    """Write until the server is gone."""
    with httpx2.Client(base_url=url, timeout=30) as client:
        while True:
            journal.count += 1
            try:
                journal.seq = max(journal.seq, one_write(client, journal, dice))
            except httpx2.TransportError:
                return
            for name, version in journal.undecided.items():
                journal.acknowledged[name] = version
                journal.touched.add(name)
            journal.undecided = {}


def one_write(client: httpx2.Client, journal: Journal, dice: random.Random) -> int:
    """Ask for one change, noting first what it would do. Returns the seq that acknowledges it."""
    alive = [name for name, version in journal.acknowledged.items() if version]
    kind = dice.choice(["new", "new", "replace", "stream", "patch", "delete"]) if alive else "new"
    if kind == "patch":
        chosen = dice.choice(alive)
        after = document(chosen, journal.acknowledged[chosen] + 1)
        journal.undecided = {chosen: after["version"]}
        return acknowledged(client.patch(f"{COLLECTION}/documents/{chosen}", json=after))
    if kind == "delete":
        ids = dice.sample(alive, min(3, len(alive)))
        journal.undecided = dict.fromkeys(ids, GONE)
        return acknowledged(client.post(f"{COLLECTION}/documents/delete", json={"ids": ids}))
    ids = dice.sample(alive, min(BATCH, len(alive)))
    if kind == "new":
        ids = [f"{journal.name}-{journal.count}-{n}" for n in range(BATCH)]
    sent = [document(each, journal.acknowledged.get(each, 0) + 1) for each in ids]
    journal.undecided = {each["id"]: each["version"] for each in sent}
    if kind != "stream":
        return acknowledged(client.post(f"{COLLECTION}/documents", json=sent))
    lines = "\n".join(map(json.dumps, sent))
    headers = {"content-type": "application/x-ndjson"}
    return acknowledged(client.post(f"{COLLECTION}/documents", content=lines, headers=headers))


def acknowledged(answer: httpx2.Response) -> int:
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert not told.get("rejected")
    seq: int = told["seq"]
    return seq


def write_and_kill(server: subprocess.Popen[str], url: str, journals: list[Journal], dice: random.Random) -> None:
    writers = [
        threading.Thread(target=write, args=(url, each, random.Random(dice.random())), daemon=True) for each in journals
    ]
    for writer in writers:
        writer.start()
    time.sleep(dice.uniform(0.05, 1.5))
    server.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()


def check_truth(client: httpx2.Client, journal: Journal, dice: random.Random, *, everything: bool) -> None:
    """Every acknowledged document is there as it was, and the undecided request happened whole or not at all.

    Looked at: what was written since the last look and a sample of what is older, or everything.
    """
    outcomes = set()
    known = sorted(journal.acknowledged)
    older = known if everything else dice.sample(known, min(OLDER, len(known)))
    for name in journal.touched.union(older, journal.undecided):
        answer = client.get(f"{COLLECTION}/documents/{name}")
        version = GONE if answer.status_code == 404 else answer.json()["document"]["version"]
        if version:
            assert answer.json()["document"] == document(name, version)
        before = journal.acknowledged.get(name, GONE)
        after = journal.undecided.get(name, before)
        assert version in (before, after), f"{name}: acknowledged {before}, undecided {after}, found {version}"
        if before != after:
            outcomes.add(version == after)
            journal.acknowledged[name] = version
    assert len(outcomes) < 2, "a request that was cut off was carried out in part"
    journal.undecided = {}
    journal.touched.clear()


def check_index(client: httpx2.Client, journal: Journal, dice: random.Random, searches: int, seq: int) -> None:
    """What is there is found by its own word, at its version; what is gone is not."""
    known = sorted(journal.acknowledged)
    for name in dice.sample(known, min(searches, len(known))):
        answer = client.post(
            f"{COLLECTION}/search", json={"query": word(name), "mode": "lexical", "limit": 3, "min_seq": seq}
        )
        assert answer.status_code == 200, answer.text
        found = [(hit["id"], hit["document"]["version"]) for hit in answer.json()["hits"]]
        version = journal.acknowledged[name]
        assert found == ([(name, version)] if version else []), f"{name}: {version} was expected, {found} found"


def check(url: str, journals: list[Journal], dice: random.Random, searches: int, *, everything: bool = False) -> None:
    with httpx2.Client(base_url=url, timeout=60) as client:
        assert client.put(COLLECTION, json=SPEC).is_success
        status = client.get(COLLECTION).json()["status"]
        assert status["seq"] >= max(each.seq for each in journals)
        for each in journals:
            check_truth(client, each, dice, everything=everything)
            check_index(client, each, dice, searches, status["seq"])
        alive = sum(1 for each in journals for version in each.acknowledged.values() if version)
        assert status["documents"] == alive


def crash(data: Path, rounds: int, seed: int, searches: int) -> None:
    dice = random.Random(seed)
    journals = [Journal(f"w{n}") for n in range(WRITERS)]
    for _ in range(rounds):
        with serving(data) as (server, url):
            check(url, journals, dice, searches)
            write_and_kill(server, url, journals, dice)
    with serving(data) as (_, url):
        check(url, journals, dice, searches, everything=True)
    assert sum(len(each.acknowledged) for each in journals) > rounds * BATCH
    compared = subprocess.run(
        [*NEARFIELD, "check", "crash", "--data", str(data), "--json"],
        env=os.environ | {"NEARFIELD_ENVIRONMENT": "test", "NEARFIELD_EMBEDDER": "hashing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    crash(tmp_path / "data", rounds=6, seed=20_260_101, searches=25)


@pytest.mark.heavy
def test_what_was_acknowledged_survives_kill_9_fifty_times(tmp_path: Path) -> None:
    crash(tmp_path / "data", rounds=50, seed=20_260_102, searches=50)


def test_told_to_stop_it_finishes_what_it_accepted(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as (process, url), httpx2.Client(base_url=url, timeout=60) as client:
        assert client.put(COLLECTION, json=SPEC).is_success
        stopping = threading.Event()

        def lines() -> Iterator[bytes]:
            yield json.dumps(document("first", 1)).encode() + b"\n"
            process.send_signal(signal.SIGTERM)
            stopping.set()
            time.sleep(0.5)
            yield json.dumps(document("second", 1)).encode() + b"\n"

        answer = client.post(
            f"{COLLECTION}/documents", content=lines(), headers={"content-type": "application/x-ndjson"}
        )
        assert stopping.is_set()
        assert answer.json()["accepted"] == 2
        assert process.wait(30) == 0
    with serving(tmp_path / "data") as (_, url), httpx2.Client(base_url=url, timeout=60) as client:
        assert client.get(f"{COLLECTION}/documents/second").json()["document"] == document("second", 1)


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        second = subprocess.run(
            [*NEARFIELD, "serve", "--port", "0", "--data", str(tmp_path / "data")],
            env=os.environ | {"NEARFIELD_ENVIRONMENT": "test", "NEARFIELD_EMBEDDER": "hashing"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == 1
    assert "in use" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_address_outside_loopback_is_refused_without_a_key(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*NEARFIELD, "serve", "--host", "0.0.0.0", "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "NEARFIELD_API_KEYS" in refused.stderr
    assert "Traceback" not in refused.stderr
