"""Files that survive a power cut: written whole or not at all, and fsynced with the folders that name them."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from nearfield.disk import sync_file, sync_folder
from nearfield.domain.errors import DiskFull, EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader finds the old file or the new one, never a part; durable on return."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_tree(folder: Path, *, but: Iterable[str] = ()) -> None:
    """Make every file and name under a folder durable. A file that is removed meanwhile is passed over.

    but: patterns of the names of folders that see to it themselves.
    """
    for parent, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not any(fnmatch(name, pattern) for pattern in but)]
        for name in names:
            with suppress(FileNotFoundError):
                sync_file(Path(parent, name))
        with suppress(FileNotFoundError):
            sync_folder(Path(parent))


def tree_bytes(folder: Path) -> int:
    """Bytes that the files under a folder hold."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).stat().st_size
    return total


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn an OSError into DiskFull when space ran out, else into EngineUnavailable."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left on the disk while {doing}; free some and try again") from exc
        raise EngineUnavailable(f"{doing} failed: {exc.strerror or type(exc).__name__}") from exc
