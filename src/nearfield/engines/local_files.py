"""What of a zvec folder is safe: its last flush, kept beside it as links.

zvec 0.8 killed between two flushes comes back with deleted rows, rows missing, or words that lead to other rows; killed
in an optimize, at times, with a folder that takes no more writes. So its folder is only ever worked in. What counts is
a copy of it as it was flushed, and every opening begins from that copy. Copies are cheap: zvec writes its large files
once, which makes them links, and appends to small ones only.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from nearfield.disk import sync_folder
from nearfield.domain.errors import EngineUnavailable, IndexDamaged
from nearfield.engines.durable import sync_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKING: Final = "zvec"
_KEPT: Final = "flushed."
_UNFINISHED: Final = "flushing"
_LOCK: Final = "lock"
_ATTEMPTS: Final = 100
_WRITTEN_ONCE: Final = frozenset({".sst", ".proxima", ".ipc"})


class LocalFiles:
    """The folder of one index: where zvec works, and the copy of its last flush. Held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # released by whichever thread closes the index
        self._lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def working(self) -> Path:
        """Where zvec is to work."""
        return self._folder / WORKING

    @contextmanager
    def held_on_success(self) -> Iterator[None]:
        """Take the folder for this process, and keep it unless the block fails.

        Raises EngineUnavailable when another process, or another engine in this one, has it.
        """
        try:
            self._lock.acquire()
        except Timeout as exc:
            raise EngineUnavailable(
                f"index {self._folder.name!r} is open in another process or engine; close it there"
            ) from exc
        try:
            yield
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        self._lock.release()

    def restore(self) -> None:
        """Bring the working folder back to the last flush. Raises IndexDamaged where none is found."""
        kept = self._latest()
        if kept is None:
            raise IndexDamaged(f"index {self._folder.name!r} holds no flushed state; rebuild it from the store")
        for scratch in (self.working, self._folder / _UNFINISHED):
            shutil.rmtree(scratch, ignore_errors=True)
        _copy(kept, self.working)
        self._remove_before(kept)

    def copy(self) -> None:
        """Copy the working folder, just flushed and not written to meanwhile. `keep` makes it the state that counts."""
        unfinished = self._folder / _UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy(self.working, unfinished)

    def keep(self) -> None:
        """Make the last copy durable, in place of the one before. A crash anywhere leaves one of the two."""
        unfinished, before = self._folder / _UNFINISHED, self._latest()
        sync_tree(unfinished)
        kept = self._folder / f"{_KEPT}{_number(before) + 1}"
        unfinished.rename(kept)
        sync_folder(self._folder)
        self._remove_before(kept)

    def _latest(self) -> Path | None:
        return max(self._folder.glob(f"{_KEPT}*"), key=_number, default=None)

    def _remove_before(self, kept: Path) -> None:
        for older in self._folder.glob(f"{_KEPT}*"):
            if older != kept:
                shutil.rmtree(older, ignore_errors=True)


def _number(kept: Path | None) -> int:
    return 0 if kept is None else int(kept.name.removeprefix(_KEPT))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder that nobody writes to, but whose RocksDB may merge files at any time: then it begins again.

    RocksDB writes the merged file, then its manifest, then removes the parts. So the manifest is copied between two
    looks at the large files: when none of the first look is gone at the second, all that it can name are there.
    """
    for _ in range(_ATTEMPTS):
        try:
            before = set(_files(source, large=True))
            for file in _files(source, large=False):
                shutil.copyfile(file, _beneath(target, file.relative_to(source)))
            if before <= (now := set(_files(source, large=True))):
                for file in now:
                    _link(file, _beneath(target, file.relative_to(source)))
                return
        except FileNotFoundError:
            pass
        shutil.rmtree(target, ignore_errors=True)
    raise EngineUnavailable(f"the files of {source.parent.name} changed at each of {_ATTEMPTS} attempts to copy them")


def _files(folder: Path, *, large: bool) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if (Path(name).suffix in _WRITTEN_ONCE) is large)


def _beneath(target: Path, name: Path) -> Path:
    to = target / name
    to.parent.mkdir(parents=True, exist_ok=True)
    return to


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(file, to)
