from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.unit.indexing.rig import Rig, WatchedEmbedder, numbered, spec, until, words

from nearfield.domain.errors import (
    CollectionNotFound,
    EngineUnavailable,
    IndexLagging,
    InvalidSetting,
    ShuttingDown,
    UnsupportedByEngine,
)
from nearfield.domain.schema import IndexKind, IndexSettings, Quantization, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.domain.collections import Collection


async def filled(folder: Path, engine: str) -> None:
    """A closed data folder with 30 documents of one passage and one of four."""
    rig = await Rig.open(folder)
    await rig.catalog.create(spec(engine=engine))
    await rig.put(*numbered(30), {"id": "long", "text": words(40)})
    await rig.text("0", "changed")
    await rig.documents.delete("books", ["1"])
    await rig.documents.wait("books")
    await rig.close()


async def assert_rebuilt(folder: Path, engine: str) -> None:
    rig = await Rig.open(folder)
    await rig.assert_true()
    assert rig.engines[engine].created == 1
    assert rig.embedder.embedded == []  # every vector came from the cache
    await rig.close()
    rig = await Rig.open(folder)
    await rig.assert_true()
    assert rig.engines[engine].created == 0
    await rig.close()


@pytest.mark.parametrize("engine", ["exact", "local"])
async def test_an_index_that_is_gone_is_built_again_without_embedding(tmp_path: Path, engine: str) -> None:
    await filled(tmp_path, engine)
    shutil.rmtree(tmp_path / "engines")
    await assert_rebuilt(tmp_path, engine)


def cut_spec(folder: Path) -> None:
    (folder / "spec.json").write_bytes(b'{"layout": 1, "na')


def other_spec(folder: Path) -> None:
    path = folder / "spec.json"
    path.write_text(path.read_text().replace('"dimension": 32', '"dimension": 64'))


def no_spec(folder: Path) -> None:
    (folder / "spec.json").unlink()


def garbage_list(folder: Path) -> None:
    for path in (*folder.glob("segments.json"), *folder.glob("flushed.*/manifest*")):
        path.write_bytes(b"\x00garbage" * 7)


def truncated(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "spec.json"]
    for path in files:
        path.write_bytes(b"")


@pytest.mark.parametrize("engine", ["exact", "local"])
@pytest.mark.parametrize("damage", [cut_spec, other_spec, no_spec, garbage_list, truncated])
async def test_a_damaged_index_is_built_again(tmp_path: Path, engine: str, damage: Callable[[Path], None]) -> None:
    await filled(tmp_path, engine)
    damage(tmp_path / "engines" / engine / "c1_g1")
    await assert_rebuilt(tmp_path, engine)


async def test_an_index_built_again_and_stopped_is_built_again(tmp_path: Path) -> None:
    """The old watermark must not speak for the new files."""
    await filled(tmp_path, "exact")
    shutil.rmtree(tmp_path / "engines")
    rig = await Rig.open(tmp_path)
    rig.exact.failing["upsert"] = EngineUnavailable("stopped before anything was written")
    live = await rig.live()
    assert live.applied_seq == 0
    await rig.abandon()
    await assert_rebuilt(tmp_path, "exact")


async def test_an_engine_that_does_not_answer_is_not_taken_for_a_damaged_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)

    async def busy(_: object) -> None:
        raise EngineUnavailable("another process has it open")

    monkeypatch.setattr(rig.exact, "open", busy)
    with pytest.raises(EngineUnavailable):
        await rig.live()
    monkeypatch.undo()
    await rig.assert_true()
    assert rig.exact.created == 0
    await rig.close()


async def test_a_rebuild_replaces_what_was_there(rig: Rig) -> None:
    await rig.put(*numbered(30), {"id": "long", "text": words(40)})
    await rig.documents.wait("books")
    before = await rig.live()
    rebuilt = await rig.generations.rebuild(before.collection)
    assert await rig.live() is rebuilt
    assert rebuilt.generation.number == before.generation.number
    await rig.assert_true()
    with pytest.raises(EngineUnavailable):
        await before.index.count()


