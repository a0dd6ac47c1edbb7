from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import DiskFull, EngineUnavailable
from nearfield.engines import durable
from nearfield.engines.durable import disk_errors, sync_tree, tree_bytes, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="writing"), disk_errors("writing"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_other_failures_of_the_disk_are_not_fullness() -> None:
    with pytest.raises(EngineUnavailable, match="reading failed"), disk_errors("reading"):
        raise OSError(errno.EIO, "Input/output error")


def test_every_file_is_synced_but_those_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "x.rocksdb").mkdir(parents=True)
    for name in ("one", "a/two", "a/x.rocksdb/three"):
        (tmp_path / name).write_bytes(b"12345")
    synced: list[str] = []
    for each in ("sync_file", "sync_folder"):
        monkeypatch.setattr(durable, each, lambda path: synced.append(path.relative_to(tmp_path).as_posix()))
    sync_tree(tmp_path, but=("*.rocksdb",))
    assert sorted(synced) == [".", "a", "a/two", "one"]
    assert tree_bytes(tmp_path) == 15
