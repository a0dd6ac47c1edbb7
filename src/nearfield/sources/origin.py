"""Bytes of a file or of standard input: counted, unpacked when they are gzip, damage told as InvalidFile."""

from __future__ import annotations

import gzip
import io
import stat
import sys
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

GZIP_MAGIC: Final = b"\x1f\x8b"
BUFFER_BYTES: Final = 64 * 1024


class Origin:
    """Where bytes come from: a file, opened anew for each reading, or a stream, which can be read only once.

    path: None for standard input.
    name: for messages. size: bytes as stored, None for a stream. position: bytes read so far, on the scale of `size`.
    packed: whether the bytes are gzip, known once it was opened.
    Raises InvalidFile, saying what to do, for a path that is not there, is a folder, is empty, or may not be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.name = "-" if path is None else path.name
        self.position = 0
        self.packed = False
        self.size: int | None = None
        self._spent = False
        if path is not None:
            self.size = _size(path)

    @property
    def is_file(self) -> bool:
        """Whether it can be opened again and read from any place."""
        return self.path is not None and self.size is not None

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """The bytes from the start, unpacked. `peek()` shows the first 64 KiB, less only when there are no more."""
        if self._spent and not self.is_file:
            raise InvalidFile(f"{self.name} is a stream and can be read only once; save it to a file first")
        self._spent, self.position = True, 0
        if self.path is None:
            yield self._unpacked(sys.stdin.buffer)
            return
        try:
            handle = self.path.open("rb")
        except OSError as exc:
            raise InvalidFile(f"file {self.path} cannot be opened: {exc.strerror}") from exc
        with handle:
            yield self._unpacked(handle)

    def _unpacked(self, handle: IO[bytes]) -> io.BufferedReader:
        plain: io.BufferedReader = io.BufferedReader(_Guarded(handle, self, counting=True), BUFFER_BYTES)
        self.packed = plain.peek().startswith(GZIP_MAGIC)
        if not self.packed:
            return plain
        unzipped = gzip.GzipFile(fileobj=plain, mode="rb")
        return io.BufferedReader(_Guarded(unzipped, self, counting=False), BUFFER_BYTES)


class _Guarded(io.RawIOBase):
    """Full reads of `inner`, counted into the origin's position; errors of disk and gzip become InvalidFile."""

    def __init__(self, inner: IO[bytes] | io.BufferedIOBase, origin: Origin, *, counting: bool) -> None:
        self._inner = inner
        self._origin = origin
        self._counting = counting

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        name = self._origin.name
        try:
            data = self._inner.read(len(view))
        except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
            raise InvalidFile(
                f"file {name} is damaged gzip ({exc}); it was perhaps not copied to the end: fetch it again"
            ) from exc
        except OSError as exc:
            raise InvalidFile(f"file {name} cannot be read: {exc.strerror or exc}") from exc
        view[: len(data)] = data
        if self._counting:
            self._origin.position += len(data)
        return len(data)


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None for a pipe or a device. Raises InvalidFile."""
    try:
        status = path.stat()
    except FileNotFoundError as exc:
        raise InvalidFile(f"file {path} does not exist; check the path") from exc
    except OSError as exc:
        raise InvalidFile(f"file {path} cannot be read: {exc.strerror}") from exc
    if stat.S_ISDIR(status.st_mode):
        raise InvalidFile(f"{path} is a folder; name the files in it, for example {path}/*.csv")
    if not stat.S_ISREG(status.st_mode):
        return None
    if status.st_size == 0:
        raise InvalidFile(f"file {path} is empty; expected rows to read")
    return status.st_size
