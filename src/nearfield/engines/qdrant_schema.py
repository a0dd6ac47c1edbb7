"""What Qdrant is told of an index: its collection, its payload indexes, its points. The one file that knows the SDK."""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidSetting, MissingDependency
from nearfield.domain.filters import GeoPoint
from nearfield.domain.languages import LANGUAGES
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import EngineCapabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import FieldValue, Row
    from nearfield.engines.qdrant_words import Words
    from nearfield.protocols.engine import IndexSpec

DENSE: Final = "dense"
"""The named vector of a point that holds its embedding."""
WORDS: Final = "words"
"""The sparse one, which holds the weights of its words."""

_SCALED: Final = frozenset({Quantization.NONE, Quantization.INT8, Quantization.PRODUCT})
CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT, IndexKind.HNSW}),
    quantizations={IndexKind.FLAT: _SCALED, IndexKind.HNSW: _SCALED},
    filters=EVERY_FILTER,
    lexical=True,
    languages=LANGUAGES,
    exact=True,
    effort=True,
    durable=True,
    max_dimension=65_535,
    embedded=False,
    remote=True,
    options={
        "shard_number": "shards of each index, 1 or more; the server chooses when not said",
        "replication_factor": "copies of each shard, on as many nodes",
        "write_consistency_factor": "copies that must have taken a write before it is acknowledged",
        "grpc_port": "speak gRPC, on this port; HTTP when not said",
    },
)
OVERSAMPLING: Final[Mapping[Quantization, float]] = {Quantization.INT8: 2.0, Quantization.PRODUCT: 4.0}
"""How many times the limit is read from quantized vectors, to be compared again by the whole ones."""

_DISTANCES: Final[Mapping[Metric, str]] = {
    Metric.COSINE: "Dot",  # of unit vectors the same, and Qdrant would give lengths of its own rounding to "Cosine"
    Metric.DOT: "Dot",
    Metric.EUCLIDEAN: "Euclid",
}
_INDEXES: Final[Mapping[FieldType, str]] = {
    FieldType.TEXT: "keyword",
    FieldType.KEYWORD: "keyword",
    FieldType.INT: "integer",
    FieldType.FLOAT: "float",
    FieldType.BOOL: "bool",
    FieldType.DATETIME: "integer",
}
_BATCH_BYTES: Final = 750_000  # the SDK writes JSON on the event loop, 20 ms for this; a server takes 32 MB
_COMPONENT_BYTES: Final = 20


@functools.cache
def sdk() -> types.SimpleNamespace:
    """What is used of qdrant-client. Raises MissingDependency."""
    try:
        from grpc.aio import AioRpcError  # noqa: PLC0415 - the client needs it anyway
        from qdrant_client import AsyncQdrantClient, models  # noqa: PLC0415 - half a second, and an extra
        from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse  # noqa: PLC0415
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependency(
            "engine qdrant needs qdrant-client: pip install 'nearfield[qdrant]'", field="engine"
        ) from exc
    return types.SimpleNamespace(
        AioRpcError=AioRpcError,
        AsyncQdrantClient=AsyncQdrantClient,
        models=models,
        QdrantException=QdrantException,
        ResourceExhaustedResponse=ResourceExhaustedResponse,
        ResponseHandlingException=ResponseHandlingException,
        UnexpectedResponse=UnexpectedResponse,
    )


@dataclass(frozen=True, slots=True)
class QdrantOptions:
    """The options of an address, read. None leaves the choice to the server."""

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    grpc_port: int | None = None

    @classmethod
    def read(cls, options: Mapping[str, str]) -> QdrantOptions:
        """Raises InvalidSetting naming an option that is no number of 1 or more."""
        read = cls(**{name: _positive(name, text) for name, text in options.items()})
        if read.grpc_port is not None and read.grpc_port > 65_535:
            raise InvalidSetting(f"engine qdrant: grpc_port is {read.grpc_port}; expected 1 to 65535", field="engine")
        copies, needed = read.replication_factor or 1, read.write_consistency_factor or 1
        if needed > copies:
            raise InvalidSetting(
                f"engine qdrant: write_consistency_factor is {needed}, of {copies} copies by replication_factor",
                field="engine",
            )
        return read

    def placement(self) -> dict[str, int]:
        """What a new collection is told of them."""
        said = {
            "shard_number": self.shard_number,
            "replication_factor": self.replication_factor,
            "write_consistency_factor": self.write_consistency_factor,
        }
        return {name: value for name, value in said.items() if value is not None}


