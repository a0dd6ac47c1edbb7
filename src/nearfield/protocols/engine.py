"""The seam to where vectors live.

A `VectorEngine` keeps many indexes, one per generation, and hands out a `VectorIndex` for each. It is never the only
copy of anything: an index that is lost is built again from the store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, cast

import numpy as np

from nearfield.domain.errors import DimensionMismatch, InvalidSetting, InvalidVector, UnsupportedByEngine
from nearfield.domain.filters import Filter, walk
from nearfield.domain.languages import ENGLISH
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Row
    from nearfield.domain.hits import Matches
    from nearfield.domain.schema import IndexSettings


@dataclass(frozen=True, slots=True)
class EngineCapabilities:
    """A promise. What is claimed is tested; what is not claimed is refused, never silently ignored.

    metrics, kinds: what `IndexSpec.settings` may ask. quantizations: per kind; a kind absent here knows only `none`.
    filters: node types `where` may hold. Geo nodes are claimed like others.
    lexical: BM25 over the rows' text. languages: what `IndexSpec.language` may ask where there is lexical search.
    max_hits: the most rows one search gives; the plan asks for no more, and decides on every document instead.
    exact: exhaustive search on request. effort: efSearch, or its like, per query.
    durable: `flush` survives kill -9. max_dimension: components.
    embedded: is an `EmbeddedEngine`. remote: is a `RemoteEngine`. options: what an address
    may carry, each with its meaning.
    """

    metrics: frozenset[Metric]
    kinds: frozenset[IndexKind]
    quantizations: Mapping[IndexKind, frozenset[Quantization]] = field(default_factory=dict)
    filters: frozenset[type[Filter]] = frozenset()
    lexical: bool = False
    max_hits: int = 100_000
    languages: frozenset[str] = frozenset({ENGLISH})
    exact: bool = False
    effort: bool = False
    durable: bool = False
    max_dimension: int = 4096
    embedded: bool = True
    remote: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What an index is to be. `name` is unique within the engine: letters, digits and `_`.

    fields: the fields rows may hold; nothing else is ever filtered on. language: whose stems and stop words lexical
    search uses, one of `domain.languages.LANGUAGES`. texts: how the rows' texts were made of documents; an index whose
    texts were made another way is another index. words_beside: whether the words are to be kept beside the engine
    whatever it claims, so that they can be searched while it is down; no adapter's business.
    """

    name: str
    dimension: int
    settings: IndexSettings
    fields: Mapping[str, FieldType]
    language: str = ENGLISH
    texts: str = ""
    words_beside: bool = False


@dataclass(frozen=True, slots=True)
class IndexStats:
    """rows: stored. bytes: on disk, or in memory where that is all there is. unindexed: rows `optimize` would still
    take into the index; they are found all the same."""

    rows: int
    bytes: int
    unindexed: int


