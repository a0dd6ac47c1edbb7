"""One Qdrant collection: what is written to it and asked of it."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from nearfield.domain.errors import EngineUnavailable, NearfieldError, UnsupportedByEngine
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines.qdrant_faults import NotYet
from nearfield.engines.qdrant_filters import compile_filter
from nearfield.engines.qdrant_schema import DENSE, WORDS, point_batches, sdk, search_params, sparse
from nearfield.engines.qdrant_words import Words, of_query
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, no_matches, ranked, refuses
from nearfield.protocols.engine import IndexStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.engines.calls import Calls
    from nearfield.protocols.engine import IndexSpec

    Found = tuple[Int64Array, Float32Array]

T = TypeVar("T")
MEAN: Final = "nearfield_words_mean"
"""The note of a collection that says which length texts are compared with."""
MAX_TIES: Final = 1_024
"""How far beyond the limit a search looks for rows that tie with the last place, so that keys decide between them."""
OPTIMIZE_S: Final = 3_600.0
"""How long `optimize` waits for the server; rows it did not take in meanwhile are found all the same."""

_WRITE_S = 60.0
_SPARE = 8  # hits asked beyond the limit at first
_AT_ONCE = 4  # requests of one write under way
_PAGE = 256  # vectors fetched at a time
_KEYS = 8_192


class QdrantIndex:
    """One collection."""

    def __init__(self, client: Any, place: str, spec: IndexSpec, calls: Calls, words: Words | None) -> None:
        """words: how texts are weighed; None while none was written."""
        self._client, self._place, self._spec, self._calls, self._words = client, place, spec, calls, words
        self._closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return refuses(compile_filter, where, self._spec.fields)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        await self._measure(texts)
        batches = await asyncio.to_thread(point_batches, keys, vectors, rows, texts, self._words)
        await self._write("written", batches, lambda points: self._client.upsert(self._place, points, wait=True))

    async def delete(self, keys: Int64Array) -> None:
        every = keys.tolist()
        batches = [every[start : start + _KEYS] for start in range(0, len(every), _KEYS)]
        await self._write("deleted", batches, lambda part: self._client.delete(self._place, part, wait=True))

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. effort: hnsw_ef; of no meaning when exact."""
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        if effort is not None and not exact:
            self._check_effort(effort)
        passing = self._filter(where)
        if passing is False:
            return no_matches()

        async def ask(hits: int, everything: bool) -> Found:
            params = search_params(self._spec, effort=effort, exact=everything)
            return await self._ask(vector.tolist(), DENSE, hits, passing, params)

        found = await self._untied(limit, lambda hits: ask(hits, exact))
        if exact or len(found) == limit or self._compares_all():
            return found
        return await self._untied(limit, lambda hits: ask(hits, everything=True))

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        admit_limit(limit)
        passing = self._filter(where)
        asked = of_query(text, self._spec.language)
        if passing is False or not asked:
            return no_matches()
        return await self._untied(limit, lambda hits: self._ask(sparse(asked), WORDS, hits, passing, None))

    async def count(self, where: Filter | None = None) -> int:
        passing = self._filter(where)
        if passing is False:
            return 0
        found = await self._run("counting", lambda: self._client.count(self._place, passing, exact=True))
        return int(found.count)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, bit by bit, under every quantization: Qdrant keeps the vectors beside their codes."""
        every, found = keys.tolist(), {}

        async def read(part: list[int]) -> Any:
            return await self._client.retrieve(self._place, part, with_payload=False, with_vectors=[DENSE])

        for start in range(0, len(every), _PAGE):
            for record in await self._run("reading vectors", partial(read, every[start : start + _PAGE])):
                found[int(record.id)] = record.vector[DENSE]
        here = [key for key in every if key in found]
        vectors = np.array([found[key] for key in here], np.float32)
        return np.array(here, np.int64), vectors.reshape(len(here), self._spec.dimension)

    async def keys(self) -> AsyncIterator[Int64Array]:
        async def list_from(offset: Any) -> Any:
            return await self._client.scroll(
                self._place, limit=_KEYS, offset=offset, with_payload=False, with_vectors=False
            )

        offset: Any = 0
        while offset is not None:
            records, offset = await self._run("listing keys", partial(list_from, offset))
            yield np.array([int(record.id) for record in records], np.int64)

    async def flush(self) -> None:
        """Nothing is left to do: a write is in the server's log before it is answered."""
        self._check_open()

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Wait until the server has taken in what it was given. It begins by itself; after a restart it is asked to."""
        models, until, pause = sdk().models, time.monotonic() + OPTIMIZE_S, 0.05
        while True:
            info = await self._info()
            if info.status == models.CollectionStatus.RED:
                raise EngineUnavailable(f"engine qdrant, optimizing: the server says {info.optimizer_status}")
            if info.status == models.CollectionStatus.GREEN or time.monotonic() >= until:
                return
            if info.status == models.CollectionStatus.GREY:
                await self._run("optimizing", self._wake)
            await asyncio.sleep(pause)
            pause = min(2.0, 2 * pause)

    async def stats(self) -> IndexStats:
        """As the protocol says. bytes: of the vectors alone, computed; the server does not tell what it takes."""
        rows, info = await self.count(), await self._info()
        unindexed = 0
        if info.status != sdk().models.CollectionStatus.GREEN:  # green with few rows: it leaves those as they are
            unindexed = max(0, rows - (info.indexed_vectors_count or 0))
        return IndexStats(rows, rows * self._spec.dimension * 4, min(rows, unindexed))

    async def close(self) -> None:
        self._closed = True

    def _filter(self, where: Filter | None) -> Any:
        """None where every row passes, False where none can."""
        said = True if where is None else compile_filter(where, self._spec.fields)
        if isinstance(said, bool):
            return None if said else False
        return sdk().models.Filter.model_validate(said)

    def _check_effort(self, effort: int) -> None:
        if self._spec.settings.kind is IndexKind.FLAT:
            raise UnsupportedByEngine("a flat index compares every row; it has no effort", field="effort")
        if effort < 1:
            raise UnsupportedByEngine(f"effort is {effort}; engine qdrant takes 1 or more", field="effort")

    def _compares_all(self) -> bool:
        """Whether no search of this index leaves a row out that passes."""
        settings = self._spec.settings
        return settings.kind is IndexKind.FLAT and settings.quantization is Quantization.NONE

    async def _measure(self, texts: Sequence[str]) -> None:
        """Fix the length that texts are compared with, by the first that have words."""
        if self._words is None:
            words = await asyncio.to_thread(Words.measured, self._spec.language, texts)
            if words is not None:
                note = {MEAN: words.mean}
                await self._run("writing rows", lambda: self._client.update_collection(self._place, metadata=note))
                self._words = words

    async def _untied(self, limit: int, ask: Callable[[int], Awaitable[Found]]) -> Matches:
        """Ask for a few more than wanted until the last place is not tied. MAX_TIES bounds how many more."""
        most = limit + MAX_TIES
        hits = limit + _SPARE
        while True:
            keys, scores = await ask(hits)
            if len(keys) < hits or hits == most or scores[-1] < scores[limit - 1]:
                return ranked(keys, scores, limit)
            hits = min(4 * hits, most)

    async def _ask(self, query: Any, using: str, hits: int, passing: Any, params: Any) -> Found:
        answer = await self._run(
            "searching",
            lambda: self._client.query_points(
                self._place,
                query=query,
                using=using,
                limit=hits,
                query_filter=passing,
                search_params=params,
                with_payload=False,
            ),
        )
        points = answer.points
        keys = np.fromiter((int(point.id) for point in points), np.int64, len(points))
        scores = np.fromiter((point.score for point in points), np.float32, len(points))
        far = using == DENSE and self._spec.settings.metric is Metric.EUCLIDEAN
        return keys, -scores if far else scores

    async def _write(
        self, done: str, batches: Sequence[list[Any]], call: Callable[[list[Any]], Awaitable[Any]]
    ) -> None:
        """Send batches, a few at a time, all of them whatever happens to one, and raise for those that failed."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def send(batch: list[Any]) -> Exception | None:
            async def whole() -> None:
                answer = await call(batch)
                if answer.status != sdk().models.UpdateStatus.COMPLETED:
                    raise NotYet(f"the server has taken the rows and not applied them ({answer.status})")

            async with gate:
                try:
                    await self._run("writing rows", whole, timeout_s=_WRITE_S)
                except NearfieldError as exc:
                    return exc
                return None

        self._check_open()
        failures = await asyncio.gather(*map(send, batches))
        first = next((failure for failure in failures if failure is not None), None)
        if isinstance(first, EngineUnavailable):
            lost = sum(len(batch) for batch, failure in zip(batches, failures, strict=True) if failure is not None)
            total = sum(map(len, batches))
            raise EngineUnavailable(f"{lost} of {total} rows were not {done}: {first}") from first
        if first is not None:
            raise first

    async def _wake(self) -> None:
        """Have the optimizers look again: any change of the settings does."""
        await self._client.update_collection(self._place, optimizers_config=sdk().models.OptimizersConfigDiff())

    async def _info(self) -> Any:
        return await self._run("reading statistics", lambda: self._client.get_collection(self._place))

    async def _run(self, doing: str, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        self._check_open()
        return await self._calls.run(doing, call, timeout_s=timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")
