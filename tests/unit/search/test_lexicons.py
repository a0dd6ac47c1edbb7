from __future__ import annotations

import asyncio
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.schema import FieldType
from nearfield.protocols.source import SourceRow
from nearfield.search import lexicon_file
from nearfield.search import lexicons as module
from nearfield.search.lexicons import Lexicons

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

    from nearfield.search.lexicon import Lexicon


async def brought_up(lexicons: Lexicons, world: World, seq: int = 0) -> Lexicon:
    """The lexicon, once it is there and has read a change."""
    live = await world.backend.generations.live(world.collection)
    await live.wait_for(seq, timeout_s=30)
    deadline = time.monotonic() + 30
    while True:
        found = await lexicons.current(world.collection, live)
        if found is not None and found.seq >= seq:
            return found
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def put(world: World, *bodies: dict[str, Any]) -> int:
    rows = [SourceRow(line, body) for line, body in enumerate(bodies, start=1)]
    return (await world.backend.documents.upsert(world.collection.name, rows, id_field="id")).receipt.seq


def same(one: Lexicon, other: Lexicon) -> bool:
    """Whether both know the same of the same documents. Their spellers and completions are made of that."""
    plain = [part.name for part in fields(one) if part.name not in ("speller", "completions")]
    return all(getattr(one, name) == getattr(other, name) for name in plain)


async def test_it_holds_what_the_documents_say(world: World) -> None:
    lexicons = Lexicons(world.backend.store)
    found = await brought_up(lexicons, world)
    assert found.documents == 150
    assert set(found.values) == {"category", "brand"}
    assert sum(found.values["category"].values()) == 150
    assert found.spans["price"].low < found.spans["price"].high
    await lexicons.close()


async def test_it_follows_changes_without_a_scan(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await open_one("exact")
    lexicons = Lexicons(world.backend.store)
    await brought_up(lexicons, world)
    monkeypatch.setattr(Lexicons, "_scan", None)
    seq = await put(world, {"id": "new", "name": "zyzzyva", "brand": "Zzz"})
    found = await brought_up(lexicons, world, seq)
    assert (found.words["zyzzyva"], found.values["brand"]["Zzz"], found.documents) == (1, 1, 151)
    await lexicons.close()


async def test_it_is_scanned_anew_when_much_has_changed(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRIFT_LEAST", 0)
    world = await open_one("exact")
    lexicons = Lexicons(world.backend.store)
    await brought_up(lexicons, world)
    for price in range(40):
        seq = await put(world, {"id": "same", "name": "zyzzyva", "price": price})
    assert (await brought_up(lexicons, world, seq)).words["zyzzyva"] >= 1
    seq = await put(world, {"id": "last", "name": "quokka"})
    found = await brought_up(lexicons, world, seq)
    assert (found.words["zyzzyva"], found.words["quokka"], found.documents) == (1, 1, 152)
    await lexicons.close()


async def test_a_start_reads_counts_instead_of_documents(
    open_one: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_one("exact")
    first = Lexicons(world.backend.store, tmp_path / "words")
    await brought_up(first, world)
    written = await put(world, {"id": "seen", "name": "quokka", "brand": "Zzz", "price": 12_345})
    known = await brought_up(first, world, written)
    await first.close()
    monkeypatch.setattr(Lexicons, "_scan", None)
    second = Lexicons(world.backend.store, tmp_path / "words")
    assert same(await brought_up(second, world, written), known)
    written = await put(world, {"id": "new", "name": "zyzzyva"})
    found = await brought_up(second, world, written)
    assert (found.words["zyzzyva"], found.words["quokka"], found.documents) == (1, 1, 152)
    await second.close()


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "of another layout", "of a later store"])
async def test_counts_that_are_of_no_use_are_counted_anew(
    open_one: Open, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await open_one("exact")
    first = Lexicons(world.backend.store, tmp_path)
    known = await brought_up(first, world)
    await first.close()
    (path,) = tmp_path.glob("*.counts")
    whole = path.read_bytes()
    if harm == "of another layout":
        monkeypatch.setattr(lexicon_file, "LAYOUT", lexicon_file.LAYOUT + 1)
    elif harm == "of a later store":
        read = lexicon_file.read(path, world.collection.spec)
        assert read is not None
        gathering, seq, changed = read
        lexicon_file.write(path, gathering, seq=seq + 1_000, changed=changed)
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "flipped": flipped, "empty": b""}[harm])
    second = Lexicons(world.backend.store, tmp_path)
    assert same(await brought_up(second, world), known)
    await second.close()
    assert lexicon_file.read(path, world.collection.spec) is not None


async def test_counts_of_other_fields_are_not_read(open_one: Open, tmp_path: Path) -> None:
    world = await open_one("exact")
    lexicons = Lexicons(world.backend.store, tmp_path)
    await brought_up(lexicons, world)
    await lexicons.close()
    (path,) = tmp_path.glob("*.counts")
    other = replace(world.collection.spec, fields={"price": FieldType.FLOAT})
    assert lexicon_file.read(path, other) is None


async def test_files_of_collections_that_are_gone_go(open_one: Open, tmp_path: Path) -> None:
    world = await open_one("exact")
    (tmp_path / "999.counts").write_bytes(b"of a collection that was dropped")
    lexicons = Lexicons(world.backend.store, tmp_path)
    await brought_up(lexicons, world)
    await lexicons.close()
    assert [path.stem for path in tmp_path.glob("*.counts")] == [str(world.collection.id)]


async def test_a_lexicon_that_cannot_be_filed_serves_all_the_same(
    open_one: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await open_one("exact")
    (tmp_path / "words").write_bytes(b"a file where a folder is wanted")
    lexicons = Lexicons(world.backend.store, tmp_path / "words")
    assert (await brought_up(lexicons, world)).documents == 150
    assert "could not be kept" in caplog.text
    await lexicons.close()


async def test_only_so_many_are_kept(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 1)
    first, second = await open_one("exact"), await open_one("exact")
    lexicons = Lexicons(first.backend.store)
    await brought_up(lexicons, first)
    other = Lexicons(second.backend.store)
    await brought_up(other, second)
    assert len(lexicons._kept) == 1
    await lexicons.close()
    await other.close()


async def test_closing_abandons_what_is_being_made(open_one: Open) -> None:
    world = await open_one("exact")
    live = await world.backend.generations.live(world.collection)
    lexicons = Lexicons(world.backend.store)
    asking = asyncio.create_task(lexicons.current(world.collection, live))
    await asyncio.sleep(0)
    await asyncio.wait_for(lexicons.close(), timeout=5)
    await asking
