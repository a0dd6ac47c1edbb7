"""Whole moves over real parts, with what a verification finds and refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nearfield.domain.collections import GenerationState
from nearfield.domain.documents import chunk_key
from nearfield.domain.errors import GenerationNotFound, GenerationNotReady, InvalidRequest
from nearfield.domain.judgments import Judgment
from nearfield.domain.moves import Gates
from nearfield.domain.queries import Search
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.wiring import Backend

NAME = "things"
NOUNS = ["lamp", "kettle", "jacket", "camera", "drill", "guitar", "blanket"]


def rows(count: int, **more: Any) -> list[SourceRow | Any]:
    return [
        SourceRow(
            n + 1,
            {"id": f"t{n}", "name": f"{NOUNS[n % 7]} {n % 31} {n}", "price": n % 50, "kind": NOUNS[n % 7]}
            | {key: made(n) for key, made in more.items()},
        )
        for n in range(count)
    ]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    opened = await open_backend(
        load_settings(
            data_dir=tmp_path / "data",
            environment="test",
            embedder="hashing",
            engine="exact",
            build_share=1,
            search_timeout_s=30,
        )
    )
    body: dict[str, Any] = {"embed": "{name}", "fields": {"price": "int", "kind": "keyword"}}
    await opened.catalog.create(spec_from_json(NAME, opened.with_defaults(body)))
    await opened.documents.upsert(NAME, rows(600))
    await opened.documents.wait(NAME)
    yield opened
    await opened.close()


async def test_a_move_is_verified_and_then_switched(backend: Backend) -> None:
    told: set[str] = set()
    await backend.quality.judge(NAME, [Judgment("guitar 5", "t5", 2), Judgment("lamp 7", "t7", 1)])
    moved = await backend.moving.move(NAME, {"engine": "local"}, on_progress=lambda what, done, total: told.add(what))
    found = moved.verification
    assert found is not None
    assert (moved.switched, moved.generation, found.passed) == (True, 2, True), found.gates
    assert told == {"indexed", "checked", "searched"}
    assert found.sources == {"judged": 2, "documents": 498}
    assert found.filtered == 250
    assert found.check.clean
    assert (found.short, found.strays, found.changed) == (0, 0, 0)
    assert found.old is not None
    assert (found.old.recall, found.old.generation, found.new.generation) == (1.0, 1, 2)
    assert found.new.recall > 0.99
    assert len(found.new.took_ms) == len(found.old.took_ms) == 500
    assert found.overlap > 0.9
    assert found.new.ndcg is not None
    assert {gate.name for gate in found.gates} >= {
        "keys",
        "vectors",
        "searches",
        "recall@10",
        "filters",
        "hits",
        "ndcg@10",
    }
    report = await backend.moves.report(NAME, 2)
    assert report is not None
    assert report["passed"]
    again = await backend.moving.move(NAME, {"engine": "local"})
    assert again.already
    assert again.verification is None


async def test_another_model_is_held_against_its_own_truth(backend: Backend) -> None:
    body: dict[str, Any] = {"embed": "{name}", "embedder": "vectors:4", "fields": {"price": "int"}}
    await backend.catalog.create(spec_from_json("own", backend.with_defaults(body)))
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((200, 4)).tolist()
    await backend.documents.upsert("own", rows(200, vector=vectors.__getitem__))
    moved = await backend.moving.move("own", {"engine": "local", "index": {"metric": "euclidean"}})
    assert moved.switched
    assert moved.verification is not None
    assert moved.verification.sources == {"documents": 200}
    assert moved.verification.new.recall == pytest.approx(1.0, abs=0.01)


async def test_an_index_that_lost_rows_does_not_go_live(backend: Backend) -> None:
    made = await backend.moves.begin(NAME, {"engine": "local"})
    await backend.moves.caught_up(NAME, made.number)
    broken = await backend.moves.opened(NAME, made.number)
    lost = np.array([chunk_key(key, 0) for key in range(1, 200)], dtype=np.int64)
    await broken.index.delete(lost)
    moved = await backend.moving.move(NAME, {"engine": "local"})
    assert moved.verification is not None
    assert not moved.switched
    held = {gate.name: gate.held for gate in moved.verification.gates}
    assert not held["keys"]
    assert not held["recall@10"]
    assert held["filters"]
    with pytest.raises(GenerationNotReady):
        await backend.moves.switch(NAME, made.number)
    assert (await backend.generations.live(await backend.catalog.get(NAME))).generation.number == 1


async def test_a_verification_alone_leaves_the_choice_open(backend: Backend) -> None:
    moved = await backend.moving.move(NAME, {"engine": "local"}, switch=False)
    assert not moved.switched
    [_, second] = await backend.moves.generations(NAME)
    assert (second.generation.state, second.verified) == (GenerationState.READY, True)
    refused = await backend.moving.move(NAME, {}, gates=Gates(max_p95_ms=0.0))
    assert not refused.switched
    assert refused.verification is not None
    assert [gate.name for gate in refused.verification.gates if not gate.held] == ["p95"]
    assert (await backend.moving.move(NAME, {})).switched


async def test_a_collection_written_after_others_is_asked_as_much(backend: Backend) -> None:
    body: dict[str, Any] = {"embed": "{name}", "fields": {"price": "int", "kind": "keyword"}}
    await backend.catalog.create(spec_from_json("later", backend.with_defaults(body)))
    await backend.documents.upsert("later", rows(600))
    found = (await backend.moving.move("later", {"engine": "local"})).verification
    assert found is not None
    assert found.sources == {"documents": 500}


async def test_what_is_written_while_it_is_verified_does_not_count_as_lost(backend: Backend) -> None:
    writing: list[asyncio.Task[Any]] = []

    def write(what: str, done: int, total: int) -> None:
        if what == "searched" and not writing:
            changed = [SourceRow(one.line, {**one.body, "name": f"{one.body['name']} sold"}) for one in rows(450)]
            writing.append(asyncio.create_task(backend.documents.upsert(NAME, changed)))

    made = await backend.moves.begin(NAME, {"engine": "local"})
    await backend.moves.caught_up(NAME, made.number)
    found = await backend.moving.verify(NAME, made.number, questions=200, on_progress=write)
    await asyncio.gather(*writing)
    assert found.old is not None
    assert found.changed > 100
    assert found.new.recall > 0.99
    assert found.old.recall > 0.99
    assert found.passed, found.gates


async def test_a_shadow_is_of_one_beside_the_live_one_and_ends_when_it_goes_live(backend: Backend) -> None:
    async def asked(count: int) -> None:
        async with asyncio.timeout(30):
            while (counts := await backend.moving.shadowed(NAME, 2)) is None or counts.answered < count:
                await asyncio.sleep(0.01)

    with pytest.raises(GenerationNotFound, match="begin a move"):
        await backend.moving.beside(NAME)
    with pytest.raises(InvalidRequest, match="the live one"):
        await backend.moving.shadow(NAME, 1, 1.0)
    await backend.moving.move(NAME, {"engine": "local"}, switch=False)
    assert await backend.moving.beside(NAME) == 2
    assert await backend.moving.shadow(NAME, 2, 1.0) is None
    await backend.searches.search(NAME, Search(query="guitar 5"))
    await asked(1)
    await backend.moves.switch(NAME, 2)
    assert await backend.moving.beside(NAME) == 1  # kept for a rollback
    await backend.searches.search(NAME, Search(query="guitar 6"))
    counts = await backend.moving.shadowed(NAME, 2)
    assert counts is not None
    assert (counts.asked, counts.share) == (1, 0.0)
    await backend.moving.shadow(NAME, 1, 1.0)
    await backend.moves.drop(NAME, 1)
    await backend.searches.search(NAME, Search(query="guitar 7"))
    with pytest.raises(GenerationNotFound):
        await backend.moving.shadow(NAME, 1, 0.0)
