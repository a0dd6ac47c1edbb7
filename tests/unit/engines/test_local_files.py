"""The flushed copy of a zvec folder: complete, untouched by later work, replaced whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from nearfield.domain.errors import EngineUnavailable, IndexDamaged
from nearfield.domain.filters import Exists
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines import local_files
from nearfield.engines.local import LocalEngine
from nearfield.engines.local_files import LocalFiles
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of

SPEC = spec_of(IndexSettings(kind=IndexKind.HNSW))


def flushed(folder: Path) -> dict[str, str]:
    """The flushed files by name, with what is in them."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("flushed.*/**/*")
        if path.is_file()
    }


async def test_what_was_flushed_is_untouched_by_later_work(tmp_path: Path) -> None:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(SPEC)
    await bookshop.stock(index, stop=100)
    await index.optimize()
    await bookshop.stock(index, start=100, stop=120)
    await index.flush()
    before = flushed(tmp_path / "books")
    await bookshop.stock(index, start=50, stop=200)
    await index.delete(bookshop.keys()[:30])
    assert flushed(tmp_path / "books") == before
    await index.flush()
    assert flushed(tmp_path / "books") != before
    await engine.close()


async def test_a_crash_leaves_the_index_as_it_was_flushed(tmp_path: Path) -> None:
    """Whatever the crash made of the folder zvec works in: here it is gone, and a half-made copy lies about."""
    engine = LocalEngine.at(tmp_path / "a")
    index = await engine.create(SPEC)
    await bookshop.stock(index, stop=100)
    await index.flush()
    await index.delete(bookshop.keys()[:50])
    await bookshop.stock(index, start=100)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    await engine.close()
    shutil.rmtree(tmp_path / "b" / "books" / "zvec")
    (tmp_path / "b" / "books" / "flushing").mkdir()
    (tmp_path / "b" / "books" / "flushing" / "manifest.9").write_bytes(b"")

    engine = LocalEngine.at(tmp_path / "b")
    index = await engine.open(SPEC)
    assert await listed_keys(index) == sorted(bookshop.keys()[:100].tolist())
    for number in range(100):  # each by a word of its own
        found = await index.lexical(f"number{number}", limit=5)
        assert found.keys.tolist() == [bookshop.keys()[number]]
    assert len(await index.lexical("number150", limit=5)) == 0
    assert await index.count(Exists("title")) == sum("title" in bookshop.row(n) for n in range(100))
    assert sorted(path.name for path in (tmp_path / "b" / "books").glob("flush*")) == ["flushed.2"]
    await engine.close()


def a_folder(tmp_path: Path) -> LocalFiles:
    files = LocalFiles(tmp_path / "books")
    (files.working / "idmap.0").mkdir(parents=True)
    (files.working / "idmap.0" / "1.sst").write_bytes(b"large")
    (files.working / "idmap.0" / "MANIFEST-1").write_bytes(b"1.sst")
    return files


def test_nothing_flushed_is_damage(tmp_path: Path) -> None:
    with pytest.raises(IndexDamaged, match="rebuild"):
        a_folder(tmp_path).restore()


def test_a_copy_that_was_never_kept_does_not_count(tmp_path: Path) -> None:
    files = a_folder(tmp_path)
    files.copy()
    files.keep()
    (files.working / "idmap.0" / "MANIFEST-1").write_bytes(b"1.sst 2.sst")
    files.copy()
    files.restore()
    assert (files.working / "idmap.0" / "MANIFEST-1").read_bytes() == b"1.sst"


def test_files_merged_while_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RocksDB puts one file in the place of another between the two looks: the copy begins again."""
    files = a_folder(tmp_path)
    real = shutil.copyfile
    merged: list[bool] = []

    def copyfile(source: Path, target: Path) -> None:
        real(source, target)
        if not merged:
            merged.append(True)
            (files.working / "idmap.0" / "2.sst").write_bytes(b"merged")
            (files.working / "idmap.0" / "MANIFEST-1").write_bytes(b"2.sst")
            (files.working / "idmap.0" / "1.sst").unlink()

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    files.copy()
    files.keep()
    kept = tmp_path / "books" / "flushed.1" / "idmap.0"
    assert sorted(path.name for path in kept.iterdir()) == ["2.sst", "MANIFEST-1"]
    assert (kept / "MANIFEST-1").read_bytes() == b"2.sst"


def test_files_that_never_hold_still_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = a_folder(tmp_path)

    def gone(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(os, "link", gone)
    monkeypatch.setattr(local_files, "_ATTEMPTS", 3)
    with pytest.raises(EngineUnavailable, match="3 attempts"):
        files.copy()


def test_a_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = a_folder(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    files.copy()
    files.keep()
    assert (tmp_path / "books" / "flushed.1" / "idmap.0" / "1.sst").read_bytes() == b"large"
    assert (files.working / "idmap.0" / "1.sst").stat().st_nlink == 1
