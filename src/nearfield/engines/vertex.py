"""Vertex AI Vector Search 2.0, of Google Cloud: every index is a collection, every row a data object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import numpy as np

from nearfield.domain.errors import (
    EngineUnavailable,
    InvalidSetting,
    UnsupportedByEngine,
)
from nearfield.domain.filters import GeoRadius
from nearfield.domain.schema import IndexKind, Metric
from nearfield.engines.ranking import EVERY_FILTER, admit_limit, admit_rows, admit_vectors, no_matches, ranked, refuses
from nearfield.engines.vertex_auth import Tokens
from nearfield.engines.vertex_collection import KNN_ROWS, MAX_HITS, Objects, Record, id_of
from nearfield.engines.vertex_filters import compile_filter, data_of
from nearfield.engines.vertex_location import Location
from nearfield.engines.vertex_rest import Rest
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec, unclaimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec

PATIENCE_S: Final = 60.0
"""How long a write may take to be seen."""
MAKING_S: Final = 300.0
"""How long a collection may take to be made, or to be deleted."""

_SPARE: Final = 8  # hits asked beyond the limit at first, so that the keys of those that tie decide
_PLACE: Final = re.compile(r"[a-z0-9][a-z0-9.:-]*\Z")
_CAPABILITIES = EngineCapabilities(
    metrics=frozenset({Metric.COSINE, Metric.DOT}),
    kinds=frozenset({IndexKind.FLAT, IndexKind.IVF}),
    filters=EVERY_FILTER - {GeoRadius},
    max_hits=MAX_HITS,
    exact=True,
    durable=True,
    max_dimension=3_072,
    embedded=False,
    remote=True,
    options={
        "project": "the Google Cloud project whose collections are used",
        "location": "the region where they are, us-central1 for example",
    },
)


class VertexEngine:
    """Collections of one location of a Google Cloud project, spoken to over REST, version 1.

    Tested against a stateful stub, each request and answer of which is read and written by the vendor's own published
    protocol buffers (google-cloud-vectorsearch); not against the service itself. `flat` compares every row, which the
    vendor does up to 100,000; `ivf` stands for its ScaNN index, which it configures by itself, so `lists` and `probes`
    stay 0. Unit vectors are compared by their dot product under cosine too. `durable` rests on the vendor's word: what
    is acknowledged is in replicated storage.
    """

    name: ClassVar[str] = "vertex"
    capabilities: ClassVar[EngineCapabilities] = _CAPABILITIES

    def __init__(
        self,
        url: str,
        project: str,
        location: str,
        prefix: str,
        tokens: Tokens,
        *,
        timeout_s: float = 10.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """tokens: gives each request one. timeout_s: of one try of a call. patience_s: see PATIENCE_S."""
        self._rest = Rest(url, project, location, tokens, timeout_s=timeout_s)
        self._patience_s = patience_s
        self._location = Location(self._rest, prefix, patience_s=max(MAKING_S, patience_s))
        self._open: dict[str, VertexIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        """See `RemoteEngine`. key: as `Tokens` takes it; None for the application default credentials."""
        if address.url is None or address.url.partition("://")[0] not in ("http", "https"):
            raise InvalidSetting(
                "engine vertex is reached by vertex+https://vectorsearch.googleapis.com?project=...&location=...",
                field="engine",
            )
        for name in ("project", "location"):
            given = address.options.get(name, "")
            if not _PLACE.match(given):
                raise InvalidSetting(
                    f"engine vertex: option {name} is {given!r}; expected the id of a {name} of Google Cloud",
                    field="engine",
                )
        return cls(address.url, address.options["project"], address.options["location"], prefix, Tokens(key))

    async def create(self, spec: IndexSpec) -> VertexIndex:
        _check(spec)
        await self.drop(spec.name)
        return self._opened(spec, await self._location.make(spec))

    async def open(self, spec: IndexSpec) -> VertexIndex:
        _check(spec)
        return self._opened(spec, await self._location.find(spec))

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        await self._location.remove(name)

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._rest.close()

    def _opened(self, spec: IndexSpec, collection: str) -> VertexIndex:
        flat = spec.settings.kind is IndexKind.FLAT
        objects = Objects(self._rest, collection, spec.dimension, compared=flat, patience_s=self._patience_s)
        self._open[spec.name] = VertexIndex(spec, objects, self._location)
        return self._open[spec.name]


class VertexIndex:
    """One index. It keeps nothing in this process."""

    def __init__(self, spec: IndexSpec, objects: Objects, location: Location) -> None:
        self._spec, self._objects, self._location = spec, objects, location
        self._flat = spec.settings.kind is IndexKind.FLAT
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return unclaimed(_CAPABILITIES, where) or refuses(
            lambda asked, fields: compile_filter(asked, fields, lists=self._flat), where, self._spec.fields
        )

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        await self._objects_open().upsert(
            [
                Record(id_of(key), vector, data_of(row, self._spec.fields))
                for key, vector, row in zip(keys.tolist(), vectors, rows, strict=True)
            ]
        )

    async def delete(self, keys: Int64Array) -> None:
        await self._objects_open().delete([id_of(key) for key in keys.tolist()])

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """See `VectorIndex`. Raises UnsupportedByEngine too where more rows would have to be compared than the vendor
        does."""
        if effort is not None:
            raise UnsupportedByEngine("engine vertex takes no effort per query", field="effort")
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        said, objects = self._said(where), self._objects_open()
        if said is False:
            return no_matches()
        hits = min(limit + _SPARE, MAX_HITS)
        while True:
            found = await objects.search(vector, hits, said, compared=exact or self._flat)
            if found is None:
                raise self._too_many(exact=exact)
            keys, scores = found
            if len(keys) < hits or (limit <= hits and scores[-1] < scores[limit - 1]):
                return ranked(keys, scores, limit)
            if hits == MAX_HITS:
                break
            hits = min(4 * hits, MAX_HITS)
        if limit > MAX_HITS:
            raise UnsupportedByEngine(
                f"engine vertex gives at most {MAX_HITS} hits to one search, not {limit}", field="limit"
            )
        return ranked(keys, scores, limit)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """Refused: the vendor's search by words finds what holds all of them, and says of its order no more."""
        raise UnsupportedByEngine("engine vertex has no lexical search", field="mode")

    async def count(self, where: Filter | None = None) -> int:
        said, objects = self._said(where), self._objects_open()
        return 0 if said is False else await objects.count(said)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        stored = await self._objects_open().fetch([id_of(key) for key in keys.tolist()])
        here = [key for key in keys.tolist() if id_of(key) in stored]
        try:
            found = np.array([stored[id_of(key)] for key in here], np.float32).reshape(-1, self._spec.dimension)
        except (TypeError, ValueError) as exc:
            raise EngineUnavailable(f"engine vertex, reading vectors: it answered no vectors: {exc}") from exc
        return np.array(here, np.int64), found

    async def keys(self) -> AsyncIterator[Int64Array]:
        async for page in self._objects_open().ids():
            yield page

    async def flush(self) -> None:
        """Nothing to do: a write that was acknowledged is kept."""
        self._objects_open()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Ask for the ScaNN index where it is not there. The vendor builds it; searches do without meanwhile."""
        self._objects_open()
        if not self._flat:
            await self._location.make_index(self._spec.name)

    async def stats(self) -> IndexStats:
        """bytes: of the vectors, as floats; the vendor tells no other number."""
        rows = await self.count()
        indexed = self._flat or await self._location.has_index(self._spec.name)
        return IndexStats(rows, rows * self._spec.dimension * 4, unindexed=0 if indexed else rows)

    async def close(self) -> None:
        self._closed = True

    def _objects_open(self) -> Objects:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")
        return self._objects

    def _said(self, where: Filter | None) -> dict[str, Any] | Literal[False] | None:
        """The filter, None where every row passes, False where none can. Raises UnsupportedByEngine."""
        if where is None:
            return None
        if unclaimed(_CAPABILITIES, where):
            raise UnsupportedByEngine("engine vertex cannot say this filter", field="filter")
        said = compile_filter(where, self._spec.fields, lists=self._flat)
        return None if said is True else said

    def _too_many(self, *, exact: bool) -> UnsupportedByEngine | EngineUnavailable:
        if exact:
            return UnsupportedByEngine(
                f"engine vertex compares at most {KNN_ROWS} rows one by one, and this index holds more", field="exact"
            )
        if self._flat:
            return UnsupportedByEngine(
                f"engine vertex searches at most {KNN_ROWS} rows without an index; move to index.kind ivf",
                field="index.kind",
            )
        return EngineUnavailable(
            "engine vertex: the index is still being built, and there are too many rows without it"
        )


def _check(spec: IndexSpec) -> None:
    check_spec(VertexEngine.name, _CAPABILITIES, spec)
    for asked in ("lists", "probes"):
        if getattr(spec.settings, asked):
            raise UnsupportedByEngine(
                f"engine vertex chooses index.{asked} by itself; leave it 0", field=f"index.{asked}"
            )
