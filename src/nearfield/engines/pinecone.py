"""Pinecone serverless: every index is a namespace of an index that Pinecone keeps for its dimension and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

import numpy as np

from nearfield.domain.errors import (
    EngineUnavailable,
    IndexDamaged,
    IndexMissing,
    InvalidSetting,
    InvalidVector,
    UnsupportedByEngine,
)
from nearfield.domain.filters import GeoRadius
from nearfield.domain.schema import IndexKind, Metric
from nearfield.domain.servers import key_setting
from nearfield.engines.pinecone_filters import compile_filter, metadata_of
from nearfield.engines.pinecone_namespace import MAX_HITS, Namespace, Record
from nearfield.engines.pinecone_project import Place, Project, namespace_of
from nearfield.engines.pinecone_rest import Rest
from nearfield.engines.ranking import EVERY_FILTER, admit_limit, admit_rows, admit_vectors, no_matches, ranked, refuses
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec, unclaimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec

PATIENCE_S: Final = 30.0
"""How long a write may take to be seen. Pinecone speaks of seconds."""
MAKING_S: Final = 120.0
"""How long Pinecone may take to make an index, or to delete a namespace."""

_SPARE: Final = 8  # hits asked beyond the limit at first, so that the keys of those that tie decide
_CAPABILITIES = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.IVF}),
    filters=EVERY_FILTER - {GeoRadius},
    max_hits=MAX_HITS,
    durable=True,
    max_dimension=20_000,
    embedded=False,
    remote=True,
    options={
        "cloud": "where indexes are made: aws (the default), gcp or azure",
        "region": "the cloud's region, us-east-1 unless said",
    },
)


class PineconeEngine:
    """A Pinecone project, spoken to over REST, version 2026-04.

    Tested against a stateful stub, each request and answer of which is validated against the vendor's published
    OpenAPI descriptions of both planes; not against the service itself. `ivf` stands for the index that Pinecone
    chooses by itself, so its `lists` and `probes` stay 0. `durable` rests on the vendor's word: a write is
    acknowledged once it is in object storage.
    """

    name: ClassVar[str] = "pinecone"
    capabilities: ClassVar[EngineCapabilities] = _CAPABILITIES

    def __init__(
        self,
        url: str,
        key: str,
        prefix: str,
        *,
        cloud: str,
        region: str,
        timeout_s: float = 10.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """timeout_s: of one try of a call. patience_s: see PATIENCE_S."""
        self._rest = Rest(url, key, timeout_s=timeout_s)
        self._patience_s = patience_s
        self._project = Project(self._rest, prefix, cloud=cloud, region=region, patience_s=max(MAKING_S, patience_s))
        self._open: dict[str, PineconeIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        if address.url is None or address.url.partition("://")[0] not in ("http", "https"):
            raise InvalidSetting("engine pinecone is reached by pinecone+https://api.pinecone.io", field="engine")
        if not key:
            raise InvalidSetting(
                f"engine pinecone needs an API key; give it as {key_setting('pinecone')}",
                field="engine",
            )
        empty = next((name for name, value in address.options.items() if not value), None)
        if empty is not None:
            raise InvalidSetting(f"engine pinecone: option {empty} has no value", field="engine")
        asked = {"cloud": "aws", "region": "us-east-1", **address.options}
        return cls(address.url, key, prefix, cloud=asked["cloud"], region=asked["region"])

    async def create(self, spec: IndexSpec) -> PineconeIndex:
        _check(spec)
        await self.drop(spec.name)
        return self._opened(spec, await self._project.make(spec))

    async def open(self, spec: IndexSpec) -> PineconeIndex:
        _check(spec)
        places = await self._project.places(spec.name)
        if not places:
            raise IndexMissing(f"no index {spec.name!r} at Pinecone; it has to be rebuilt from the store")
        found = next((place for place in places if place.namespace == namespace_of(spec)), None)
        if found is None:
            raise IndexDamaged(f"index {spec.name!r} was made with another specification; rebuild it")
        return self._opened(spec, found)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        for place in await self._project.places(name):
            await self._project.remove(place)

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._rest.close()

    def _opened(self, spec: IndexSpec, place: Place) -> PineconeIndex:
        records = Namespace(self._rest, place, spec.dimension, patience_s=self._patience_s)
        self._open[spec.name] = PineconeIndex(spec, records)
        return self._open[spec.name]


class PineconeIndex:
    """One index. It keeps nothing in this process."""

    def __init__(self, spec: IndexSpec, records: Namespace) -> None:
        self._spec = spec
        self._records = records
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return unclaimed(_CAPABILITIES, where) or refuses(compile_filter, where, self._spec.fields)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        """See `VectorIndex`. Raises UnsupportedByEngine, naming the field, for a row of more than 40 KB of values."""
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        if not vectors.any(axis=1).all():
            raise InvalidVector("engine pinecone holds no vector of zeros alone", field="vector")
        await self._records_open().upsert(
            [
                Record(str(key), vector, metadata_of(row, self._spec.fields))
                for key, vector, row in zip(keys.tolist(), vectors, rows, strict=True)
            ]
        )

    async def delete(self, keys: Int64Array) -> None:
        await self._records_open().delete([str(key) for key in keys.tolist()])

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        if effort is not None:
            raise UnsupportedByEngine("engine pinecone takes no effort per query", field="effort")
        if exact:
            raise UnsupportedByEngine("engine pinecone has no exact search", field="exact")
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        said, records = self._said(where), self._records_open()
        if said is False:
            return no_matches()
        hits = min(limit + _SPARE, MAX_HITS)
        while True:
            keys, given = await records.query(vector.tolist(), hits, said)
            scores = self._similarities(given)
            if len(keys) < hits or (limit <= hits and scores[-1] < scores[limit - 1]):
                return ranked(keys, scores, limit)
            if hits == MAX_HITS:
                break
            hits = min(4 * hits, MAX_HITS)
        if limit > MAX_HITS:
            raise UnsupportedByEngine(
                f"engine pinecone gives at most {MAX_HITS} hits to one search, not {limit}", field="limit"
            )
        return ranked(keys, scores, limit)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """Refused: what Pinecone calls sparse is the caller's own statistics, and those are elsewhere."""
        raise UnsupportedByEngine("engine pinecone has no lexical search", field="mode")

    async def count(self, where: Filter | None = None) -> int:
        said, records = self._said(where), self._records_open()
        return 0 if said is False else await records.count(said)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        asked = [str(key) for key in keys.tolist()]
        stored = await self._records_open().fetch(asked)
        here = [key for key in asked if key in stored]
        try:
            found = np.array([stored[key]["values"] for key in here], np.float32).reshape(-1, self._spec.dimension)
        except (KeyError, TypeError, ValueError) as exc:
            raise EngineUnavailable(f"engine pinecone, reading vectors: it answered no vectors: {exc}") from exc
        return np.array([int(key) for key in here], np.int64), found

    async def keys(self) -> AsyncIterator[Int64Array]:
        async for page in self._records_open().ids():
            yield page

    async def flush(self) -> None:
        """Nothing to do: a write that was acknowledged is kept."""
        self._records_open()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Nothing to do: Pinecone compacts by itself."""
        self._records_open()

    async def stats(self) -> IndexStats:
        """bytes: of the vectors, which Pinecone stores as they are; it tells no other number."""
        rows = await self.count()
        return IndexStats(rows, rows * self._spec.dimension * 4, unindexed=0)

    async def close(self) -> None:
        self._closed = True

    def _records_open(self) -> Namespace:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")
        return self._records

    def _said(self, where: Filter | None) -> dict[str, Any] | Literal[False] | None:
        """The filter, None where every row passes, False where none can. Raises UnsupportedByEngine."""
        if where is None:
            return None
        if unclaimed(_CAPABILITIES, where):
            raise UnsupportedByEngine("engine pinecone cannot say this filter", field="filter")
        said = compile_filter(where, self._spec.fields)
        return None if said is True else said

    def _similarities(self, given: Float32Array) -> Float32Array:
        if self._spec.settings.metric is Metric.EUCLIDEAN:  # Pinecone gives the square
            return -np.sqrt(np.maximum(given, 0))
        return given


def _check(spec: IndexSpec) -> None:
    check_spec(PineconeEngine.name, _CAPABILITIES, spec)
    for asked in ("lists", "probes"):
        if getattr(spec.settings, asked):
            raise UnsupportedByEngine(
                f"engine pinecone chooses index.{asked} by itself; leave it 0", field=f"index.{asked}"
            )