class VectorIndex(Protocol):
    """One index, open. Methods may be called concurrently; writes of one index come from one task at a time."""

    @property
    def spec(self) -> IndexSpec: ...

    def unsupported(self, where: Filter) -> bool:
        """Whether this index cannot say a bound filter exactly. Pure, quick, no I/O: the planner asks it first."""
        ...

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """Store rows, replacing those whose key is there already. Idempotent.

        keys: int64, shape (n,), each once, 0 to 2**63 - 1. vectors: float32, shape (n, dimension), already through
        `check_vectors`. rows: the filterable values of each. texts: what lexical search reads, may be empty strings.
        Visible to searches when this returns; durable after `flush`.
        Raises EngineUnavailable, DiskFull, DimensionMismatch, InvalidVector.
        """
        ...

    async def delete(self, keys: Int64Array) -> None:
        """Remove rows; keys that are not there are passed over. Same visibility and durability as `upsert`."""
        ...

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """Find the nearest stored vectors.

        vector: float32, shape (dimension,), finite; unit length when the metric is cosine. limit: at least 1.
        where: bound; `unsupported(where)` must be false. effort: efSearch, refused where not claimed.
        exact: compare every row that passes `where`; then exactly min(limit, matching rows) come back.
        Returns the similarity as score: cosine in -1..1, dot product, or negated Euclidean distance; ties break by key.
        Raises DimensionMismatch, UnsupportedByEngine, EngineUnavailable.
        """
        ...

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """Find the rows whose text holds any of the words, by BM25, best first; ties break by key.

        A text without a word, or with stop words only, finds nothing. No character of it is an operator.
        Raises UnsupportedByEngine, EngineUnavailable.
        """
        ...

    async def count(self, where: Filter | None = None) -> int:
        """Rows that pass, exactly."""
        ...

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """The vectors stored under some keys: (found keys in the order asked, float32 of shape (found, dimension)).

        Exact where quantization is `none`; else what the engine can give back at its best precision.
        """
        ...

    def keys(self) -> AsyncIterator[Int64Array]:
        """Every key stored, in batches, in no order. For reconciliation; runs beside writes, and may miss those."""
        ...

    async def flush(self) -> None:
        """Make everything written so far survive kill -9 and power loss, where `durable` is claimed."""
        ...

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Take unindexed rows into the index, merge, compact. Searches and writes go on meanwhile.

        all_cores: be done soon rather than leave a core to them, where the engine works in this process.
        """
        ...

    async def stats(self) -> IndexStats: ...

    async def close(self) -> None:
        """Release files and memory. Idempotent. Any later call raises EngineUnavailable."""
        ...


class WordsBeside(Protocol):
    """What an index has more where its words are kept in another beside it, inside this process."""

    @property
    def words(self) -> VectorIndex:
        """The other index. It answers `lexical`, `count` and `keys`, and knows no vectors."""
        ...

    @property
    def unfilled(self) -> bool:
        """Whether it has yet to be given the rows written before it was made."""
        ...

    async def put_words(self, keys: Int64Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """Give it some rows; see `VectorIndex.upsert`."""
        ...

    async def words_filled(self) -> None:
        """Note, for good, that it has been given every row."""
        ...


def words_beside(index: VectorIndex) -> WordsBeside | None:
    """The index as one whose words are kept beside it, None where it has its own or none."""
    return cast("WordsBeside", index) if hasattr(type(index), "put_words") else None


def words_index(index: VectorIndex) -> VectorIndex:
    """The index that is to be asked by words."""
    beside = words_beside(index)
    return index if beside is None else beside.words


class VectorEngine(Protocol):
    """A backend that keeps indexes."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> EngineCapabilities: ...

    async def create(self, spec: IndexSpec) -> VectorIndex:
        """Make an empty index; one of that name that exists is dropped first.

        Raises UnsupportedByEngine (naming the field) for a metric, kind, quantization or dimension not claimed.
        """
        ...

    async def open(self, spec: IndexSpec) -> VectorIndex:
        """Open an index made with the same spec. Raises IndexMissing, IndexDamaged, EngineUnavailable."""
        ...

    async def drop(self, name: str) -> None:
        """Remove an index and all its files; passes over one that is not there."""
        ...

    async def close(self) -> None:
        """Close every index handed out. Idempotent."""
        ...


class EngineKind(VectorEngine, Protocol):
    """What an entry point in the group `nearfield.engines` names: an engine whose class tells what it is."""

    name: ClassVar[str]
    capabilities: ClassVar[EngineCapabilities]
    """Readable without connecting: `nearfield engines` prints it."""


class EmbeddedEngine(EngineKind, Protocol):
    """An engine that claims `embedded`: it keeps its indexes in a folder, inside this process."""

    @classmethod
    def at(cls, folder: Path) -> Self:
        """An engine over a folder of its own (made when first needed). Opens nothing yet. Raises MissingDependency."""
        ...


