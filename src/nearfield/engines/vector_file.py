"""Vectors on disk, one after another, read through the page cache: what codes are scored again from."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.errors import IndexDamaged

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

    from nearfield.domain.documents import Float32Array

_ROOM: Final = 1_024  # rows; room beyond the end takes no disk
_BLOCK: Final = 1 << 24


class VectorFile:
    """A file of float32 vectors that only grows. One writer; every method blocks, OSError passes through.

    Vectors are written, not mapped, so that a full disk is an error and not a fault of memory; they are read mapped.
    """

    def __init__(self, path: Path, dimension: int, *, rows: int = 0, checksum: int = 0) -> None:
        """Open the file at `path`, cut to what was counted; made where rows is 0.

        checksum: CRC-32 of the first `rows` vectors. Raises IndexDamaged when the file holds anything else.
        """
        self._dimension, self._width = dimension, 4 * dimension
        self.path = path
        try:
            self._file = path.open("r+b" if rows else "w+b", buffering=0)
        except FileNotFoundError as exc:
            raise IndexDamaged(f"{path.name} of index {path.parent.name!r} is missing; rebuild it") from exc
        self.rows, self.checksum = rows, checksum
        if _checksum(self._file, rows * self._width) != checksum:
            self._file.close()
            raise IndexDamaged(f"{path.name} of index {path.parent.name!r} is not as it was written; rebuild it")
        self._room = 0
        self._make_room(rows + 1)

    @property
    def spare_bytes(self) -> int:
        """How much longer the file is than its vectors; it takes no disk."""
        return (self._room - self.rows) * self._width

    def append(self, vectors: Float32Array) -> None:
        """Add vectors, shape (n, dimension); read by who asks for that many, durable after `sync`."""
        self._make_room(self.rows + len(vectors))
        content = memoryview(np.ascontiguousarray(vectors, np.float32).tobytes())
        self._file.seek(self.rows * self._width)
        written = 0
        while written < len(content):
            written += self._file.write(content[written:])
        self.checksum = zlib.crc32(content, self.checksum)
        self.rows += len(vectors)

    def first(self, count: int) -> Float32Array:
        """The first so many vectors, not to be written to. Stays what it is while the file grows, or is removed."""
        return self._mapped[:count]

    def sync(self) -> None:
        """Make what was added durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the room beyond the end back. Arrays handed out stay readable."""
        if not self._file.closed:
            self._file.truncate(self.rows * self._width)
            self._file.close()

    def _make_room(self, rows: int) -> None:
        """Map a file that is longer than its vectors, so that it is mapped anew only now and then."""
        if rows > self._room:
            self._room = rows + max(_ROOM, rows // 4)
            self._file.truncate(self._room * self._width)
            self._mapped = np.memmap(self.path, np.float32, "r", shape=(self._room, self._dimension))


def _checksum(file: FileIO, length: int) -> int:
    """CRC-32 of the first so many bytes, of as many as there are."""
    file.seek(0)
    found = 0
    while length > 0 and (block := file.read(min(length, _BLOCK))):
        found = zlib.crc32(block, found)
        length -= len(block)
    return found if not length else -1