def _positive(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise InvalidSetting(f"engine qdrant: {name} is {text!r}; expected a number of 1 or more", field="engine")
    return int(text)


def collection_config(spec: IndexSpec) -> dict[str, Any]:
    """The vectors of an index, as arguments of `create_collection`."""
    models = sdk().models
    settings = spec.settings
    flat = settings.kind is IndexKind.FLAT
    dense = models.VectorParams(
        size=spec.dimension,
        distance=_DISTANCES[settings.metric],
        hnsw_config=models.HnswConfigDiff(m=0) if flat else _graph(spec),
        quantization_config=_quantization(settings.quantization),
    )
    return {
        "vectors_config": {DENSE: dense},
        "sparse_vectors_config": {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    }


def _graph(spec: IndexSpec) -> Any:
    return sdk().models.HnswConfigDiff(m=spec.settings.m, ef_construct=spec.settings.ef_construction)


def _quantization(asked: Quantization) -> Any:
    models = sdk().models
    if asked is Quantization.INT8:
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        )
    if asked is Quantization.PRODUCT:
        return models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
        )
    return None


def search_params(spec: IndexSpec, *, effort: int | None, exact: bool) -> Any:
    """How one search is to go about it."""
    models, settings = sdk().models, spec.settings
    quantization = None
    if settings.quantization is not Quantization.NONE:
        quantization = (
            models.QuantizationSearchParams(ignore=True)
            if exact
            else models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING[settings.quantization])
        )
    if exact or settings.kind is IndexKind.FLAT:
        return models.SearchParams(exact=exact, quantization=quantization)
    return models.SearchParams(hnsw_ef=effort or settings.ef_search, exact=False, quantization=quantization)


def payload_indexes(fields: Mapping[str, FieldType]) -> Iterator[tuple[str, str]]:
    """The keys of a payload to index, and the kind of each index."""
    for name, kind in fields.items():
        if kind.element is FieldType.GEO:
            path = f"{name}[]" if kind.is_list else name
            yield f"{path}.lat", "float"
            yield f"{path}.lon", "float"
        else:
            yield name, _INDEXES[kind.element]


def point_batches(
    keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str], words: Words | None
) -> list[list[Any]]:
    """Points, in batches that a request can hold. words: None where no text has a word."""
    batches: list[list[Any]] = []
    room = 0
    for key, vector, row, text in zip(keys.tolist(), vectors, rows, texts, strict=True):
        payload = {name: _stored(value) for name, value in row.items()}
        named: dict[str, Any] = {DENSE: vector.tolist()}
        weights = words.of_document(text) if words else {}
        if weights:
            named[WORDS] = sparse(weights)
        weight = _COMPONENT_BYTES * (len(vector) + 2 * len(weights)) + _payload_bytes(payload)
        if not batches or weight > room:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(sdk().models.PointStruct(id=key, vector=named, payload=payload))
        room -= weight
    return batches


def sparse(weights: Mapping[int, float]) -> Any:
    """Weights by word as a vector of Qdrant's."""
    return sdk().models.SparseVector(indices=list(weights), values=list(weights.values()))


def _stored(value: FieldValue) -> Any:
    if isinstance(value, GeoPoint):
        return {"lat": value.lat, "lon": value.lon}
    if isinstance(value, tuple):
        return [_stored(item) for item in value]
    return value


def _payload_bytes(value: Any) -> int:
    """About how long a value is in JSON."""
    if isinstance(value, str):
        return 2 * len(value)
    if isinstance(value, dict):
        return sum(len(name) + _payload_bytes(item) for name, item in value.items())
    return sum(map(_payload_bytes, value)) if isinstance(value, list) else _COMPONENT_BYTES
