"""A file of FAISS as a source, with the metadata of its rows from a file beside it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidDocument, InvalidFile, InvalidRequest, MissingDependency
from nearfield.domain.schema import Metric
from nearfield.protocols.source import VECTOR, SourceRow, Told
from nearfield.sources.store_rows import ID, StoreRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.source import Source

PAGE: Final = 1_000
_LOSSLESS: Final = ("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexFlat1D")


class FaissReader:
    """See `StoreReader`. The index is held in memory while it is read. Ids are those of an IDMap, or the places."""

    def __init__(self, path: Path, *, rows: Source | None, approximate: bool) -> None:
        """rows: the metadata of the vectors, in the order they were added; an `id` there is the document's.

        approximate: take vectors that the index can only give back nearly. Raises InvalidFile.
        """
        if not path.is_file():
            raise InvalidFile(f"file {path} does not exist; check the path")
        self.name, self._path, self._rows, self._approximate = path.name, path, rows, approximate
        self._owner: Any = None  # what is inside of it lives as long as it does
        self._index: Any = None
        self._ids: Int64Array | None = None
        self._numbers: Int64Array = np.empty(0, np.int64)

    def told(self) -> Told:
        vendor = _sdk()
        try:
            self._owner = vendor.read_index(str(self._path))
        except RuntimeError as exc:
            raise InvalidFile(f"FAISS cannot read {self._path}: {str(exc).strip()[-200:]}") from exc
        self._ids, index = None, vendor.downcast_index(self._owner)
        metric, dimension = int(index.metric_type), int(index.d)
        if isinstance(index, vendor.IndexIDMap):
            self._ids = np.asarray(vendor.vector_to_array(index.id_map), np.int64)
            index = vendor.downcast_index(index.index)
        if isinstance(index, vendor.IndexRefine):
            index = vendor.downcast_index(index.refine_index)
        exact = _is_exact(vendor, index)
        if not exact and not self._approximate:
            raise InvalidRequest(
                f"{self._path.name} is a {type(index).__name__}, which keeps codes and gives vectors back nearly; "
                "take those with approximate=true, or embed the texts anew with --embedder",
                field="approximate",
            )
        self._index, self._numbers = index, _numbers(vendor, index)
        self._check_order()
        notes = [] if exact else ["the vectors are approximate: the index kept codes of them"]
        return Told(dimension, _metrics(vendor).get(metric), notes=tuple(notes))

    def total(self) -> int:
        return len(self._numbers)

    def pages(self) -> Iterator[Sequence[StoreRow | SourceRow | Rejection]]:
        beside = None if self._rows is None else self._rows.rows()
        for start in range(0, len(self._numbers), PAGE):
            numbers = self._numbers[start : start + PAGE]
            vectors = self._vectors(numbers)
            ids = numbers if self._ids is None else self._ids[numbers]
            if beside is None:
                yield [StoreRow(id, {}, vector) for id, vector in zip(ids.tolist(), vectors, strict=True)]  # noqa: A001
                continue
            found = list(islice(beside, len(numbers)))
            page: list[StoreRow | SourceRow | Rejection] = [
                _joined(row, id, vector)
                for row, id, vector in zip(found, ids.tolist(), vectors, strict=False)  # noqa: A001
            ]
            for place in range(len(found), len(numbers)):
                told = "the file of rows ends before this vector; it has to have a row for each, in the same order"
                page.append(Rejection(start + place + 1, InvalidDocument.code, told, str(ids[place])))
            yield page
        if beside is not None:
            told = "the index has no vector for this row, which is beyond its last"
            yield from ([Rejection(_line(row), InvalidDocument.code, told)] for row in beside)

    def _vectors(self, numbers: Int64Array) -> Float32Array:
        try:
            return np.asarray(self._index.reconstruct_batch(numbers), np.float32)
        except RuntimeError as exc:
            raise InvalidRequest(
                f"{self._path.name} is a {type(self._index).__name__}, which cannot give its vectors back; "
                "import the documents and embed them anew",
                field="faiss",
            ) from exc

    def _check_order(self) -> None:
        vendor, numbers = _sdk(), self._numbers
        if isinstance(self._index, vendor.IndexIVF):
            self._index.set_direct_map_type(vendor.DirectMap.Hashtable)
        if self._rows is not None and not np.array_equal(numbers, np.arange(len(numbers))):
            raise InvalidRequest(
                f"{self._path.name} holds ids of its own without the order they were added in, so no row of the file "
                "beside can be given to a vector; import without it",
                field="rows",
            )
        if len(numbers):
            self._vectors(numbers[:1])


def _joined(row: SourceRow | Rejection, id: int, vector: Float32Array) -> SourceRow | Rejection:
    if not isinstance(row, SourceRow):
        return row
    return SourceRow(row.line, {ID: id, **row.body, VECTOR: vector}, row.textual)


def _line(row: SourceRow | Rejection) -> int:
    return row.line


def _is_exact(vendor: Any, index: Any) -> bool:
    """Whether every vector is kept as it was added."""
    if isinstance(index, vendor.IndexHNSW | vendor.IndexNSG):
        return type(vendor.downcast_index(index.storage)).__name__ in _LOSSLESS
    return type(index).__name__ in (*_LOSSLESS, "IndexIVFFlat", "IndexIVFFlatDedup")


def _numbers(vendor: Any, index: Any) -> Int64Array:
    """The numbers by which the index knows its vectors, ascending: places, or the ids an IVF was given."""
    ivf = index
    if isinstance(index, vendor.IndexPreTransform):
        ivf = vendor.downcast_index(index.index)
    if not isinstance(ivf, vendor.IndexIVF):
        return np.arange(index.ntotal, dtype=np.int64)
    lists = ivf.invlists
    found = [
        np.array(vendor.rev_swig_ptr(lists.get_ids(place), lists.list_size(place)), np.int64)
        for place in range(lists.nlist)
        if lists.list_size(place)
    ]
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _metrics(vendor: Any) -> dict[int, Metric]:
    return {vendor.METRIC_L2: Metric.EUCLIDEAN, vendor.METRIC_INNER_PRODUCT: Metric.DOT}


def _sdk() -> Any:
    try:
        import faiss  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("reading a file of FAISS needs faiss-cpu: pip install 'nearfield[faiss]'") from exc
    return faiss
