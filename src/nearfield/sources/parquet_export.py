"""Documents and their vectors into a Parquet file, a row group at a time, which is there whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import platform
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.disk import sync_folder
from nearfield.domain.errors import DiskFull, InvalidFile
from nearfield.domain.schema import FieldType
from nearfield.sources.parquet_layout import MARK, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.sink import VectorRow

GROUP_ROWS: Final = 10_000
GROUP_COMPONENTS: Final = 8_000_000  # 32 MB of vectors


class ParquetExport:
    """See `Sink`. One row a document; memory holds a row group. Compressed by zstd.

    The column of vectors is a fixed-size list of float32. Where a document has several passages it holds their mean
    (of unit length where they are), and the column of passages holds each; that column is null for all others.
    """

    def __init__(self, path: Path, spec: CollectionSpec, *, dimension: int, fingerprint: str) -> None:
        """path: of the file to be, replaced when it is there. Raises InvalidFile for a folder that is not there."""
        if not path.parent.is_dir():
            raise InvalidFile(f"folder {path.parent} does not exist; make it first", field="to")
        self._path, self._spec, self._dimension, self._fingerprint = path, spec, dimension, fingerprint
        _clear_left(path)
        self._partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
        self._group = max(1, min(GROUP_ROWS, GROUP_COMPONENTS // dimension))
        self._rows: list[VectorRow] = []
        self._layout: Layout | None = None
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._using = threading.Lock()
        self._done = False

    def write(self, rows: Sequence[VectorRow]) -> None:
        with self._using, self._told():
            self._rows += rows
            while len(self._rows) >= self._group:
                part, self._rows = self._rows[: self._group], self._rows[self._group :]
                self._put(part)

    def finish(self) -> None:
        with self._using, self._told():
            self._put(self._rows)
            self._rows = []
            self._writer.close()
            assert self._file is not None  # noqa: S101  for the type checker
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._path)
            self._done = True
            sync_folder(self._path.parent)

    def abandon(self) -> None:
        with self._using:
            if self._done:
                return
            self._done = True
            if self._file is None:
                return
            with suppress(OSError, ValueError):  # Arrow's errors are either
                self._writer.close()
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._partial.unlink()

    def _put(self, rows: Sequence[VectorRow]) -> None:
        import pyarrow as pa  # noqa: PLC0415  a large package that only Parquet needs
        from pyarrow import parquet  # noqa: PLC0415

        if self._done:
            raise InvalidFile(f"the export to {self._path} was given up")
        if self._layout is None:
            self._layout = Layout.of(
                self._spec,
                [row.document for row in rows],
                dimension=self._dimension,
                fingerprint=self._fingerprint,
            )
        layout = self._layout
        schema = _schema(layout)
        if self._writer is None:
            self._file = self._partial.open("wb")
            plain = [name for name in schema.names if name not in (layout.vector, layout.passages)]
            self._writer = parquet.ParquetWriter(
                self._file, schema, compression="zstd", use_dictionary=plain, write_statistics=plain
            )
        if not rows:
            return
        values = [layout.columns_of(row.document) for row in rows]
        arrays = [
            pa.array([one.get(field.name) for one in values], field.type)
            for field in schema
            if field.name not in (layout.vector, layout.passages)
        ]
        arrays += [_vectors(np.stack([_whole(row.vectors) for row in rows])), _passages(rows, self._dimension)]
        self._writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(rows))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"no space left for {self._path}; nothing was put there") from exc
            raise InvalidFile(f"{self._path} cannot be written: {exc.strerror or exc}", field="to") from exc


def _schema(layout: Layout) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    kinds = {
        FieldType.TEXT: pa.string(),
        FieldType.KEYWORD: pa.string(),
        FieldType.INT: pa.int64(),
        FieldType.FLOAT: pa.float64(),
        FieldType.BOOL: pa.bool_(),
        FieldType.DATETIME: pa.timestamp("us", "UTC"),
        FieldType.GEO: pa.struct([("lat", pa.float64()), ("lon", pa.float64())]),
    }

    def of(kind: FieldType) -> Any:
        return pa.list_(kinds[kind.element]) if kind.is_list else kinds[kind]

    vector = pa.list_(pa.float32(), layout.dimension)
    fields = [
        (layout.id, pa.string()),
        *((name, of(kind)) for name, kind in layout.fields.items()),
        *((name, pa.string()) for name in layout.words),
        (layout.rest, pa.string()),
        (layout.vector, vector),
        (layout.passages, pa.list_(vector)),
    ]
    return pa.schema(fields, metadata={MARK: layout.to_json()})


def _whole(vectors: Float32Array) -> Float32Array:
    """One vector for a document of several passages: their mean, as long as they are."""
    first: Float32Array = vectors[0]
    if len(vectors) == 1:
        return first
    mean = vectors.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    usual = float(np.linalg.norm(vectors, axis=1).mean())
    return np.asarray(mean * (usual / length) if length else first, np.float32)


def _vectors(vectors: Float32Array) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def _passages(rows: Sequence[VectorRow], dimension: int) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    several = [row.vectors for row in rows if len(row.vectors) > 1]
    counts = [len(row.vectors) if len(row.vectors) > 1 else 0 for row in rows]
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    flat = _vectors(np.concatenate(several) if several else np.empty((0, dimension), np.float32))
    mask = pa.array([count == 0 for count in counts])
    return pa.ListArray.from_arrays(offsets, flat, mask=mask)


def _clear_left(path: Path) -> None:
    """Remove what exports to this file left that were killed: their processes were this machine's, and are no more."""
    if sys.platform == "win32":
        return  # to ask after a process there is to end it
    for left in path.parent.glob(f"{glob.escape(f'{path.name}.{platform.node()}-')}*.partial"):
        try:
            os.kill(int(left.stem.rpartition("-")[2]), 0)
        except ProcessLookupError:
            with suppress(OSError):
                left.unlink()
        except (OSError, ValueError, OverflowError):
            continue  # it is another user's, or none of ours
