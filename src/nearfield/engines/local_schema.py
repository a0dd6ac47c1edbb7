"""zvec's side of an index: its columns, its index parameters, its documents. The SDK is loaded when first asked for."""

from __future__ import annotations

import json
import math
import os
import platform
import threading
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain import filters
from nearfield.domain.errors import MissingDependency, UnsupportedByEngine
from nearfield.domain.filters import GeoPoint
from nearfield.domain.languages import ENGLISH, LANGUAGES, NONE
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization
from nearfield.engines.local_filters import SLICE, column, encode_text, longitude_column
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import EngineCapabilities

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import FieldValue, Row
    from nearfield.domain.schema import IndexSettings
    from nearfield.protocols.engine import IndexSpec

VECTOR: Final = "n_vector"
TEXT: Final = "n_text"
SLICES: Final = 1024
"""Rows are dealt into this many slices by their key, so that an answer too large for one query can be had in parts."""

MAX_EFFORT: Final = 2048  # zvec refuses a longer candidate list
ALL_LISTS: Final = 65_536  # probes beyond the lists there are mean all of them
_LISTS: Final = 512
_RABITQ_DIMENSIONS: Final = range(64, 4096)
_init = threading.Lock()


def capabilities(system: str, machine: str) -> EngineCapabilities:
    """What zvec 0.8 does on a platform, as `platform.system()` and `platform.machine()` name it."""
    scalar = {Quantization.NONE, Quantization.FLOAT16, Quantization.INT8}
    graph = frozenset(scalar | ({Quantization.RABITQ} if machine.lower() in ("x86_64", "amd64") else set()))
    kinds = {IndexKind.FLAT, IndexKind.HNSW, IndexKind.IVF}
    quantizations = {IndexKind.HNSW: graph, IndexKind.IVF: graph}
    if system == "Linux":
        kinds.add(IndexKind.DISKANN)
        quantizations[IndexKind.DISKANN] = frozenset({Quantization.PRODUCT})
    return EngineCapabilities(
        metrics=frozenset(Metric),
        kinds=frozenset(kinds),
        quantizations=MappingProxyType(quantizations),
        filters=EVERY_FILTER - {filters.GeoRadius},
        lexical=True,
        languages=LANGUAGES,
        exact=True,
        effort=True,
        durable=True,
        max_dimension=20_000,
    )


ARROW_THREADS: Final = 64
"""More than the calls this engine has under way at once (27 at most), each of which may hold two."""
CAPABILITIES: Final = capabilities(platform.system(), platform.machine())


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0


@cache
def sdk() -> ModuleType:
    """The zvec module, initialised: quiet, and leaving a core to searches while it builds. Raises MissingDependency."""
    # zvec runs blocking plans inside the thread pool of the Arrow it is linked with: a thread per core, where few
    # end up waiting for each other, for ever. Six of eight loads of two searchers beside an import hung, none with a
    # large pool. The pool reads this variable when it is first used, so that it has to stay set. NumPy has read it
    # before; a later torch is held to the cores by its embedder.
    if _number(os.environ.get("OMP_NUM_THREADS")) < ARROW_THREADS:
        os.environ["OMP_NUM_THREADS"] = str(ARROW_THREADS)
    try:
        import zvec  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("engine local needs zvec: pip install 'zvec>=0.8,<0.9'") from exc
    with _init, suppress(RuntimeError):  # raised where the host program has initialised zvec for itself
        zvec.init(log_level=zvec.LogLevel.FATAL, optimize_threads=max(1, (os.cpu_count() or 1) - 1))
    return zvec


def check_local_spec(spec: IndexSpec) -> None:
    """Refuse what depends on more than one setting. Raises UnsupportedByEngine naming the field."""
    settings = spec.settings
    if settings.quantization is Quantization.RABITQ and spec.dimension not in _RABITQ_DIMENSIONS:
        raise UnsupportedByEngine(
            f"rabitq takes {_RABITQ_DIMENSIONS.start} to {_RABITQ_DIMENSIONS.stop - 1} dimensions, "
            f"not {spec.dimension}; use another quantization",
            field="index.quantization",
        )
    if settings.kind in (IndexKind.HNSW, IndexKind.DISKANN):
        check_effort(settings, settings.ef_search, field="index.ef_search")