class RemoteEngine(EngineKind, Protocol):
    """An engine that claims `remote`: it keeps its indexes on a server."""

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        """An engine on a server. Connects to nothing yet.

        address: already through `check_address`. prefix: what the names of this installation's indexes begin with, on
        a server that others may use too: letters, digits and `_`. key: password or API key; never logged, never in an
        error. Raises InvalidSetting for an option's value or a URL it cannot use, MissingDependency.
        """
        ...


def check_spec(engine: str, capabilities: EngineCapabilities, spec: IndexSpec) -> None:
    """Raise UnsupportedByEngine, naming the field, unless `capabilities` claim all that `spec` asks."""
    settings = spec.settings
    if settings.metric not in capabilities.metrics:
        raise _refusal(engine, "index.metric", settings.metric, capabilities.metrics)
    if settings.kind not in capabilities.kinds:
        raise _refusal(engine, "index.kind", settings.kind, capabilities.kinds)
    quantizations = capabilities.quantizations.get(settings.kind, frozenset({Quantization.NONE}))
    if settings.quantization not in quantizations:
        raise _refusal(engine, "index.quantization", f"{settings.quantization} with {settings.kind}", quantizations)
    if spec.language != ENGLISH and not (capabilities.lexical and spec.language in capabilities.languages):
        known = capabilities.languages if capabilities.lexical else frozenset({ENGLISH})
        raise _refusal(engine, "search.language", spec.language, known)
    if not 1 <= spec.dimension <= capabilities.max_dimension:
        raise UnsupportedByEngine(
            f"engine {engine} holds 1 to {capabilities.max_dimension} dimensions, not {spec.dimension}",
            field="embedder",
        )


def check_address(capabilities: EngineCapabilities, address: EngineAddress) -> None:
    """Raise InvalidSetting, naming `engine`, unless `capabilities` claim what an address asks."""
    if address.url is None and not capabilities.embedded:
        raise InvalidSetting(f"engine {address.name} is a server; write {address.name}+URL", field="engine")
    if address.url is not None and not capabilities.remote:
        raise InvalidSetting(f"engine {address.name} runs in this process; name it without a URL", field="engine")
    unknown = sorted(address.options.keys() - capabilities.options.keys())
    if unknown:
        known = ", ".join(sorted(capabilities.options)) or "none"
        raise InvalidSetting(f"engine {address.name} has no option {unknown[0]!r}; it knows {known}", field="engine")


def _refusal(engine: str, field: str, given: str, known: frozenset[str]) -> UnsupportedByEngine:
    return UnsupportedByEngine(
        f"engine {engine} has no {field} {given}; it knows {', '.join(sorted(known))}", field=field
    )


def unclaimed(capabilities: EngineCapabilities, where: Filter) -> bool:
    """Whether a filter holds a node type that is not claimed."""
    return any(type(node) not in capabilities.filters for node in walk(where))


def check_vectors(vectors: Float32Array, dimension: int, *, metric: Metric) -> Float32Array:
    """Validate vectors before any engine sees them, and give them unit length when the metric is cosine.

    vectors: shape (n, dimension) or (dimension,); any float dtype. Returns contiguous float32 of the same shape.
    Raises DimensionMismatch, or InvalidVector for a NaN, an infinity, or (cosine only) a vector without length.
    """
    given = np.ascontiguousarray(vectors, dtype=np.float32)
    if given.ndim not in (1, 2) or given.shape[-1] != dimension:
        raise DimensionMismatch(f"vector has shape {given.shape}; expected {dimension} components", field="vector")
    if not np.isfinite(given).all():
        raise InvalidVector("vector holds a NaN or an infinity; expected finite numbers", field="vector")
    if metric is not Metric.COSINE:
        return given
    wide = given.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not lengths.all():
        raise InvalidVector("vector has length zero, which has no direction for cosine", field="vector")
    return np.ascontiguousarray(wide / lengths, dtype=np.float32)
