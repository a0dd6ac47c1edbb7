"""Questions to a zvec collection, asked as often as it takes for the answer to be what the seam promises.

All of it blocks and belongs in a thread; zvec releases the GIL while it works.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import EngineUnavailable, UnsupportedByEngine
from nearfield.domain.languages import without_stop_words
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines.local_filters import NOTHING, SLICE
from nearfield.engines.local_schema import SLICES, TEXT, VECTOR, query_param, sdk, utf8
from nearfield.engines.ranking import no_matches, ranked

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec

    Found = tuple[Int64Array, Float32Array]

MAX_HITS: Final = 100_000
"""The most rows zvec gives for one query."""
MAX_TIES: Final = 1_024
"""How far beyond the limit a search looks for rows that tie with the last place, so that keys decide between them."""

_FLOAT16_ERROR: Final = 2.0**-9
"""How far apart the scores of two rows may be that float16 codes put in the wrong order: vectors of unit length, their
components rounded to 2**-11 of themselves, in the query and in two rows. Seen on 20,000 listings: 6e-5."""

_SPARE = 8  # hits asked beyond the limit at first
_KEYS = 10_000  # keys had at once: zvec holds the GIL while it hands rows over, 1 microsecond each
_PAGE = 1_000  # vectors fetched at a time


class Searcher:
    """Reads one open collection.

    rows: how many it holds. Asked of its owner, since zvec's own statistics wait, with the GIL, for an optimize.
    keys_at_once: for tests.
    """

    def __init__(self, collection: Any, spec: IndexSpec, rows: Callable[[], int], *, keys_at_once: int = _KEYS) -> None:
        self._collection = collection
        self._spec = spec
        self._rows = rows
        self._keys_at_once = keys_at_once

    def nearest(
        self, vector: Float32Array, *, limit: int, where: str | None, effort: int | None, exact: bool
    ) -> Matches:
        """The nearest rows. A graph may give up before it has found enough; then every row is compared."""
        limit = self._affordable(limit)
        if limit and (not exact or self._compares_all()):

            def ask(hits: int, *, everything: bool) -> Found:
                return self._by_vector(vector, hits, where, effort, everything=everything)

            found = self._untied(
                limit, lambda hits: ask(hits, everything=exact), self._codes_err_by() if exact else 0.0
            )
            if exact or len(found) == limit:
                return found
            if self._compares_all():
                return self._untied(limit, lambda hits: ask(hits, everything=True), self._codes_err_by())
        return self._by_reading(vector, limit, where) if limit else no_matches()

    def lexical(self, text: str, *, limit: int, where: str | None) -> Matches:
        """The rows that hold any of the words."""
        limit, words = self._affordable(limit), utf8(without_stop_words(text, self._spec.language))
        if not limit or not words.strip():
            return no_matches()
        zvec = sdk()
        query = zvec.Query(TEXT, fts=zvec.Fts(match_string=words))

        def ask(hits: int) -> Found:
            return _pairs(self._ask(query, hits, where))

        return self._untied(limit, ask)

    def passing(self, where: str | None) -> Int64Array:
        """Keys of the rows that pass, in no order. Many are had slice by slice."""
        found = self._ask(None, self._keys_at_once, where)
        if len(found) < self._keys_at_once:
            return _keys(found)
        parts = max(2, min(SLICES, math.ceil(2 * self._rows() / self._keys_at_once)))
        edges = [round(part * SLICES / parts) for part in range(parts + 1)]
        return np.concatenate([self._slice(low, high, where) for low, high in pairwise(edges)])

    def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """Stored vectors, those found, in the order asked."""
        names = [str(key) for key in keys.tolist()]
        found: dict[str, Any] = {}
        for start in range(0, len(names), _PAGE):
            found |= self._collection.fetch(names[start : start + _PAGE], output_fields=[], include_vector=True)
        here = [name for name in names if name in found]
        vectors = np.array([found[name].vectors[VECTOR] for name in here], np.float32)
        return np.array(here, np.int64), vectors.reshape(len(here), self._spec.dimension)

    def _affordable(self, limit: int) -> int:
        """The limit, or the number of rows when there are fewer. Raises UnsupportedByEngine beyond what zvec gives."""
        limit = min(limit, self._rows())
        if limit > MAX_HITS:
            raise UnsupportedByEngine(
                f"engine local gives at most {MAX_HITS} hits to one search, not {limit}", field="limit"
            )
        return limit

    def _compares_all(self) -> bool:
        """Whether zvec itself can compare every row. It scans quantized codes, or has no scan: of codes, only those
        will do whose error has a bound."""
        settings = self._spec.settings
        return settings.kind is not IndexKind.DISKANN and (
            settings.quantization is Quantization.NONE or self._codes_err_by() > 0
        )

    def _codes_err_by(self) -> float:
        """What a score by code may be wrong by, where it is known. What zvec gives is scored anew, by whole vectors."""
        settings = self._spec.settings
        rounded = settings.quantization is Quantization.FLOAT16 and settings.metric is Metric.COSINE
        return _FLOAT16_ERROR if rounded and settings.kind is IndexKind.HNSW else 0.0

    def _untied(self, limit: int, ask: Callable[[int], Found], apart: float = 0.0) -> Matches:
        """Ask for a few more than wanted until the last of them is behind the last place, by more than `apart`.

        MAX_TIES bounds how many more.
        """
        most = min(MAX_HITS, limit + MAX_TIES)
        hits = min(limit + _SPARE, most)
        while True:
            keys, scores = ask(hits)
            if len(keys) < hits or hits == most or scores[-1] < scores[limit - 1] - apart:
                return ranked(keys, scores, limit)
            hits = min(4 * hits, most)

    def _by_vector(
        self, vector: Float32Array, hits: int, where: str | None, effort: int | None, *, everything: bool
    ) -> Found:
        param = query_param(self._spec.settings, effort=effort, limit=hits, rows=self._rows(), everything=everything)
        keys, given = _pairs(self._ask(sdk().Query(VECTOR, vector=vector, param=param), hits, where))
        match self._spec.settings.metric:
            case Metric.COSINE:  # zvec gives 1 - cosine
                return keys, (1 - given.astype(np.float64)).astype(np.float32)
            case Metric.EUCLIDEAN:  # zvec gives the square
                return keys, -np.sqrt(np.maximum(given, 0))
        return keys, given

    def _by_reading(self, vector: Float32Array, limit: int, where: str | None) -> Matches:
        """Compare every row that passes outside of zvec: about 50 microseconds a row."""
        keys = self.passing(where)
        wide = vector.astype(np.float64)
        parts = [self._similarities(keys[start : start + _PAGE], wide) for start in range(0, len(keys), _PAGE)]
        if not parts:
            return no_matches()
        return ranked(np.concatenate([k for k, _ in parts]), np.concatenate([s for _, s in parts]), limit)

    def _similarities(self, keys: Int64Array, vector: np.ndarray[Any, np.dtype[np.float64]]) -> Found:
        here, block = self.vectors(keys)
        wide = block.astype(np.float64)
        if self._spec.settings.metric is Metric.EUCLIDEAN:
            return here, np.asarray(-np.linalg.norm(wide - vector, axis=1), np.float32)
        return here, np.asarray(wide @ vector, np.float32)

    def _slice(self, low: int, high: int, where: str | None) -> Int64Array:
        """Keys of slices `low` to `high - 1`. See local_filters for why each bound comes with NOTHING."""
        bounds = f"({SLICE} >= {low} OR {NOTHING}) AND ({SLICE} < {high} OR {NOTHING})"
        alone = high - low == 1
        hits = MAX_HITS if alone else self._keys_at_once
        found = self._ask(None, hits, f"{bounds} AND {where}" if where else bounds)
        if len(found) < hits:
            return _keys(found)
        if alone:
            raise EngineUnavailable(f"more than {MAX_HITS} rows in one slice of index {self._spec.name!r}")
        middle = (low + high) // 2
        return np.concatenate([self._slice(low, middle, where), self._slice(middle, high, where)])

    def _ask(self, query: Any, hits: int, where: str | None) -> list[Any]:
        return self._collection.query(query, topk=hits, filter=where, output_fields=[])  # type: ignore[no-any-return]


def _keys(found: list[Any]) -> Int64Array:
    return np.fromiter((int(doc.id) for doc in found), np.int64, len(found))


def _pairs(found: list[Any]) -> Found:
    return _keys(found), np.fromiter((doc.score for doc in found), np.float32, len(found))
