"""Candidates: documents and their similarity, from the engine, the filter kept whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nearfield.domain.documents import chunk_key, document_keys
from nearfield.domain.filters import matches
from nearfield.domain.hits import Matches
from nearfield.domain.plans import Access
from nearfield.domain.rows import row_of
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.protocols.engine import words_index
from nearfield.search.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, Int64Array, StoredDocument
    from nearfield.domain.filters import Filter
    from nearfield.domain.schema import FieldType
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store
    from nearfield.search.filters import PlacedFilter
    from nearfield.search.selectivity import Selectivity

T = TypeVar("T")
SCAN_PAGE = 1_000
OVERFETCH = 4
MAX_OVERFETCH = 20_000  # rows; beyond it the filter is decided on every document instead
MAX_ROWS = 100_000  # asked of an engine in one call
EXACT_ROWS = 2_000  # so few rows are compared one by one: exact, and no slower than a graph
EXACT_CODED_ROWS = 200  # the same where an index keeps codes, and whole vectors must be fetched: 50 microseconds each
EXACT_CHANGES = 500  # an index that has seen no more changes is that small, whatever was never counted


@dataclass(slots=True, eq=False)
class Candidates:
    """Documents found one way. All arrays have shape (n,), best first, each document once.

    documents: int64 document keys. chunks: int64, the best passage of each. scores: float32, the engine's own.
    """

    documents: Int64Array
    chunks: Int64Array
    scores: Float32Array

    def __len__(self) -> int:
        return len(self.documents)

    @classmethod
    def of(cls, found: Matches) -> Candidates:
        """Group passages by document: a document is as good as its best passage."""
        documents = document_keys(found.keys)
        _, first = np.unique(documents, return_index=True)
        if len(first) == len(documents):
            return cls(documents, found.keys, found.scores)
        first.sort()
        return cls(documents[first], found.keys[first], found.scores[first])

    def first(self, count: int) -> Candidates:
        """The best so many."""
        return Candidates(self.documents[:count], self.chunks[:count], self.scores[:count])

    def take(self, places: Sequence[int] | Int64Array) -> Candidates:
        """Those at some places, in that order."""
        chosen = np.asarray(places, dtype=np.int64)
        return Candidates(self.documents[chosen], self.chunks[chosen], self.scores[chosen])


@dataclass(slots=True, eq=False)
class Retrieval:
    """The retrieval side of one search. Notes what it did in `access`, `approximate` and `notes`.

    where, said: the filter as a search by meaning decides it, and as one by words does, whose index may be another.
    as_of: the last change the index had applied when the search began; what it finds may be staler than the store,
    never than this.
    patience_s: how long one call to the engine is waited for, see `search.patience`.
    """

    store: Store
    collection: Collection
    live: LiveIndex
    where: PlacedFilter
    said: PlacedFilter
    selectivity: Selectivity
    exact: bool = False
    effort: int | None = None
    as_of: int = 0
    patience_s: float | None = None
    access: Access = Access.NONE
    approximate: bool = False
    notes: list[str] = field(default_factory=list)

    async def dense(self, vector: Float32Array, want: int, *, depth: int = 0) -> Candidates:
        """The documents nearest to a vector: min(want, documents that pass the filter) of them, or some more.

        depth: rows to ask for at least.
        """
        can_exact, index = self.live.capabilities.exact, self.live.index
        compare_all = can_exact and (self.exact or await self._few())
        self.access = Access.EXACT if compare_all else Access.ANN
        self.approximate = not compare_all

        async def nearest(limit: int) -> Matches:
            effort = None if compare_all else self.effort
            found = await self.patiently(
                index.nearest(vector, limit=limit, where=self.where.native, effort=effort, exact=compare_all)
            )
            if len(found) == limit or not can_exact or compare_all:
                return found
            # an approximate index may lose rows behind a filter: fewer than asked is taken from it only when
            # comparing every row finds no more
            everything = await self.patiently(index.nearest(vector, limit=limit, where=self.where.native, exact=True))
            self.access, self.approximate = Access.EXACT, False
            if len(everything) > len(found):
                self.notes.append("the approximate search came back short; every row was compared")
            return everything

        residual = self.where.residual is not None
        most = min(MAX_OVERFETCH if residual else MAX_ROWS, self.live.capabilities.max_hits)
        found, rows, more = await self._grow(nearest, self.where, max(want, depth), want, most=most)
        if residual:
            self.access = Access.OVERFETCH
        if len(found) >= want or (can_exact and not more):
            return found
        if await self.patiently(index.count(self.where.native)) <= rows:
            return found
        self.access, self.approximate = Access.SCAN, False
        if not residual:
            self.notes.append("the engine came back short; the filter was decided on every document")
        return await self._scan(vector, want)

    async def lexical(self, text: str, want: int, *, depth: int = 0) -> Candidates:
        """The documents that hold words of a text: min(want, those that do and pass the filter) of them, or some more.

        depth: rows to ask for at least.
        """
        index, where = words_index(self.live.index), self.said.native
        beside = index is not self.live.index
        most = MAX_ROWS if beside else min(MAX_ROWS, self.live.capabilities.max_hits)

        async def lexical(limit: int) -> Matches:
            search = index.lexical(text, limit=limit, where=where)
            return await (search if beside else self.patiently(search))

        found, rows, more = await self._grow(lexical, self.said, max(want, depth), want, most=most)
        if more and len(found) < want:
            self.notes.append(f"only the best {rows} passages that hold these words were looked at")
        return found

    async def vectors(self, chunks: Int64Array) -> tuple[Int64Array, Float32Array]:
        """The stored vectors of some passages: (keys found, float32 of shape (found, dimension))."""
        return await self.patiently(self.live.index.vectors(chunks))

    async def patiently(self, call: Awaitable[T]) -> T:
        """See `search.patience`."""
        return await patiently(call, self.live, self.patience_s)

    async def _few(self) -> bool:
        """Whether comparing all rows that pass is as quick as a graph, or all there is."""
        settings = self.live.generation.index
        whole = (Quantization.NONE, Quantization.FLOAT16)
        coded = settings.quantization not in whole or settings.kind is IndexKind.DISKANN
        most = EXACT_CODED_ROWS if coded else EXACT_ROWS
        if settings.kind is IndexKind.FLAT or self.as_of <= min(most, EXACT_CHANGES):
            return True
        if self.where.native is None:
            return False
        expected = await self.selectivity.expected(self.collection, self.live, self.where.native)
        return expected is not None and expected <= most

    async def _grow(
        self, search: Callable[[int], Awaitable[Matches]], where: PlacedFilter, least: int, want: int, *, most: int
    ) -> tuple[Candidates, int, bool]:
        """Ask for more rows until `want` documents are left after grouping and the residual filter, or no more come.

        least: rows to ask for at least.

        Returns the documents, the rows they were taken from, and whether there may be more rows.
        """
        limit = least * (1 if where.residual is None else OVERFETCH)
        while True:
            limit = min(limit, most)
            found = await search(limit)
            candidates = await self._pass(Candidates.of(found), where.residual)
            if len(candidates) >= want or len(found) < limit or limit == most:
                return candidates, len(found), len(found) == limit
            limit *= OVERFETCH

    async def _pass(self, candidates: Candidates, residual: Filter | None) -> Candidates:
        if residual is None or not len(candidates):
            return candidates
        stored = await self.store.by_key(self.collection, candidates.documents.tolist())
        fields = self.collection.spec.fields

        def passing() -> list[int]:
            return [
                place
                for place, key in enumerate(candidates.documents.tolist())
                if key in stored and matches(residual, row_of(stored[key].body, fields))
            ]

        return candidates.take(await asyncio.to_thread(passing))

    async def _scan(self, vector: Float32Array, want: int) -> Candidates:
        """Decide the filter on every document and compare the vectors of those that pass, page by page."""
        best = Candidates.of(Matches(np.array([], dtype=np.int64), np.array([], dtype=np.float32)))
        metric, fields = self.live.generation.index.metric, self.collection.spec.fields
        after = 0
        while page := await self.store.scan(self.collection, after_key=after, limit=SCAN_PAGE):
            after = page[-1].key
            keys = await asyncio.to_thread(self._kept_keys, page, fields)
            if not keys:
                continue
            spans = await self.store.spans(self.live.generation, keys)
            chunks = [chunk_key(key, ordinal) for key in keys for ordinal in range(spans.get(key, 1))]
            found, vectors = await self.vectors(np.array(chunks, dtype=np.int64))
            passages = np.concatenate([best.chunks, found])
            scores = np.concatenate([best.scores, similarity(vector, vectors, metric)])
            order = np.lexsort((passages, -scores))
            best = Candidates.of(Matches(passages[order], scores[order]))
            best = best.take(range(min(want, len(best))))
        return best

    def _kept_keys(self, page: Sequence[StoredDocument], fields: Mapping[str, FieldType]) -> list[int]:
        return [document.key for document in page if self.where.keeps(document, fields)]


def similarity(vector: Float32Array, vectors: Float32Array, metric: Metric) -> Float32Array:
    """What an engine scores: cosine, dot product or negated Euclidean distance.

    vector: float32, shape (dimension,). vectors: float32, shape (n, dimension). Returns float32, shape (n,).
    """
    if metric is Metric.EUCLIDEAN:
        return np.asarray(-np.linalg.norm(vectors - vector, axis=1), dtype=np.float32)
    products = vectors @ vector
    if metric is Metric.COSINE:
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
        products = products / np.where(lengths > 0, lengths, 1)
    return np.asarray(products, dtype=np.float32)
