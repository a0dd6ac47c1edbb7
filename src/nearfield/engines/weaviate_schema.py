"""Weaviate's side of an index: the class it becomes, the objects its rows become. Plain values; no SDK is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np

from nearfield.domain import filters
from nearfield.domain.errors import IndexDamaged
from nearfield.domain.filters import GeoPoint
from nearfield.domain.languages import LANGUAGES, terms
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.engines.spec_file import compare_spec, spec_json
from nearfield.engines.weaviate_filters import PRESENT, SLICE, WHOLE, Columns, code_of, int_code, is_whole
from nearfield.protocols.engine import EngineCapabilities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import FieldValue, Row
    from nearfield.domain.schema import IndexSettings
    from nearfield.protocols.engine import IndexSpec

LAYOUT: Final = 1
WORDS: Final = "words"
"""The column of a row's words, already stemmed, so that they are ours and not those of Weaviate's tokenizers."""
SLICES: Final = 65_536
"""Rows are dealt into this many slices by their key, so that an answer too large for one query can be had in parts."""
SCANNED_BEHIND_FILTER: Final = 40_000
"""Weaviate's flatSearchCutoff: a graph compares every row that passes a filter as long as fewer do."""

_QUANTIZATIONS: Final = frozenset({Quantization.NONE, Quantization.INT8, Quantization.RABITQ})
CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT, IndexKind.HNSW}),
    quantizations=MappingProxyType(
        {IndexKind.FLAT: _QUANTIZATIONS, IndexKind.HNSW: _QUANTIZATIONS | {Quantization.PRODUCT}}
    ),
    filters=EVERY_FILTER - {filters.GeoRadius},
    lexical=True,
    languages=LANGUAGES,
    exact=True,
    effort=False,
    durable=True,
    max_dimension=65_535,
    embedded=False,
    remote=True,
    options=MappingProxyType(
        {
            "grpc_host": "Where gRPC is, if not at the URL's host; on Weaviate Cloud grpc-HOST.",
            "grpc_port": "The port of gRPC; 50051, or 443 with https, unless given.",
            "shards": "Shards of each new index; Weaviate chooses one per node unless given.",
            "replication_factor": "Copies of each shard of a new index, 1 unless given.",
            "consistency": "Copies that must take a write: one, quorum (unless given) or all.",
        }
    ),
)
_DISTANCES: Final = {Metric.COSINE: "cosine", Metric.DOT: "dot", Metric.EUCLIDEAN: "l2-squared"}
_UUID_PREFIX: Final = 0x6E65_6172_6669_8000 << 64
TRAINED_FROM: Final = 1_000
"""Rows from which on product codes are trained: 256 centroids need a few vectors each."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One object: plain values by column, lists of one type each."""

    key: int
    vector: bytes
    values: dict[str, str | float | bool] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    booleans: dict[str, list[bool]] = field(default_factory=dict)


def class_name(prefix: str, name: str) -> str:
    """A class begins with a capital letter."""
    return f"Index_{prefix}{name}"


def uuid_of(key: int) -> str:
    """The id of a key: the key is its lower half."""
    return str(UUID(int=_UUID_PREFIX | key))


def keys_of(ids: Sequence[bytes]) -> Int64Array:
    """The keys of ids, 16 bytes each."""
    return np.frombuffer(b"".join(ids), ">u8").reshape(-1, 2)[:, 1].astype(np.int64)


def slices_of(keys: Int64Array) -> list[int]:
    """The slice of each key, 0 to SLICES - 1: the top bits of a multiplicative hash (Knuth, TAOCP 3, 6.4)."""
    mixed = keys.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    return [int(part) for part in mixed >> np.uint64(48)]


def class_of(
    prefix: str, spec: IndexSpec, *, made: str, shards: int | None, replication_factor: int | None
) -> dict[str, Any]:
    """The class to create. made: of this call alone, by which a repeated call knows its own work."""
    columns = Columns.of(spec.fields)
    properties = [_column(WORDS, "text", "whitespace", searched=True), _column(SLICE, "number", ordered=True)]
    properties.append(_column(PRESENT, "text[]", "field"))
    for name, kind in spec.fields.items():
        properties.extend(_field_columns(name, kind, columns))
    made_class: dict[str, Any] = {
        "class": class_name(prefix, spec.name),
        "description": json.dumps({"spec": spec_json(spec, layout=LAYOUT), "made": made}),
        "vectorizer": "none",
        "vectorIndexType": spec.settings.kind.value,
        "vectorIndexConfig": vector_config(spec.settings),
        # k1 and b as everywhere in Nearfield; a query's stop words are taken out before it is sent
        "invertedIndexConfig": {"bm25": {"k1": 1.2, "b": 0.75}, "stopwords": {"preset": "none"}},
        "properties": properties,
    }
    if shards is not None:
        made_class["shardingConfig"] = {"desiredCount": shards}
    if replication_factor is not None:
        made_class["replicationConfig"] = {
            "factor": replication_factor,
            "asyncEnabled": replication_factor > 1,
            # left to itself, Weaviate never takes from a node that was away what was deleted meanwhile
            "deletionStrategy": "TimeBasedResolution",
        }
    return made_class