async def test_another_embedder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(tmp_path, "exact")
    monkeypatch.setattr(WatchedEmbedder, "fingerprint", "hashing-2")
    rig = await Rig.open(tmp_path)
    with pytest.raises(
        InvalidSetting, match=r"was indexed with hashing-1-32-12 and the embedder is now hashing-2"
    ) as told:
        await rig.live()
    assert told.value.field == "embedder"
    status = await rig.catalog.status("books")
    assert status.documents == 30
    assert status.indexing_error is not None
    assert status.generation is None
    assert status.pending == 33  # nothing answers, so that nothing is taken for applied
    monkeypatch.undo()
    await rig.assert_true()
    await rig.close()


async def test_one_index_is_opened_however_many_ask(tmp_path: Path) -> None:
    await filled(tmp_path, "local")
    rig = await Rig.open(tmp_path)
    collection = await rig.catalog.get("books")
    assert rig.generations.opened(collection) is None
    opened = await asyncio.gather(*(rig.generations.live(collection) for _ in range(10)))
    assert len({id(each) for each in opened}) == 1
    assert rig.generations.opened(collection) is opened[0]
    await rig.close()


async def test_closing_is_final_and_may_be_repeated(rig: Rig) -> None:
    collection = await rig.catalog.get("books")
    await rig.generations.close()
    await rig.generations.close()
    with pytest.raises(ShuttingDown):
        await rig.generations.live(collection)


async def test_an_index_that_is_being_opened_is_closed_too(tmp_path: Path) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)
    collection = await rig.catalog.get("books")
    opening = asyncio.create_task(rig.generations.live(collection))
    await asyncio.sleep(0)
    await rig.generations.close()
    live = await opening
    with pytest.raises(EngineUnavailable):
        await live.index.count()
    assert "indexer c1_g1" not in {task.get_name() for task in asyncio.all_tasks()}
    await rig.close()


# -- the catalog -------------------------------------------------------------------------------------------------------
async def test_a_collection_is_made_once(rig: Rig) -> None:
    again = await rig.catalog.create(spec())
    assert again == await rig.catalog.get("books")
    assert rig.exact.created == 1
    assert await rig.catalog.exists("books")
    assert not await rig.catalog.exists("other")
    await rig.catalog.create(spec("a"))
    assert [each.name for each in await rig.catalog.list()] == ["a", "books"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (IndexSettings(quantization=Quantization.RABITQ), "index.quantization"),
        (IndexSettings(ef_search=4096), "index.ef_search"),
        (IndexSettings(kind=IndexKind.IVF, quantization=Quantization.PRODUCT), "index.quantization"),
    ],
)
async def test_what_no_engine_holds_leaves_no_collection(rig: Rig, settings: IndexSettings, field: str) -> None:
    with pytest.raises(UnsupportedByEngine) as told:
        await rig.catalog.create(spec("other", engine="local", index=settings))
    assert told.value.field == field
    assert not await rig.catalog.exists("other")
    await rig.catalog.create(spec("other"))  # its name is free


async def test_a_collection_that_exists_is_not_lost_when_it_cannot_be_opened(tmp_path: Path) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)
    open_ = rig.exact.open

    async def busy(_: object) -> None:
        raise EngineUnavailable("another process has it open")

    rig.exact.open = busy  # type: ignore[method-assign, assignment]
    with pytest.raises(EngineUnavailable):
        await rig.catalog.create(spec())
    rig.exact.open = open_  # type: ignore[method-assign]
    assert (await rig.catalog.create(spec())).name == "books"
    await rig.assert_true()
    await rig.close()


