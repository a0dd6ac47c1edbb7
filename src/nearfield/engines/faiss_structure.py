"""What FAISS does here: compare vectors, train, build, search and keep its structures. The only file that knows it.

FAISS releases the GIL. Its threads are OpenMP's, as many as the calling thread says: a search takes one, so that it
fights neither other searches nor the embedder; without saying so it would take what OMP_NUM_THREADS holds, which
another engine may have set far beyond the cores.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.disk import sync_folder
from nearfield.domain.errors import DiskFull, EngineUnavailable, IndexDamaged, MissingDependency, NearfieldError
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines.durable import disk_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.schema import IndexSettings
    from nearfield.engines.columns import BoolArray

_ADDED_AT_ONCE: Final = 8_192
_POINTS_PER_CENTROID: Final = 64
_CODEBOOK: Final = 256
_LARGEST_FLOAT16: Final = 65_504.0
_PROBED: Final = 0.2
"""Share of the lists that a search looks into unless it says so itself."""
_CODES: Final = {Quantization.NONE: "Flat", Quantization.FLOAT16: "SQfp16", Quantization.INT8: "SQ8"}


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A built index; never changed, only replaced, so that searches need no lock.

    members: the place of each vector it holds, ascending. covered: places it knows of; those from there on are not in
    it. trained: rows it was trained on the likes of.
    """

    index: Any
    members: Int64Array
    covered: int
    trained: int


@cache
def sdk() -> ModuleType:
    """The FAISS module. Raises MissingDependency."""
    try:
        import faiss  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("engine faiss needs faiss-cpu: pip install 'nearfield[faiss]'") from exc
    return faiss


def least_rows(settings: IndexSettings) -> int | None:
    """Rows below which nothing is built; None where nothing ever is, and every row is compared."""
    if settings.kind is IndexKind.FLAT and settings.quantization is Quantization.NONE:
        return None
    return 4 * _CODEBOOK if settings.quantization is Quantization.PRODUCT else 1


def scan(vectors: Float32Array, vector: Float32Array, passing: BoolArray, hits: int, metric: Metric) -> Int64Array:
    """The places of the nearest vectors among those that pass, comparing each; in no order that counts.

    vectors: float32, shape (n, dimension), mapped or not. passing: of each. hits: at most how many pass.
    """
    faiss = sdk()
    faiss.omp_set_num_threads(1)
    places, distances = np.empty(hits, np.int64), np.empty(hits, np.float32)
    query, bits = np.ascontiguousarray(vector[None]), np.packbits(passing, bitorder="little")
    selector = faiss.IDSelectorBitmap(bits)
    given = (faiss.swig_ptr(query), faiss.swig_ptr(vectors), vectors.shape[1], 1, len(vectors), hits)
    wanted = (faiss.swig_ptr(distances), faiss.swig_ptr(places))
    if metric is Metric.EUCLIDEAN:
        faiss.knn_L2sqr(*given, *wanted, None, selector)
    else:
        faiss.knn_inner_product(*given, *wanted, selector)
    return places[places >= 0]


def build(settings: IndexSettings, vectors: Float32Array, places: Int64Array, covered: int, threads: int) -> Structure:
    """Train, and take in the vectors at some places."""
    faiss = sdk()
    faiss.omp_set_num_threads(threads)
    index = _empty(settings, vectors.shape[1], len(places))
    if not index.is_trained:
        sample = max(20_000, _POINTS_PER_CENTROID * (lists_of(index) or 1))
        chosen = places
        if len(places) > sample:
            chosen = np.sort(np.random.default_rng(0).choice(places, sample, replace=False))
        _train(index, _read(vectors, chosen, settings))
    _add(index, vectors, places, settings)
    return Structure(index, places, covered, len(places))


def extended(
    structure: Structure,
    settings: IndexSettings,
    vectors: Float32Array,
    *,
    places: Int64Array,
    covered: int,
    threads: int,
) -> Structure:
    """A structure with the vectors at some more places. A copy: searches go on in the one given."""
    faiss = sdk()
    faiss.omp_set_num_threads(threads)
    index = faiss.clone_index(structure.index)
    _add(index, vectors, places, settings)
    return replace(structure, index=index, members=np.concatenate([structure.members, places]), covered=covered)


def search(
    structure: Structure,
    vector: Float32Array,
    *,
    members: BoolArray,
    hits: int,
    settings: IndexSettings,
    effort: int,
) -> Int64Array:
    """The places of vectors near to one, among the members that pass; in no order that counts.

    effort: lists probed (IVF) or candidates (HNSW). members: which of them pass.
    """
    faiss = sdk()
    faiss.omp_set_num_threads(1)
    chosen: dict[str, Any] = {}
    if not members.all():
        chosen["sel"] = faiss.IDSelectorBitmap(np.packbits(members, bitorder="little"))
    if settings.kind is IndexKind.HNSW:
        asked = faiss.SearchParametersHNSW(efSearch=max(effort, hits), **chosen)
    elif settings.kind is IndexKind.IVF:
        asked = faiss.SearchParametersIVF(nprobe=effort, **chosen)
    else:
        asked = faiss.SearchParameters(**chosen)
    if isinstance(structure.index, faiss.IndexPreTransform):
        asked = faiss.SearchParametersPreTransform(index_params=asked)
    _, found = structure.index.search(vector[None], hits, params=asked)
    near: Int64Array = found[0][found[0] >= 0]
    return structure.members[near]


def lists_of(index: Any) -> int:
    """Inverted lists of an index, 0 where it has none."""
    faiss = sdk()
    ivf = faiss.try_extract_index_ivf(index)
    return 0 if ivf is None else int(ivf.nlist)


