"""Candidates: documents and their similarity, from the engine, the filter kept whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import chunk_key, document_keys
from nearfield.domain.filters import matches
from nearfield.domain.plans import Access
from nearfield.domain.rows import row_of
from nearfield.domain.schema import IndexKind, Metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.hits import Matches
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store
    from nearfield.search.filters import PlacedFilter

SCAN_PAGE = 1_000
OVERFETCH = 4
MAX_OVERFETCH = 20_000  # rows; beyond it the filter is decided on every document instead
EXACT_ROWS = 2_000  # so few rows are compared one by one: exact, and no slower than a graph


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

    def take(self, places: Sequence[int] | Int64Array) -> Candidates:
        """Those at some places, in that order."""
        chosen = np.asarray(places, dtype=np.int64)
        return Candidates(self.documents[chosen], self.chunks[chosen], self.scores[chosen])


@dataclass(slots=True, eq=False)
class Retrieval:
    """The retrieval side of one search. Notes what it did in `access`, `effort` and `notes`."""

    store: Store
    collection: Collection
    live: LiveIndex
    where: PlacedFilter
    exact: bool = False
    effort: int | None = None
    expected: float | None = None
    access: Access = Access.NONE
    notes: list[str] = field(default_factory=list)

    async def dense(self, vector: Float32Array, want: int) -> Candidates:
        """The documents nearest to a vector: min(want, documents that pass the filter) of them."""
        can_exact = self.live.capabilities.exact
        few = self.expected is not None and self.expected <= EXACT_ROWS
        flat = self.live.generation.index.kind is IndexKind.FLAT
        compare_all = can_exact and (self.exact or few or flat)
        self.access = Access.EXACT if compare_all else Access.ANN

        async def nearest(limit: int) -> Matches:
            effort = None if compare_all else self.effort
            found = await self.live.index.nearest(
                vector, limit=limit, where=self.where.native, effort=effort, exact=compare_all
            )
            if len(found) < limit and can_exact and not compare_all:
                # an approximate index may lose rows behind a filter: fewer than asked is taken from it only when
                # comparing every row finds no more
                everything = await self.live.index.nearest(vector, limit=limit, where=self.where.native, exact=True)
                if len(everything) > len(found):
                    self.access = Access.EXACT
                    self.notes.append("the approximate search came back short; every row was compared")
                return everything
            return found

        if self.where.residual is None:
            return await self._grow(nearest, want)
        self.access = Access.OVERFETCH
        found = await self._grow(nearest, want, most=MAX_OVERFETCH)
        if len(found) < want and await self._more_than(MAX_OVERFETCH):
            self.access = Access.SCAN
            return await self._scan(vector, want)
        return found

    async def lexical(self, text: str, want: int) -> Candidates:
        """The documents that hold words of a text: min(want, those that do and pass the filter) of them."""
        where = self.where.native
        return await self._grow(lambda limit: self.live.index.lexical(text, limit=limit, where=where), want)

    async def similarities(self, vector: Float32Array, chunks: Int64Array) -> dict[int, float]:
        """The similarity of some passages to a vector, by chunk key, computed on the stored vectors."""
        keys, vectors = await self.live.index.vectors(chunks)
        scores = similarity(vector, vectors, self.live.generation.index.metric)
        return dict(zip(keys.tolist(), scores.tolist(), strict=True))

    async def _grow(
        self, search: Callable[[int], Awaitable[Matches]], want: int, *, most: int | None = None
    ) -> Candidates:
        """Ask for more rows until `want` documents are left after grouping and the residual filter, or no more come."""
        limit = want if self.where.residual is None else want * OVERFETCH
        while True:
            limit = limit if most is None else min(limit, most)
            found = await search(limit)
            candidates = await self._pass(Candidates.of(found))
            if len(candidates) >= want or len(found) < limit or limit == most:
                return candidates.take(range(min(want, len(candidates))))
            limit *= OVERFETCH

    async def _pass(self, candidates: Candidates) -> Candidates:
        residual = self.where.residual
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

    async def _more_than(self, rows: int) -> bool:
        return (await self.live.index.stats()).rows > rows

    async def _scan(self, vector: Float32Array, want: int) -> Candidates:
        """Decide the filter on every document and compare the vectors of those that pass, page by page."""
        metric = self.live.generation.index.metric
        best_keys, best_scores = np.array([], dtype=np.int64), np.array([], dtype=np.float32)
        after = 0
        while page := await self.store.scan(self.collection, after_key=after, limit=SCAN_PAGE):
            after = page[-1].key
            fields = self.collection.spec.fields
            keys = [document.key for document in page if self.where.keeps(document, fields)]
            spans = await self.store.spans(self.live.generation, keys)
            chunks = [chunk_key(key, ordinal) for key in keys for ordinal in range(spans.get(key, 1))]
            found, vectors = await self.live.index.vectors(np.array(chunks, dtype=np.int64))
            best_keys = np.concatenate([best_keys, found])
            best_scores = np.concatenate([best_scores, similarity(vector, vectors, metric)])
            order = np.lexsort((best_keys, -best_scores))
            _, first = np.unique(document_keys(best_keys[order]), return_index=True)
            kept = order[np.sort(first)[:want]]
            best_keys, best_scores = best_keys[kept], best_scores[kept]
        return Candidates(document_keys(best_keys), best_keys, best_scores)


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
