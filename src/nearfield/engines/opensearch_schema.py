"""What an OpenSearch index is made of: its settings and mapping, a row as a document, what can be asked of it.

Words are analysed here, by `domain.languages`, and the server cuts them at blanks only: languages, stems and stop words
are the same under every engine. Vectors are compared by inner product, also for cosine, whose vectors have unit length:
of all its spaces it is the one whose scores mean the same in every version and engine.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import InvalidSetting, UnsupportedByEngine
from nearfield.domain.filters import GeoPoint, GeoRadius
from nearfield.domain.languages import LANGUAGES, terms
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization
from nearfield.engines.bm25 import K1, B
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.engines.spec_file import spec_json
from nearfield.protocols.engine import EngineCapabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.documents import Float32Array
    from nearfield.domain.filters import Row
    from nearfield.protocols.engine import IndexSpec

LAYOUT: Final = 1
KEY: Final = "key"
VECTOR: Final = "vector"
WORDS: Final = "words"
MAX_HITS: Final = 10_000
"""The most rows the server gives for one search, and the greatest k it takes."""
MAX_TERM_BYTES: Final = 32_000
"""Lucene takes 32,766."""
MAX_WORD_BYTES: Final = 180
"""The whitespace tokenizer cuts a word into pieces of 255 characters."""

CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT, IndexKind.HNSW}),
    quantizations={IndexKind.HNSW: frozenset({Quantization.NONE, Quantization.FLOAT16, Quantization.INT8})},
    filters=EVERY_FILTER - {GeoRadius},
    lexical=True,
    languages=LANGUAGES,
    max_hits=MAX_HITS,
    exact=True,
    effort=True,
    durable=True,
    max_dimension=16_000,
    embedded=False,
    remote=True,
    options={
        "engine": "lucene (the default) or faiss, which builds the HNSW graph; float16 needs faiss, int8 needs lucene",
        "shards": "primary shards of each index, 1 unless said otherwise; cannot be changed later",
        "replicas": "copies of each shard, 1 unless said otherwise",
        "region": "an AWS region, eu-west-1 say: requests are then signed (SigV4)",
        "service": "what requests are signed for; es, Amazon OpenSearch Service, is the one that is known",
    },
)

_BLANK: Final = re.compile(r"\s")
_INNER_BLANK: Final = "\ue000"
"""Stands for a blank inside a word: a few letters are several words when their marks are folded away."""
_GRAPHS: Final[Mapping[Quantization, str]] = {Quantization.FLOAT16: "faiss", Quantization.INT8: "lucene"}
_ENCODERS: Final[Mapping[Quantization, dict[str, Any]]] = {
    Quantization.FLOAT16: {"name": "sq", "parameters": {"type": "fp16"}},
    Quantization.INT8: {"name": "sq"},
}
_TYPES: Final = {
    FieldType.TEXT: "keyword",
    FieldType.KEYWORD: "keyword",
    FieldType.INT: "long",
    FieldType.FLOAT: "double",
    FieldType.BOOL: "boolean",
    FieldType.DATETIME: "long",
    FieldType.GEO: "double",
}


def checked_options(options: Mapping[str, str]) -> Mapping[str, str]:
    """The options of an address. Raises InvalidSetting for a value that is none of those known."""
    for name, least in (("shards", 1), ("replicas", 0)):
        value = options.get(name, "1")
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= 1024:
            raise InvalidSetting(f"engine opensearch: {name} is {value!r}; expected {least} to 1024", field="engine")
    for name, known in (("engine", ("lucene", "faiss")), ("service", ("es",))):
        if options.get(name, known[0]) not in known:
            raise InvalidSetting(
                f"engine opensearch: {name} is {options[name]!r}; expected {' or '.join(known)}", field="engine"
            )
    if "service" in options and "region" not in options:
        raise InvalidSetting("engine opensearch: service without region, which signing needs", field="engine")
    return options


def index_name(name: str) -> str:
    """A server's name of an index: no capital letters, no `_` or `-` in front. No two names share one."""
    lowered = re.sub("[A-Z]", lambda found: f"-{found[0].lower()}", name)
    return lowered if lowered[0].isalnum() else f"n-{lowered}"


def column(field: str) -> str:
    """Where a field is kept. The prefix keeps clear of our own columns and of the server's (`_id`)."""
    return f"f_{field}"


def longitude_column(field: str) -> str:
    """The second column of a geo field, whose first holds the latitude."""
    return f"g_{field}"