async def test_a_dropped_collection_is_gone_with_its_files(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    for name, engine in (("books", "exact"), ("others", "local")):
        await rig.catalog.create(spec(name, engine=engine))
        await rig.put(*numbered(10), name=name)
        await rig.documents.wait(name)
        await rig.catalog.drop(name)
        with pytest.raises(CollectionNotFound):
            await rig.catalog.get(name)
        with pytest.raises(CollectionNotFound):
            await rig.catalog.drop(name)
        assert list((tmp_path / "engines" / engine).iterdir()) == []
    await rig.catalog.create(spec())
    assert await rig.held() == []
    await rig.text("0", "document number 0")
    await rig.assert_true()
    assert len(rig.embedder.embedded) == 10  # the cache outlives collections
    await rig.close()


async def test_a_drop_meets_readers_and_writers(tmp_path: Path) -> None:
    """Whoever is at work in a collection that is dropped is told, brings nothing back, and its name is free again."""
    rig = await Rig.open(tmp_path)
    ended = False

    async def work(kind: int) -> None:
        while not ended:
            try:
                if kind == 0:
                    await rig.text("a", "t")
                elif kind == 1:
                    await rig.documents.pending("books")
                else:
                    await rig.generations.live(await rig.catalog.get("books"))
            except (CollectionNotFound, EngineUnavailable, IndexLagging):
                pass
            await asyncio.sleep(0)

    working = [asyncio.create_task(work(kind)) for kind in range(3)]
    for turn in range(15):
        await rig.catalog.create(spec())
        await rig.text(str(turn), "t")
        await rig.catalog.drop("books")
        assert [path.name for path in (tmp_path / "engines" / "exact").iterdir()] == []
    ended = True
    await asyncio.gather(*working)
    await rig.catalog.create(spec())
    await rig.text("last", "t")
    await rig.assert_true()
    await rig.close()


async def test_status_tells_how_a_collection_is(rig: Rig) -> None:
    await rig.put(*numbered(5), {"id": "long", "text": words(40)})
    await rig.documents.wait("books")
    status = await rig.catalog.status("books")
    assert (status.documents, status.seq, status.pending, status.rows, status.unindexed) == (6, 6, 0, 9, 0)
    assert status.generation is not None
    assert status.generation.applied_seq == 6
    assert status.indexing_error is None


async def test_a_look_at_a_collection_that_is_dropped_meanwhile_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)
    dropped = asyncio.Event()
    read = rig.store.collection

    async def slow(name: str) -> Collection:
        found = await read(name)
        await dropped.wait()
        return found

    monkeypatch.setattr(rig.store, "collection", slow)
    looking = asyncio.create_task(rig.catalog.get("books"))
    await asyncio.sleep(0.05)
    monkeypatch.undo()
    await rig.catalog.drop("books")
    dropped.set()
    await looking
    with pytest.raises(CollectionNotFound):
        await rig.catalog.get("books")
    await rig.close()


async def test_a_write_opens_a_collection_nobody_has_opened_yet(tmp_path: Path) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)
    collection = await rig.catalog.get("books")
    assert rig.generations.opened(collection) is None
    await rig.put({"id": "new", "text": "a moon over the sea"})
    await until(lambda: rig.generations.opened(collection) is not None)
    await rig.assert_true()
    await rig.close()


async def test_a_close_waits_for_what_a_write_is_opening(tmp_path: Path) -> None:
    await filled(tmp_path, "exact")
    rig = await Rig.open(tmp_path)
    await rig.put({"id": "new", "text": "a moon over the sea"})
    await rig.close()
    rig = await Rig.open(tmp_path)
    await rig.assert_true()
    await rig.close()


@pytest.mark.parametrize("engine", ["exact", "local"])
async def test_other_search_settings_build_the_index_again_without_embedding(tmp_path: Path, engine: str) -> None:
    await filled(tmp_path, engine)
    rig = await Rig.open(tmp_path)
    await rig.live()
    before = rig.engines[engine].created
    await rig.catalog.configure("books", {"search": {"weights": {"text": 2}}})
    await rig.documents.wait("books")
    await rig.assert_true()
    assert rig.engines[engine].created == before + 1
    await rig.catalog.configure("books", {"search": {"weights": {"text": 2}}, "fusion": "rrf"})
    assert rig.engines[engine].created == before + 1
    assert rig.embedder.embedded == []
    await rig.close()


async def test_texts_are_searched_in_the_language_chosen(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(search=SearchSettings(language="german")))
    await rig.text("1", "die Häuser")
    await rig.documents.wait("books")
    found = (await rig.live()).index
    assert len(await found.lexical("Haus", limit=1)) == 1
    assert len(await found.lexical("die", limit=1)) == 0
    await rig.catalog.configure("books", {"search": None})
    await rig.documents.wait("books")
    found = (await rig.live()).index
    assert len(await found.lexical("Haus", limit=1)) == 0
    assert len(await found.lexical("die", limit=1)) == 1
    await rig.close()
