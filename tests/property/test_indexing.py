"""Whatever is written in whatever order, and wherever indexing is stopped, the index ends equal to the truth."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.indexing.rig import Rig, spec, words

from nearfield.domain.errors import DocumentNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

IDS = st.sampled_from("abc")
SIZES = st.integers(1, 65)  # words: one to seven passages


@dataclass(frozen=True)
class Upsert:
    id: str
    size: int


@dataclass(frozen=True)
class Patch:
    id: str
    size: int


@dataclass(frozen=True)
class Delete:
    id: str


@dataclass(frozen=True)
class Pause:
    """Let the indexer run for so many turns of the event loop and so many milliseconds."""

    turns: int
    ms: int


@dataclass(frozen=True)
class Wait:
    """Until everything is applied."""


@dataclass(frozen=True)
class Stop:
    """As by kill -9: nothing more is applied or flushed; then open again."""


@dataclass(frozen=True)
class Close:
    """In good order; then open again."""


@dataclass(frozen=True)
class Rebuild:
    """Empty the index and fill it again."""


Step = Upsert | Patch | Delete | Pause | Wait | Stop | Close | Rebuild
STEPS = st.one_of(
    st.builds(Upsert, IDS, SIZES),
    st.builds(Upsert, IDS, SIZES),
    st.builds(Patch, IDS, SIZES),
    st.builds(Delete, IDS),
    st.builds(Pause, st.integers(0, 30), st.integers(0, 8)),
    st.builds(Wait),
    st.builds(Stop),
    st.builds(Stop),
    st.builds(Close),
    st.builds(Rebuild),
)


async def take(rig: Rig, step: Upsert | Patch | Delete, number: int, truth: dict[str, str]) -> None:
    match step:
        case Upsert(id, size):
            truth[id] = words(size, f"n{number}w")
            await rig.text(id, truth[id])
        case Patch(id, size):
            try:
                await rig.documents.patch("books", id, {"text": words(size, f"n{number}w")})
            except DocumentNotFound:
                assert id not in truth
            else:
                truth[id] = words(size, f"n{number}w")
        case Delete(id):
            receipt = await rig.documents.delete("books", [id])
            assert receipt.deleted == (truth.pop(id, None) is not None)


async def play(folder: Path, steps: Sequence[Step], *, index_batch: int) -> None:
    rig = await Rig.open(folder, index_batch=index_batch)
    await rig.catalog.create(spec())
    truth: dict[str, str] = {}
    embedded: list[str] = []
    for number, step in enumerate(steps):
        match step:
            case Upsert() | Patch() | Delete():
                await take(rig, step, number, truth)
            case Pause(turns, ms):
                for _ in range(turns):
                    await asyncio.sleep(0)
                await asyncio.sleep(ms / 1000)
            case Wait():
                await rig.documents.wait("books")
            case Rebuild():
                await rig.generations.rebuild(await rig.catalog.get("books"))
            case Stop() | Close():
                await (rig.abandon() if isinstance(step, Stop) else rig.close())
                embedded += rig.embedder.embedded
                rig = await Rig.open(folder, index_batch=index_batch)
                await rig.live()
    assert {document.id: document.body["text"] async for document in rig.documents.export("books")} == truth
    await rig.assert_true()
    await rig.close()
    embedded += rig.embedder.embedded
    rig = await Rig.open(folder)
    await rig.assert_true()
    await rig.close()
    assert rig.embedder.embedded == []
    if not any(isinstance(step, Stop | Close | Rebuild) for step in steps):
        assert len(embedded) == len(set(embedded))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
@given(st.lists(STEPS, min_size=3, max_size=25), st.sampled_from([1, 2, 3, 2048]))
@example([Upsert("a", 45), Wait(), Upsert("a", 5), Stop(), Upsert("a", 25), Stop()], 1)
@example([Upsert("a", 5), Wait(), Upsert("a", 65), Pause(5, 3), Stop(), Delete("a"), Upsert("a", 15)], 2)
@example([Upsert("a", 65), Close(), Delete("a"), Wait(), Rebuild(), Upsert("b", 1), Delete("b")], 2048)
def test_the_index_ends_equal_to_the_truth(steps: list[Step], index_batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps, index_batch=index_batch))
