"""The true nearest documents of many queries, by comparing every stored vector: what recall is measured against."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.binding import bind
from nearfield.domain.filters import matches
from nearfield.domain.rows import row_of
from nearfield.domain.schema import Metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.domain.filters import Filter
    from nearfield.domain.moves import TruePage
    from nearfield.domain.schema import FieldType

KEPT: Final = 100
"""Documents remembered of each query: the nearest, and those as near as the last that counts."""
TIE: Final = 1e-5
"""Of a similarity: vectors are cached as float16, and engines add up in another order."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The truth about one query. ids: best first, with their scores. matching: documents that pass its filter."""

    ids: tuple[str, ...]
    scores: tuple[float, ...]
    matching: int

    def recall(
        self, found: Sequence[str], depth: int, *, room: int | None = None, without: frozenset[str] = frozenset()
    ) -> float | None:
        """The share of the true nearest `depth` that was found; one as near as the last of them counts as well.

        found: best first. room: hits that were asked for, `depth` unless given.
        without: documents of which nothing can be said, among the `room` first of the truth and in what was found. They
        take places in both, and fewer than `depth` are looked for where they leave no more.
        Returns None where nothing can be said of any.
        """
        room = depth if room is None else room
        known = [(one, score) for one, score in zip(self.ids, self.scores, strict=True) if one not in without]
        seen = [one for one in found if one not in without]
        due = min(depth, sum(one not in without for one in self.ids[:room]))
        if len(found) >= room:
            due = min(due, len(seen))
        if not due:
            return None if self.ids else 1.0
        enough = known[due - 1][1] - TIE * max(1.0, abs(known[due - 1][1]))
        right = {one for one, score in known if score >= enough}
        return min(due, len(right.intersection(seen[:due]))) / due


async def true_nearest(
    pages: AsyncIterator[TruePage],
    queries: Float32Array,
    filters: Sequence[Filter | None],
    fields: Mapping[str, FieldType],
    metric: Metric,
) -> list[Nearest]:
    """Compare every vector with every query.

    queries: float32, shape (n, dimension), as they are searched with. filters: unbound, one for each query.
    Memory: a page's scores for all queries at a time.
    """
    bound = {where: bind(where, fields) for where in filters if where is not None}
    count = len(queries)
    best = np.full((count, KEPT), -np.inf, dtype=np.float32)
    names = np.full((count, KEPT), "", dtype=object)
    matching = np.zeros(count, dtype=np.int64)

    def take(page: TruePage) -> None:
        nonlocal best, names
        scores = np.maximum.reduceat(_similarities(queries, page.vectors, metric), page.starts, axis=1)
        rows = [row_of(document.body, fields) for document in page.documents] if bound else []
        passing = {where: np.array([matches(one, row) for row in rows], dtype=bool) for where, one in bound.items()}
        for place, where in enumerate(filters):
            if where is not None:
                scores[place, ~passing[where]] = -np.inf
            matching[place] += len(page.documents) if where is None else int(passing[where].sum())
        ids = np.array([document.id for document in page.documents], dtype=object)
        every = np.concatenate([best, scores], axis=1)
        order = np.argsort(-every, axis=1, kind="stable")[:, :KEPT]
        known = np.concatenate([names, np.broadcast_to(ids, (count, len(ids)))], axis=1)
        best, names = np.take_along_axis(every, order, axis=1), np.take_along_axis(known, order, axis=1)

    async for page in pages:
        await asyncio.to_thread(take, page)
    return [
        Nearest(
            tuple(names[place, : int(there.sum())].tolist()),
            tuple(best[place, : int(there.sum())].tolist()),
            int(matching[place]),
        )
        for place, there in enumerate(np.isfinite(best))
    ]


def _similarities(queries: Float32Array, vectors: Float32Array, metric: Metric) -> Float32Array:
    """Shape (queries, vectors): cosine of unit vectors, dot product, or negated Euclidean distance."""
    products = queries @ vectors.T
    if metric is not Metric.EUCLIDEAN:
        return products
    squares = (queries**2).sum(axis=1)[:, None] + (vectors**2).sum(axis=1)[None, :] - 2 * products
    return np.asarray(-np.sqrt(np.maximum(squares, 0)), dtype=np.float32)
