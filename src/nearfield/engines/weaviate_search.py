"""Questions to a Weaviate index, asked as often as it takes for the answer to be what the seam promises."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from nearfield.domain.errors import EngineUnavailable, UnsupportedByEngine
from nearfield.domain.languages import terms, without_stop_words
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines.ranking import no_matches, ranked
from nearfield.engines.weaviate_filters import SLICE, Clause, Op
from nearfield.engines.weaviate_schema import SLICES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.hits import Matches
    from nearfield.engines.calls import Calls
    from nearfield.engines.weaviate_wire import Wire
    from nearfield.protocols.engine import IndexSpec

    Found = tuple[Int64Array, Float32Array]
    Ask = Callable[[int, Clause | None], Coroutine[None, None, Found]]

T = TypeVar("T")
AT_ONCE: Final = 10_000
"""The most rows a server gives for one query, as it is set up by default (QUERY_MAXIMUM_RESULTS)."""
MAX_HITS: Final = 100_000
"""The most hits of one search; beyond AT_ONCE they are had in parts."""
_SPARE: Final = 8  # hits asked beyond the limit at first, so that a tie at the last place is seen
_SCANNED: Final = 20_000  # rows in one part of an exhaustive search: half of what a graph compares one by one
_WHOLE: Final = 5_000  # rows in a part that is to come back whole: half of AT_ONCE


class Searcher:
    """Reads one index."""

    def __init__(self, wire: Wire, calls: Calls, name: str, spec: IndexSpec) -> None:
        """name: of its class."""
        self._wire, self._calls, self._name, self._spec = wire, calls, name, spec

    async def nearest(self, vector: Float32Array, *, limit: int, where: Clause | None, exact: bool) -> Matches:
        """The nearest rows. A graph may give up before it has found enough; then every row is compared."""
        admit_hits(limit)

        async def ask(hits: int, part: Clause | None) -> Found:
            keys, distances = await self._run("searching", lambda: self._wire.near(self._name, vector, hits, part))
            return keys, self._scores(distances)

        settings = self._spec.settings
        plain = settings.quantization is Quantization.NONE
        if limit + _SPARE <= AT_ONCE and (not exact or (plain and settings.kind is IndexKind.FLAT)):
            found = await self._untied(limit, where, ask)
            if len(found) == limit or len(found) >= await self.count(where):
                return found
        # codes are compared first, and only as many rows as are asked for at full precision: so all are asked for
        return await self._in_parts(limit, where, ask, rows=_SCANNED if plain else _WHOLE, whole=not plain)

    async def lexical(self, text: str, *, limit: int, where: Clause | None) -> Matches:
        """The rows that hold any of the words."""
        admit_hits(limit)
        language = self._spec.language
        words = " ".join(terms(without_stop_words(text, language), language))
        words = words.encode("utf-8", "replace").decode()
        if not words:
            return no_matches()

        async def ask(hits: int, part: Clause | None) -> Found:
            return await self._run("searching", lambda: self._wire.words(self._name, words, hits, part))

        if limit + _SPARE <= AT_ONCE:
            return await self._untied(limit, where, ask)
        return await self._in_parts(limit, where, ask, rows=_WHOLE, whole=True)

    async def count(self, where: Clause | None) -> int:
        """Rows that pass."""
        return await self._run("counting", lambda: self._wire.count(self._name, where))

    async def _untied(self, limit: int, where: Clause | None, ask: Ask) -> Matches:
        """Ask for a few more than wanted until the last place is not tied, so that keys decide. AT_ONCE bounds it."""
        hits = min(limit + _SPARE, AT_ONCE)
        while True:
            keys, scores = await ask(hits, where)
            if len(keys) < hits or hits == AT_ONCE or scores[-1] < scores[limit - 1]:
                return ranked(keys, scores, limit)
            hits = min(4 * hits, AT_ONCE)

    async def _in_parts(self, limit: int, where: Clause | None, ask: Ask, *, rows: int, whole: bool) -> Matches:
        """Ask slice by slice. Behind a filter that few rows pass, Weaviate compares each of them.

        rows: in one part, about. whole: all rows of each part are to come back, not only its best.
        """
        count = await self.count(where)
        if not count:
            return no_matches()
        parts = min(SLICES, math.ceil(count / (_WHOLE if limit > _WHOLE else rows)))
        edges = [round(part * SLICES / parts) for part in range(parts + 1)]
        best = None if whole else limit
        found = [await self._part(low, high, where, ask, best) for low, high in pairwise(edges)]
        return ranked(np.concatenate([keys for keys, _ in found]), np.concatenate([s for _, s in found]), limit)

    async def _part(self, low: int, high: int, where: Clause | None, ask: Ask, best: int | None) -> Found:
        """All of the slices `low` to `high - 1`; or their best so many, and those that tie with the last of them."""
        bounds = [
            Clause(Op.GREATER_EQUAL, SLICE, float(low)),
            Clause(Op.LESS, SLICE, float(high)),
        ]
        among = Clause(Op.AND, parts=tuple(bounds if where is None else [*bounds, where]))
        hits = AT_ONCE if best is None else min(AT_ONCE, best + _SPARE)
        while True:
            keys, scores = await ask(hits, among)
            if len(keys) < hits or (best is not None and best < hits and scores[-1] < scores[best - 1]):
                return keys, scores
            if hits == AT_ONCE:
                break
            hits = min(4 * hits, AT_ONCE)
        if high - low == 1:
            raise EngineUnavailable(f"more than {AT_ONCE} rows in one slice of index {self._spec.name!r}")
        middle = (low + high) // 2
        lower = await self._part(low, middle, where, ask, best)
        upper = await self._part(middle, high, where, ask, best)
        return np.concatenate([lower[0], upper[0]]), np.concatenate([lower[1], upper[1]])

    def _scores(self, distances: Float32Array) -> Float32Array:
        match self._spec.settings.metric:
            case Metric.COSINE:  # Weaviate gives 1 - cosine
                return (1 - distances.astype(np.float64)).astype(np.float32)
            case Metric.EUCLIDEAN:  # Weaviate gives the square
                return np.asarray(-np.sqrt(np.maximum(distances, 0)), np.float32)
        return -distances

    async def _run(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._calls.run(doing, call)


def admit_hits(limit: int) -> None:
    """Raise UnsupportedByEngine for more hits than can be had."""
    if limit > MAX_HITS:
        raise UnsupportedByEngine(
            f"engine weaviate gives at most {MAX_HITS} hits to one search, not {limit}", field="limit"
        )