def check_effort(settings: IndexSettings, effort: int, *, field: str = "effort") -> None:
    """Raise UnsupportedByEngine for an effort that this kind of index has not, or does not take."""
    if settings.kind is IndexKind.FLAT:
        raise UnsupportedByEngine("a flat index compares every row; it has no effort", field=field)
    most = ALL_LISTS if settings.kind is IndexKind.IVF else MAX_EFFORT
    if not 1 <= effort <= most:
        raise UnsupportedByEngine(
            f"effort is {effort}; engine local takes 1 to {most} with {settings.kind}", field=field
        )


def collection_schema(spec: IndexSpec) -> Any:
    """The zvec schema of an index: a column per field, nullable, with an inverted index where filters profit."""
    zvec = sdk()
    kinds = zvec.DataType

    def indexed(name: str, kind: Any) -> Any:
        return zvec.FieldSchema(name, kind, nullable=True, index_param=zvec.InvertIndexParam(True))

    columns = [
        zvec.FieldSchema(
            TEXT,
            kinds.STRING,
            nullable=True,
            index_param=_text_param(spec.language),
        ),
        indexed(SLICE, kinds.INT64),
    ]
    for name, kind in spec.fields.items():
        if kind is FieldType.TEXT:  # whole texts are long, and asked for seldom
            columns.append(zvec.FieldSchema(column(name), kinds.STRING, nullable=True))
        else:
            columns.append(indexed(column(name), getattr(kinds, _COLUMN_TYPES[kind])))
        if kind is FieldType.GEO:
            columns.append(indexed(longitude_column(name), kinds.DOUBLE))
    vector = zvec.VectorSchema(VECTOR, kinds.VECTOR_FP32, spec.dimension, index_param=_index_param(spec.settings))
    return zvec.CollectionSchema(spec.name, fields=columns, vectors=vector)


def _text_param(language: str) -> Any:
    """The same words as `domain.languages.terms`."""
    zvec = sdk()
    if language == NONE:
        return zvec.FtsIndexParam("standard", ["lowercase", "ascii_folding"])
    order = ["ascii_folding", "stemmer"] if language == ENGLISH else ["stemmer", "ascii_folding"]
    return zvec.FtsIndexParam("standard", ["lowercase", *order], json.dumps({"stemmer_lang": language}))


_COLUMN_TYPES: Final = MappingProxyType(
    {
        FieldType.KEYWORD: "STRING",
        FieldType.INT: "INT64",
        FieldType.FLOAT: "DOUBLE",
        FieldType.BOOL: "BOOL",
        FieldType.DATETIME: "INT64",
        FieldType.GEO: "DOUBLE",
        FieldType.TEXTS: "ARRAY_STRING",
        FieldType.KEYWORDS: "ARRAY_STRING",
        FieldType.INTS: "ARRAY_INT64",
        FieldType.FLOATS: "ARRAY_DOUBLE",
        FieldType.BOOLS: "ARRAY_BOOL",
        FieldType.DATETIMES: "ARRAY_INT64",
        FieldType.GEOS: "BOOL",  # that there are points; where they are, zvec cannot ask
    }
)