def index_body(spec: IndexSpec, options: Mapping[str, str]) -> dict[str, Any]:
    """What an index is created with. Raises UnsupportedByEngine where the quantization is not the graph's."""
    settings = {
        "knn": spec.settings.kind is IndexKind.HNSW,
        "number_of_shards": int(options.get("shards", "1")),
        "number_of_replicas": int(options.get("replicas", "1")),
        "refresh_interval": "30s",  # every write asks for its own
        "translog.durability": "request",
        "similarity": {"default": {"type": "BM25", "k1": K1, "b": B}},
        "analysis": {
            "tokenizer": {"blanks": {"type": "whitespace", "max_token_length": 255}},
            "analyzer": {"words": {"type": "custom", "tokenizer": "blanks"}},
        },
    }
    properties: dict[str, Any] = {
        KEY: {"type": "long"},
        VECTOR: _vector_property(spec, options),
        WORDS: {"type": "text", "analyzer": "words", "index_options": "freqs"},
    }
    for name, kind in spec.fields.items():
        properties[column(name)] = {"type": "boolean" if kind is FieldType.GEOS else _TYPES[kind.element]}
        if kind is FieldType.GEO:
            properties[longitude_column(name)] = {"type": "double"}
    mappings = {
        "dynamic": False,
        "_meta": {"nearfield": spec_json(spec, layout=LAYOUT)},
        "_source": {"excludes": [WORDS]},
        "properties": properties,
    }
    return {"settings": {"index": settings}, "mappings": mappings}


def _vector_property(spec: IndexSpec, options: Mapping[str, str]) -> dict[str, Any]:
    wanted = {"type": "knn_vector", "dimension": spec.dimension}
    asked = spec.settings
    if asked.kind is IndexKind.FLAT:
        return wanted
    graph = _GRAPHS.get(asked.quantization, options.get("engine", "lucene"))
    if options.get("engine", graph) != graph:
        raise UnsupportedByEngine(
            f"engine opensearch has {asked.quantization} with engine={graph} only, not {options['engine']}",
            field="index.quantization",
        )
    parameters: dict[str, Any] = {"m": asked.m, "ef_construction": asked.ef_construction}
    if asked.quantization in _ENCODERS:
        parameters["encoder"] = _ENCODERS[asked.quantization]
    space = "l2" if asked.metric is Metric.EUCLIDEAN else "innerproduct"
    return {**wanted, "method": {"name": "hnsw", "engine": graph, "space_type": space, "parameters": parameters}}


def document(key: int, vector: Float32Array, row: Row, text: str, spec: IndexSpec) -> dict[str, Any]:
    """A row as the server keeps it. The vector stays an array: orjson writes it."""
    kept: dict[str, Any] = {KEY: key, VECTOR: vector, WORDS: words(text, spec.language)}
    for name, value in row.items():
        kind = spec.fields[name]
        if kind is FieldType.GEOS:
            kept[column(name)] = True  # only whether it is there can be asked
        elif isinstance(value, GeoPoint):
            kept[column(name)], kept[longitude_column(name)] = value
        elif isinstance(value, tuple):
            kept[column(name)] = [stored(item, kind) for item in value]
        else:
            kept[column(name)] = stored(value, kind)
    return kept


def stored(value: object, kind: FieldType) -> object:
    """A value as it is kept and asked for."""
    if isinstance(value, str):
        return packed(value)
    return float(value) + 0.0 if kind.element is FieldType.FLOAT else value  # type: ignore[arg-type]


def words(text: str, language: str) -> str:
    """The words of a text as they are compared, with blanks between."""
    return " ".join(packed(_BLANK.sub(_INNER_BLANK, term), MAX_WORD_BYTES) for term in terms(text, language))


def packed(text: str, most: int = MAX_TERM_BYTES) -> str:
    """A text itself, or, where it has more than `most` bytes, its beginning and a digest of the whole.

    No two texts share one, and a text compares to those of up to `most` - 10 bytes as it did.
    """
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return raw.decode()
    return raw[:most].decode("utf-8", "ignore") + hashlib.sha256(raw).hexdigest()


def space_of(metric: Metric) -> str:
    """The name of a metric in scripts."""
    return "l2" if metric is Metric.EUCLIDEAN else "innerproduct"


def similarities(scores: Float32Array, metric: Metric) -> Float32Array:
    """What the server's scores, all above 0, say about vectors.

    A distance d comes as 1 / (1 + d * d) in float32: below 0.001 it is told no finer than to 0.0003.
    """
    wide = scores.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return np.asarray(-np.sqrt(np.maximum(1 / wide - 1, 0)), np.float32)
    found = np.where(wide >= 1, wide - 1, 1 - 1 / wide)
    return np.asarray(np.clip(found, -1, 1) if metric is Metric.COSINE else found, np.float32)
