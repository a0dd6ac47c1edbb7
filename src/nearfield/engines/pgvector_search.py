"""Questions to one table, asked as often as it takes for the answer to be what the seam promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.schema import IndexKind
from nearfield.engines.pgvector_filters import Parameters, compile_filter
from nearfield.engines.pgvector_schema import MAX_EFFORT, lists_for, probes_for
from nearfield.engines.ranking import ranked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter
    from nearfield.domain.hits import Matches
    from nearfield.engines.pgvector_schema import Table

    Found = tuple[Int64Array, Float32Array]

MAX_TIES: Final = 1_024
"""How far beyond the limit a search looks for rows that tie with the last place, so that keys decide between them."""

_SPARE: Final = 8  # hits asked beyond the limit at first
_SCANNED: Final = 20_000  # rows an index gives before the filter is said to be too narrow for it; all are compared then


class Searcher:
    """Reads one table."""

    def __init__(self, table: Table, rows_laid_out: Callable[[Any], Awaitable[int]]) -> None:
        """rows_laid_out: how many rows the inverted file of the table was built over."""
        self._table, self._rows_laid_out = table, rows_laid_out
        self._flat = table.spec.settings.kind is IndexKind.FLAT

    async def nearest(
        self,
        connection: Any,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None,
        effort: int | None,
        exact: bool,
    ) -> Matches:
        """The nearest rows. Where the index gives too few of them, every row that passes is compared."""

        async def by_index(hits: int) -> Found:
            async with connection.transaction(readonly=True):
                await connection.execute(await self._settings(connection, hits, effort))
                return await self._ask(connection, self._by_index, vector, hits, where)

        async def by_reading(hits: int) -> Found:
            return await self._ask(connection, self._by_reading, vector, hits, where)

        if not exact and not self._flat and limit <= MAX_EFFORT:  # beyond that, comparing all is the shorter way
            found = await _untied(limit, by_index)
            if len(found) == limit:
                return found
        return await _untied(limit, by_reading)

    async def count(self, connection: Any, where: Filter | None) -> int:
        """Rows that pass."""
        parameters = Parameters()
        statement = f"SELECT count(*) FROM {self._table.name}{self._condition(where, parameters)}"  # noqa: S608 - names are quoted, values bound
        return int(await connection.fetchval(statement, *parameters.values))

    async def vectors(self, connection: Any, keys: Sequence[int]) -> dict[int, Float32Array]:
        """The vectors of those keys that are there."""
        statement = f"SELECT key, embedding FROM {self._table.name} WHERE key = ANY ($1::bigint[])"  # noqa: S608
        return dict(await connection.fetch(statement, keys))

    async def keys(self, connection: Any, after: int, limit: int) -> Int64Array:
        """Keys beyond one, in order."""
        statement = f"SELECT key FROM {self._table.name} WHERE key > $1 ORDER BY key LIMIT $2"  # noqa: S608
        found = await connection.fetch(statement, after, limit)
        return np.fromiter((key for (key,) in found), np.int64, len(found))

    async def _ask(
        self,
        connection: Any,
        statement: Callable[[str], str],
        vector: Float32Array,
        hits: int,
        where: Filter | None,
    ) -> Found:
        parameters = Parameters([vector, hits])
        said = statement(self._condition(where, parameters))
        found = await connection.fetch(said, *parameters.values)
        keys = np.fromiter((row[0] for row in found), np.int64, len(found))
        return keys, np.fromiter((row[1] for row in found), np.float32, len(found))

    def _by_index(self, condition: str) -> str:
        """Candidates in the index's order, scored at full precision."""
        return (
            f"SELECT key, {self._table.similarity} FROM (SELECT key, embedding FROM {self._table.name}{condition} "  # noqa: S608
            f"ORDER BY {self._table.distance} LIMIT $2) AS near ORDER BY 2 DESC, 1"
        )

    def _by_reading(self, condition: str) -> str:
        """Every row that passes: the sum is no expression that an index is ordered by."""
        return (
            f"SELECT key, {self._table.similarity} FROM {self._table.name}{condition} "  # noqa: S608
            f"ORDER BY 0 + {self._table.similarity} DESC, key LIMIT $2"
        )

    def _condition(self, where: Filter | None, parameters: Parameters) -> str:
        if where is None:
            return ""
        spec = self._table.spec
        return f" WHERE {compile_filter(where, spec.fields, self._table.columns, parameters)}"

    async def _settings(self, connection: Any, hits: int, effort: int | None) -> str:
        """How the index is to search, for this transaction. Where a filter lets too little pass, it goes on.

        PostgreSQL takes vectors that lie beside the table for nothing, and would read it whole rather than the index.
        """
        settings, by_index = self._table.spec.settings, "SET LOCAL enable_seqscan = off"
        if settings.kind is IndexKind.HNSW:
            ef = min(MAX_EFFORT, max(effort or settings.ef_search, hits))
            return (
                f"{by_index}; SET LOCAL hnsw.ef_search = {ef:d}; SET LOCAL hnsw.iterative_scan = strict_order; "
                f"SET LOCAL hnsw.max_scan_tuples = {_SCANNED:d}"
            )
        probes = effort or settings.probes
        if not probes:
            probes = probes_for(lists_for(settings, await self._rows_laid_out(connection)))
        return f"{by_index}; SET LOCAL ivfflat.probes = {probes:d}; SET LOCAL ivfflat.iterative_scan = relaxed_order"


async def _untied(limit: int, ask: Callable[[int], Awaitable[Found]]) -> Matches:
    """Ask for a few more than wanted until the last place is not tied. MAX_TIES bounds how many more."""
    most = limit + MAX_TIES
    hits = limit + _SPARE
    while True:
        keys, scores = await ask(hits)
        if len(keys) < hits or hits == most or scores[-1] < scores[limit - 1]:
            return ranked(keys, scores, limit)
        hits = min(4 * hits, most)