def usual_probes(lists: int) -> int:
    """Lists probed where nobody says."""
    return max(8, math.ceil(_PROBED * lists))


def save(structure: Structure, folder: Path, number: int) -> Mapping[str, Any]:
    """Write a structure, whole or not at all, durably. Returns what `load` needs to find it unharmed."""
    faiss = sdk()
    path, members = folder / f"{number}.faiss", folder / f"{number}.members.npy"
    beside = path.with_name(path.name + ".new")
    with faiss_errors("writing an index", folder):
        faiss.write_index(structure.index, str(beside))
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
    digest = _digest(beside)
    beside.replace(path)
    sync_folder(folder)
    content = io.BytesIO()
    np.save(content, structure.members, allow_pickle=False)
    write_atomically(members, content.getvalue())
    return {
        "number": number,
        "sha256": [digest, hashlib.sha256(content.getvalue()).hexdigest()],
        "covered": structure.covered,
        "trained": structure.trained,
    }


def load(folder: Path, note: Mapping[str, Any]) -> Structure:
    """Read what `save` wrote. FAISS is given nothing that is not as it was written. Raises IndexDamaged."""
    try:
        path, members = folder / f"{int(note['number'])}.faiss", folder / f"{int(note['number'])}.members.npy"
        if [_digest(path), _digest(members)] != note["sha256"]:
            raise IndexDamaged(f"{path.name} of index {folder.name!r} is not as it was written; rebuild it")
        places = np.load(members, allow_pickle=False)
        return Structure(sdk().read_index(str(path)), places, int(note["covered"]), int(note["trained"]))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise IndexDamaged(f"the FAISS file of index {folder.name!r} cannot be read; rebuild it") from exc


def remove_but(folder: Path, number: int | None) -> None:
    """Remove every structure's files but those of one."""
    for pattern in ("*.faiss", "*.faiss.new", "*.members.npy"):
        for path in folder.glob(pattern):
            if path.name.split(".")[0] != str(number):
                path.unlink(missing_ok=True)


@contextmanager
def faiss_errors(doing: str, folder: Path) -> Iterator[None]:
    """FAISS raises plain RuntimeError, a full disk included."""
    try:
        with disk_errors(doing):
            yield
    except NearfieldError:
        raise
    except (RuntimeError, MemoryError) as exc:
        if "write" in str(exc) and shutil.disk_usage(folder).free < 1 << 20:
            raise DiskFull(f"no space left on the disk while {doing}; free some and try again") from exc
        raise EngineUnavailable(f"FAISS failed while {doing}: {str(exc)[:200] or type(exc).__name__}") from exc


def _empty(settings: IndexSettings, dimension: int, rows: int) -> Any:
    """An index without vectors, told how to train."""
    faiss = sdk()
    metric = faiss.METRIC_L2 if settings.metric is Metric.EUCLIDEAN else faiss.METRIC_INNER_PRODUCT
    if settings.kind is IndexKind.HNSW:
        index = faiss.index_factory(dimension, f"HNSW{settings.m},{_CODES[settings.quantization]}", metric)
        index.hnsw.efConstruction = settings.ef_construction
        return index
    if settings.kind is IndexKind.FLAT:
        return faiss.index_factory(dimension, _CODES[settings.quantization], metric)
    lists = min(settings.lists or round(2 * math.sqrt(rows)), rows)
    if settings.quantization is not Quantization.PRODUCT:
        index = faiss.index_factory(dimension, f"IVF{lists},{_CODES[settings.quantization]}", metric)
        _train_quickly(index.cp)
        return index
    part = 8 if dimension >= 256 else 4  # components a byte stands for
    parts = -(-dimension // part)
    # "np": no polysemous training, which took nine tenths of the time for codes that nobody here compares
    index = faiss.index_factory(dimension, f"OPQ{parts}_{parts * part},IVF{lists},PQ{parts}x8np", metric)
    ivf = faiss.downcast_index(index.index)
    ivf.use_precomputed_table = -1  # it would take 256 floats for each list and part: more than the codes
    _train_quickly(ivf.cp)
    _train_quickly(ivf.pq.cp)
    return index


def _train(index: Any, sample: Float32Array) -> None:
    faiss = sdk()
    if not isinstance(index, faiss.IndexPreTransform):
        index.train(sample)
        return
    rotation, ivf = faiss.downcast_VectorTransform(index.chain.at(0)), faiss.downcast_index(index.index)
    rotation.niter, rotation.niter_pq_0, rotation.max_train_points = 8, 8, _POINTS_PER_CENTROID * _CODEBOOK
    borrowed = faiss.ProductQuantizer(ivf.d, ivf.pq.M, 8)  # the rotation does not own it
    _train_quickly(borrowed.cp)
    rotation.pq = borrowed
    try:
        index.train(sample)
    finally:
        rotation.pq = None


def _train_quickly(training: Any) -> None:
    """k-means on 64 points a centroid; more, up to the usual 256, take four times as long and find no more."""
    training.max_points_per_centroid, training.min_points_per_centroid, training.niter = _POINTS_PER_CENTROID, 1, 10


def _add(index: Any, vectors: Float32Array, places: Int64Array, settings: IndexSettings) -> None:
    for start in range(0, len(places), _ADDED_AT_ONCE):
        index.add(_read(vectors, places[start : start + _ADDED_AT_ONCE], settings))


def _read(vectors: Float32Array, places: Int64Array, settings: IndexSettings) -> Float32Array:
    chosen = np.ascontiguousarray(vectors[places])
    if settings.quantization is Quantization.FLOAT16:
        np.clip(chosen, -_LARGEST_FLOAT16, _LARGEST_FLOAT16, out=chosen)  # beyond it float16 holds infinities
    return chosen


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
