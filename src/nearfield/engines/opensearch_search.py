"""Questions to one OpenSearch index, and what its answers say."""

from __future__ import annotations

from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import NearfieldError, UnsupportedByEngine
from nearfield.domain.languages import without_stop_words
from nearfield.engines.opensearch_filters import MAX_CLAUSES, compile_filter
from nearfield.engines.opensearch_http import Incomplete
from nearfield.engines.opensearch_schema import KEY, MAX_HITS, VECTOR, WORDS, similarities, space_of, words
from nearfield.engines.ranking import no_matches, ranked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter
    from nearfield.domain.hits import Matches
    from nearfield.engines.opensearch_http import Door
    from nearfield.protocols.engine import IndexSpec

    Query = dict[str, Any]

_SPARE: Final = 8  # hits asked beyond the limit at first
_MAX_TIES: Final = 1_024  # how far beyond the limit a search looks for rows that tie with the last place
_KEY_PAGE: Final = 8_192
_VECTOR_PAGE: Final = 500
_KEEP_ALIVE: Final = "2m"
_WHOLE: Final = {"allow_partial_search_results": "false"}


class Searcher:
    """Reads one index. where: a filter; UnsupportedByEngine is raised where it cannot be said."""

    def __init__(self, door: Door, path: str, spec: IndexSpec) -> None:
        self._door, self._path, self._spec = door, path, spec

    async def by_graph(self, vector: Float32Array, *, limit: int, where: Filter | None, effort: int) -> Matches:
        """May find fewer than there are. Asks for a few more than wanted until the last place is not tied."""
        most = min(MAX_HITS, limit + _MAX_TIES)
        hits = min(limit + _SPARE, most)
        passing = self._passing(where)
        while True:
            how = {"ef_search": max(effort, hits)}
            knn = {"vector": vector, "k": hits, "method_parameters": how, "filter": passing}
            keys, scores = await self._found({"knn": {VECTOR: knn}}, hits)
            if len(keys) < hits or hits == most or scores[-1] < scores[limit - 1]:
                return ranked(keys, similarities(scores, self._spec.settings.metric), limit)
            hits = min(4 * hits, most)

    async def by_comparing(self, vector: Float32Array, *, limit: int, where: Filter | None) -> Matches:
        """By comparing every row that passes; the server itself breaks ties by key."""
        metric = self._spec.settings.metric
        asked = {"field": VECTOR, "query_value": vector, "space_type": space_of(metric)}
        script = {"lang": "knn", "source": "knn_score", "params": asked}
        keys, scores = await self._found({"script_score": {"query": self._passing(where), "script": script}}, limit)
        return ranked(keys, similarities(scores, metric), limit)

    async def lexical(self, text: str, *, limit: int, where: Filter | None) -> Matches:
        """By BM25, the document frequencies being those of all shards together."""
        language = self._spec.language
        passing, asked = self._passing(where), words(without_stop_words(text, language), language)
        if not asked:
            return no_matches()
        if len(set(asked.split(" "))) > MAX_CLAUSES:
            raise UnsupportedByEngine(
                f"engine opensearch searches {MAX_CLAUSES} different words at once; shorten the query", field="query"
            )
        query = {"bool": {"must": [{"match": {WORDS: {"query": asked}}}], "filter": [passing]}}
        keys, scores = await self._found(query, limit, {"search_type": "dfs_query_then_fetch"})
        return ranked(keys, scores, limit)

    async def count(self, where: Filter | None) -> int:
        """Rows that pass."""
        body = {"query": self._passing(where)}
        return await self._door.ask("counting", "POST", f"{self._path}/_count", body, read=_count)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """Stored vectors, those found, in the order asked."""

        def read(answer: Any) -> tuple[list[int], Float32Array]:
            here = [told for told in answer["docs"] if _is_found(told)]
            stored = np.array([told["_source"][VECTOR] for told in here], np.float32)
            return [int(told["_id"]) for told in here], stored.reshape(len(here), self._spec.dimension)

        found: list[int] = []
        parts: list[Float32Array] = [np.empty((0, self._spec.dimension), np.float32)]
        path, how = f"{self._path}/_mget", {"_source_includes": VECTOR}
        for start in range(0, len(keys), _VECTOR_PAGE):
            names = [str(key) for key in keys[start : start + _VECTOR_PAGE].tolist()]
            told, part = await self._door.ask("reading vectors", "POST", path, {"ids": names}, read=read, query=how)
            found += told
            parts.append(part)
        return np.array(found, np.int64), np.concatenate(parts)

    async def keys(self) -> AsyncGenerator[Int64Array, None]:
        """Every key as of one point in time, in pages."""
        doing, path = "listing keys", "/_search/point_in_time"
        how = {"keep_alive": _KEEP_ALIVE, "allow_partial_pit_creation": "false"}
        moment: str = await self._door.ask(doing, "POST", self._path + path, read=itemgetter("pit_id"), query=how)
        body: dict[str, Any] = {
            "size": _KEY_PAGE,
            "query": {"match_all": {}},
            "pit": {"id": moment, "keep_alive": _KEEP_ALIVE},
            "sort": [KEY],
            "_source": False,
            "track_total_hits": False,
        }
        try:
            while True:
                page = await self._door.ask(doing, "POST", "/_search", body, read=_ids, query=_WHOLE)
                if len(page):
                    yield page
                if len(page) < _KEY_PAGE:
                    return
                body["search_after"] = [int(page[-1])]
        finally:
            with suppress(NearfieldError):  # it ends by itself soon
                await self._door.ask(doing, "DELETE", path, {"pit_id": [moment]}, read=bool)

    def _passing(self, where: Filter | None) -> Query:
        return {"match_all": {}} if where is None else compile_filter(where, self._spec.fields)

    async def _found(
        self, query: Query, limit: int, how: Mapping[str, str] | None = None
    ) -> tuple[Int64Array, Float32Array]:
        body = {"size": limit, "query": query, "sort": ["_score", KEY], "_source": False, "track_total_hits": False}
        path, how = f"{self._path}/_search", {**_WHOLE, **(how or {})}
        return await self._door.ask("searching", "POST", path, body, read=_scored, query=how)


def _ids(answer: Any) -> Int64Array:
    hits = answer["hits"]["hits"]
    return np.fromiter((int(hit["_id"]) for hit in hits), np.int64, len(hits))


def _scored(answer: Any) -> tuple[Int64Array, Float32Array]:
    return _ids(answer), np.array([float(hit["_score"]) for hit in answer["hits"]["hits"]], np.float32)


def _count(answer: Any) -> int:
    return int(answer["count"])


def _is_found(told: Mapping[str, Any]) -> bool:
    if "error" in told:
        raise Incomplete(f"row {told['_id']} could not be read")
    return bool(told["found"])