def _index_param(settings: IndexSettings) -> Any:
    zvec = sdk()
    metrics = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.EUCLIDEAN: "L2"}
    metric = getattr(zvec.MetricType, metrics[settings.metric])
    codes = {Quantization.FLOAT16: "FP16", Quantization.INT8: "INT8"}
    code = getattr(zvec.QuantizeType, codes.get(settings.quantization, "UNDEFINED"))
    lists = settings.lists or _LISTS
    rabitq = settings.quantization is Quantization.RABITQ
    match settings.kind:
        case IndexKind.FLAT:
            return zvec.FlatIndexParam(metric)
        case IndexKind.HNSW if rabitq:
            return zvec.HnswRabitqIndexParam(metric, m=settings.m, ef_construction=settings.ef_construction)
        case IndexKind.HNSW:
            return zvec.HnswIndexParam(metric, settings.m, settings.ef_construction, quantize_type=code)
        case IndexKind.IVF if rabitq:
            return zvec.IvfRabitqIndexParam(metric, nlist=lists)
        case IndexKind.IVF:
            return zvec.IVFIndexParam(metric, n_list=lists, quantize_type=code)
    # twice m, as HNSW's lowest layer has; zvec caps the degree and the list at 100
    return zvec.DiskAnnIndexParam(metric, min(100, 2 * settings.m), min(100, settings.ef_construction))


def query_param(settings: IndexSettings, *, effort: int | None, limit: int, rows: int, everything: bool) -> Any:
    """How zvec is to search. everything: compare every row (with DiskANN that is not to be had: the best it can).

    A quantized index hands its candidates to the refiner, which compares them at full precision.
    """
    zvec = sdk()
    refine = settings.quantization is not Quantization.NONE
    ef = min(MAX_EFFORT, max(effort or settings.ef_search, limit))
    probes = ALL_LISTS if everything else effort or settings.probes or _probes(settings, rows)
    rabitq = settings.quantization is Quantization.RABITQ
    match settings.kind:
        case IndexKind.FLAT:
            return None
        case IndexKind.HNSW if rabitq:
            return zvec.HnswRabitqQueryParam(ef, is_linear=everything, is_using_refiner=True)
        case IndexKind.HNSW:
            return zvec.HnswQueryParam(ef, is_linear=everything, is_using_refiner=refine)
        case IndexKind.IVF if rabitq:
            return zvec.IvfRabitqQueryParam(probes, is_using_refiner=True)
        case IndexKind.IVF:
            return zvec.IVFQueryParam(probes, is_using_refiner=refine)
    return zvec.DiskAnnQueryParam(ef)


def _probes(settings: IndexSettings, rows: int) -> int:
    """Lists enough to compare a sixteenth of the rows, and 2,000 of them at least."""
    lists = settings.lists or _LISTS
    return max(1, min(lists, math.ceil(max(2_000, rows / 16) * lists / max(1, rows))))


def slices_of(keys: Int64Array) -> list[int]:
    """The slice of each key, 0 to SLICES - 1: the top bits of a multiplicative hash (Knuth, TAOCP 3, 6.4)."""
    mixed = keys.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    return [int(part) for part in mixed >> np.uint64(54)]


def documents(
    keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str], spec: IndexSpec
) -> list[Any]:
    """Rows as zvec takes them. A field not given becomes null."""
    zvec = sdk()
    return [
        zvec.Doc(id=str(key), vectors={VECTOR: vector}, fields=_values(row, text, part, spec))
        for key, vector, row, text, part in zip(keys.tolist(), vectors, rows, texts, slices_of(keys), strict=True)
    ]


def utf8(text: str) -> str:
    """A text with lone surrogates, which zvec cannot hold, as question marks."""
    return text.encode("utf-8", "replace").decode()


def _values(row: Row, text: str, part: int, spec: IndexSpec) -> dict[str, Any]:
    values: dict[str, Any] = {SLICE: part, TEXT: utf8(text)}
    for name, value in row.items():
        if isinstance(value, GeoPoint):
            values[column(name)], values[longitude_column(name)] = value
        else:
            values[column(name)] = _stored(value, spec.fields[name])
    return values


def _stored(value: FieldValue, kind: FieldType) -> object:
    if kind is FieldType.GEOS:
        return True
    if isinstance(value, tuple):
        return [encode_text(item) if isinstance(item, str) else item for item in value]
    return encode_text(value) if isinstance(value, str) else value