def vector_config(settings: IndexSettings, *, train: int = 0) -> dict[str, Any]:
    """The vector index. train: rows to train product codes on; 0 leaves them for later.

    int8 and rabitq are rotational codes of 8 and of 1 bit a component: of Weaviate's codes those alone hold from the
    first row on. Scalar and product codes are trained on rows that must be there already.
    """
    config: dict[str, Any] = {"distance": _DISTANCES[settings.metric]}
    if settings.kind is IndexKind.HNSW:
        config |= {
            "maxConnections": settings.m,
            "efConstruction": settings.ef_construction,
            "ef": settings.ef_search,
            "flatSearchCutoff": SCANNED_BEHIND_FILTER,
        }
    match settings.quantization:
        case Quantization.INT8:
            config["rq"] = {"enabled": True, "bits": 8}
        case Quantization.RABITQ:
            config["rq"] = {"enabled": True, "bits": 1}
        case Quantization.PRODUCT if train:
            config["pq"] = {"enabled": True, "trainingLimit": train}
        case _:
            config["skipDefaultQuantization"] = True  # a server may be told to quantize what says nothing
    return config


def check_stored(spec: IndexSpec, found: Mapping[str, Any]) -> None:
    """Raise IndexDamaged unless a class, as the server describes it, was made for `spec`."""
    try:
        stored = json.loads(found["description"])["spec"]
    except (KeyError, TypeError, ValueError) as exc:
        raise IndexDamaged(f"index {spec.name!r}: its class is not one that Nearfield made; rebuild it") from exc
    compare_spec(stored, spec, layout=LAYOUT)


def stored_rows(
    keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str], spec: IndexSpec
) -> list[StoredRow]:
    """Rows as Weaviate takes them. A column not given is empty."""
    columns = Columns.of(spec.fields)
    stored = []
    for key, vector, row, text, part in zip(keys.tolist(), vectors, rows, texts, slices_of(keys), strict=True):
        one = StoredRow(key, vector.astype("<f4").tobytes())
        one.values[SLICE] = float(part)
        words = " ".join(terms(text, spec.language))
        if words:
            one.values[WORDS] = words.encode("utf-8", "replace").decode()
        if row:
            one.texts[PRESENT] = [columns.main(name) for name in row]
        for name, value in row.items():
            _store(one, name, value, columns)
        stored.append(one)
    return stored


def _store(one: StoredRow, name: str, value: FieldValue, columns: Columns) -> None:
    kind, main, beside = columns.fields[name], columns.main(name), columns.beside(name)
    if isinstance(value, GeoPoint):
        one.values[main], one.values[beside] = value.lat + 0.0, value.lon + 0.0
        return
    if kind is FieldType.GEOS:
        return  # that there are points is told by PRESENT; where they are, Weaviate cannot be asked
    items: Any = value if kind.is_list else (value,)
    large = [int_code(item) for item in items if is_whole(kind) and abs(item) >= WHOLE]
    match kind.element:
        case FieldType.TEXT | FieldType.KEYWORD:
            codes = [code_of(kind)(item) for item in items]
            _put(one.texts if kind.is_list else one.values, main, codes, kind)
        case FieldType.BOOL:
            _put(one.booleans if kind.is_list else one.values, main, list(items), kind)
        case _:
            _put(one.numbers if kind.is_list else one.values, main, [float(item) + 0.0 for item in items], kind)
            if large:
                _put(one.texts if kind.is_list else one.values, beside, large, kind)


def _put(where: Any, column: str, items: list[Any], kind: FieldType) -> None:
    where[column] = items if kind.is_list else items[0]


def _field_columns(name: str, kind: FieldType, columns: Columns) -> list[dict[str, Any]]:
    main, beside = columns.main(name), columns.beside(name)
    suffix = "[]" if kind.is_list else ""
    match kind.element:
        case FieldType.TEXT | FieldType.KEYWORD:
            return [_column(main, f"text{suffix}", "field", about=name)]
        case FieldType.BOOL:
            return [_column(main, f"boolean{suffix}", about=name)]
        case FieldType.GEO if kind.is_list:
            return []
        case FieldType.GEO:
            return [_column(column, "number", ordered=True, about=name) for column in (main, beside)]
    number = _column(main, f"number{suffix}", ordered=not kind.is_list, about=name)
    return [number, _column(beside, f"text{suffix}", "field", about=name)] if is_whole(kind) else [number]


def _column(
    name: str,
    kind: str,
    tokenization: str | None = None,
    *,
    ordered: bool = False,
    searched: bool = False,
    about: str = "",
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "dataType": [kind], "indexFilterable": not searched}
    if about:
        column["description"] = about
    if ordered:
        column["indexRangeFilters"] = True
    if tokenization is not None:
        column |= {"tokenization": tokenization, "indexSearchable": searched}
    return column
