"""A stand-in for an OpenSearch server: indexes, shards, refreshes, points in time, tasks, all in memory.

Vectors are compared by NumPy, queries are read by `opensearch_query`. It is as strict as the server where the adapter
could be wrong: names, sizes, types and dimensions are checked, and what is written is found after a refresh only.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from tests.vendors.opensearch_query import Reader, Refused, Shard, parsing, typed, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

MAX_WINDOW: Final = 10_000
DOCUMENT_ERRORS: Final = (
    r'_forcemerge -> 200: body at its root: "_shards" is a required',
    r"_tasks/[^ ]+ -> 200: body at response",
)
"""Where the vendor's document is wrong: a server of version 2.19 answers a merge that runs on with a task alone, and
that task's response with the merge's shards."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,254}\Z")
_TYPES: Final = {"keyword", "long", "double", "boolean", "text", "knn_vector"}


@dataclass(slots=True)
class Index:
    """acknowledged: what was written. shards: what searches see."""

    settings: dict[str, Any]
    mappings: dict[str, Any]
    acknowledged: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)

    def refresh(self) -> None:
        count = self.settings["number_of_shards"]
        self.shards = [Shard() for _ in range(count)]
        for name, document in self.acknowledged.items():
            self.shards[zlib.crc32(name.encode()) % count].documents[name] = document


class OpenSearch:
    """The ASGI application.

    fails: asked of each row of a bulk: (status, type, reason) where it is to fail. lost_shards: how many shards give no
    answer; where that is not allowed the answer is an error, unless `passes_off` what is left for the whole. slow:
    searches end with `timed_out`.
    """

    def __init__(self) -> None:
        self.indexes: dict[str, Index] = {}
        self.moments: dict[str, Index] = {}
        self.fails: Callable[[str, str], tuple[int, str, str] | None] = lambda action, name: None
        self.lost_shards, self.passes_off, self.slow = 0, False, False
        self._made = 0
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., dict[str, Any]]]] = [
            ("PUT", re.compile(r"/([^/]+)"), self._create),
            ("DELETE", re.compile(r"/_search/point_in_time"), self._end_moments),
            ("DELETE", re.compile(r"/([^/]+)"), self._delete),
            ("GET", re.compile(r"/([^/]+)/_mapping"), self._mapping),
            ("POST", re.compile(r"/([^/]+)/_bulk"), self._bulk),
            ("POST", re.compile(r"/([^/]+)/_refresh"), self._refresh),
            ("POST", re.compile(r"/([^/]+)/_forcemerge"), self._merge),
            ("GET", re.compile(r"/_tasks/([^/]+)"), self._task),
            ("GET", re.compile(r"/([^/]+)/_stats/store"), self._stats),
            ("POST", re.compile(r"/([^/]+)/_count"), self._count),
            ("POST", re.compile(r"/([^/]+)/_mget"), self._mget),
            ("POST", re.compile(r"/([^/]+)/_search/point_in_time"), self._moment),
            ("POST", re.compile(r"/([^/]+)/_search"), self._search),
            ("POST", re.compile(r"/_search"), self._search),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        query = dict(parse_qsl(scope["query_string"].decode()))
        try:
            status, answer = 200, self._answer(scope["method"], scope["path"], query, body)
        except Refused as refused:
            cause = {"type": refused.kind, "reason": refused.reason}
            status, answer = refused.status, {"error": {"root_cause": [cause], **cause}, "status": refused.status}
        headers = [(b"content-type", b"application/json; charset=UTF-8")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        for known, pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if known == method and found:
                if route == self._bulk:
                    return self._bulk(found[1], body)
                return route(*found.groups(), query=query, body=json.loads(body) if body else {})
        raise Refused(400, "illegal_argument_exception", f"no handler found for uri [{path}] and method [{method}]")

    # -- indexes -------------------------------------------------------------------------------------------------
    def _create(self, name: str, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        if not _NAME.match(name):
            raise Refused(400, "invalid_index_name_exception", f"Invalid index name [{name}]")
        if name in self.indexes:
            raise Refused(400, "resource_already_exists_exception", f"index [{name}] already exists")
        settings = body["settings"]["index"]
        for property_, mapped in body["mappings"]["properties"].items():
            _check_property(property_, mapped, knn=settings["knn"])
        self.indexes[name] = Index(settings, body["mappings"])
        self.indexes[name].refresh()
        return {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def _delete(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        self._index(name)
        del self.indexes[name]
        return {"acknowledged": True}

    def _mapping(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        return {name: {"mappings": self._index(name).mappings}}

    def _refresh(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        index = self._index(name)
        index.refresh()
        return {"_shards": self._told(index)}

    def _merge(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        self._index(name)
        if query.get("wait_for_completion") != "false":
            raise parsing("merges are waited for by their task only, here")
        return {"task": "node:7"}

    def _task(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        node, _, number = name.partition(":")
        task = {
            "node": node,
            "id": int(number),
            "type": "transport",
            "action": "indices:admin/forcemerge",
            "start_time_in_millis": 1,
            "running_time_in_nanos": 2,
            "cancellable": False,
            "headers": {},
        }
        return {"completed": True, "task": task, "response": {"_shards": {"total": 1, "successful": 1, "failed": 0}}}

    def _stats(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        index = self._index(name)
        size = 208 + len(json.dumps(list(index.acknowledged.values())))
        stats = {"store": {"size_in_bytes": size, "reserved_in_bytes": 0}}
        return {"_shards": self._told(index), "_all": {"primaries": stats, "total": stats}, "indices": {}}

    def _index(self, name: str) -> Index:
        if name not in self.indexes:
            raise Refused(404, "index_not_found_exception", f"no such index [{name}]")
        return self.indexes[name]

    # -- documents -----------------------------------------------------------------------------------------------
    def _bulk(self, name: str, body: bytes) -> dict[str, Any]:
        index, lines, items = self._index(name), iter(body.splitlines()), []
        for line in lines:
            ((action, meta),) = json.loads(line).items()
            source = json.loads(next(lines)) if action == "index" else None
            key = meta["_id"]
            told: dict[str, Any] = {"_index": name, "_id": key}
            failure = self.fails(action, key)
            try:
                if failure is not None:
                    raise Refused(*failure)
                told |= self._apply(index, key, source)
            except Refused as refused:
                told |= {"status": refused.status, "error": {"type": refused.kind, "reason": refused.reason}}
            items.append({action: told})
        errors = any("error" in told for item in items for told in item.values())
        return {"took": 1, "errors": errors, "items": items}

    def _apply(self, index: Index, key: str, source: dict[str, Any] | None) -> dict[str, Any]:
        there = index.acknowledged.pop(key, None) is not None
        told = {"_version": 1, "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": 0, "_primary_term": 1}
        if source is None:
            return {**told, "result": "deleted" if there else "not_found", "status": 200 if there else 404}
        for name, value in source.items():
            mapped = index.mappings["properties"].get(name)
            if mapped is None:
                continue
            if mapped["type"] == "knn_vector":
                if len(value) != mapped["dimension"]:
                    raise Refused(400, "mapper_parsing_exception", "Vector dimension mismatch")
            else:
                values_of(value, mapped["type"])
        index.acknowledged[key] = source
        return {**told, "result": "updated" if there else "created", "status": 200 if there else 201}

    def _mget(self, name: str, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        index, wanted = self._index(name), query["_source_includes"].split(",")
        docs: list[dict[str, Any]] = []
        for key in body["ids"]:
            kept = index.acknowledged.get(key)
            told: dict[str, Any] = {"_index": name, "_id": key, "found": kept is not None}
            if kept is not None:
                hidden = index.mappings["_source"]["excludes"]
                told["_source"] = {part: kept[part] for part in wanted if part in kept and part not in hidden}
            docs.append(told)
        return {"docs": docs}

    # -- searches ------------------------------------------------------------------------------------------------
    def _count(self, name: str, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        index = self._index(name)
        return {"count": len(self._scores(index, body["query"], {})), "_shards": self._told(index)}

    def _moment(self, name: str, *, query: dict[str, str], body: object) -> dict[str, Any]:
        index = self._index(name)
        self._refuse_loss(query, "allow_partial_pit_creation")
        self._made += 1
        moment = f"moment{self._made}=="
        self.moments[moment] = Index(index.settings, index.mappings, shards=list(index.shards))
        return {"pit_id": moment, "_shards": self._told(index), "creation_time": 1}

    def _end_moments(self, *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        return {"pits": [{"pit_id": m, "successful": self.moments.pop(m, None) is not None} for m in body["pit_id"]]}

    def _search(self, name: str = "", *, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        if "pit" in body:
            if name or body["pit"]["id"] not in self.moments:
                raise Refused(404, "search_context_missing_exception", "No search context found")
            index = self.moments[body["pit"]["id"]]
        else:
            index = self._index(name)
        if body["size"] > MAX_WINDOW:
            raise Refused(400, "illegal_argument_exception", f"Result window is too large: {body['size']}")
        self._refuse_loss(query, "allow_partial_search_results")
        scores = self._scores(index, body["query"], query)
        hits = sorted(((_sorted_by(body["sort"], index, key, score), key, score) for key, score in scores.items()))
        after = body.get("search_after")
        if after is not None:
            hits = [hit for hit in hits if hit[0] > _signed(body["sort"], after)]
        by_score = "_score" in body["sort"]
        told = [
            {
                "_index": name or "one",
                "_id": key,
                "_score": score if by_score else None,
                "sort": _signed(body["sort"], values),
            }
            for values, key, score in hits[: body["size"]]
        ]
        return {
            "took": 1,
            "timed_out": self.slow,
            "_shards": self._told(index),
            "hits": {"max_score": None, "hits": told},
        }

    def _scores(self, index: Index, asked: dict[str, Any], how: Mapping[str, str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for shard in index.shards[self.lost_shards :]:
            everywhere = index.shards if how.get("search_type") == "dfs_query_then_fetch" else [shard]
            found |= Reader(index.mappings["properties"], index.settings, shard, everywhere).scores(asked)
        return found

    def _refuse_loss(self, query: Mapping[str, str], allowed: str) -> None:
        if self.lost_shards and query.get(allowed) == "false" and not self.passes_off:
            raise Refused(503, "search_phase_execution_exception", "Search rejected due to missing shards")

    def _told(self, index: Index) -> dict[str, Any]:
        total = index.settings["number_of_shards"]
        told: dict[str, Any] = {"total": total, "successful": total - self.lost_shards, "failed": self.lost_shards}
        if self.lost_shards:
            reason = {"type": "node_disconnected_exception", "reason": "gone"}
            told["failures"] = [{"shard": 0, "index": "one", "reason": reason}]
        return told


def _check_property(name: str, mapped: Mapping[str, Any], *, knn: bool) -> None:
    if mapped["type"] not in _TYPES:
        raise Refused(400, "mapper_parsing_exception", f"No handler for type [{mapped['type']}] on field [{name}]")
    method = mapped.get("method")
    if method is None:
        return
    graph, encoder = method["engine"], method["parameters"].get("encoder", {"name": "flat"})
    if not knn or method["name"] != "hnsw" or graph not in ("lucene", "faiss"):
        raise Refused(400, "mapper_parsing_exception", f"no such method {method} here")
    known: dict[str, dict[str, object]] = {"flat": {}, "sq": {} if graph == "lucene" else {"type": "fp16"}}
    if encoder["name"] not in known or encoder.get("parameters", {}) != known[encoder["name"]]:
        raise Refused(400, "mapper_parsing_exception", f"{graph} knows no encoder {encoder}")
    if method["space_type"] not in ("l2", "innerproduct"):
        raise Refused(400, "mapper_parsing_exception", f"no such space {method['space_type']} here")


def _sorted_by(order: list[str], index: Index, key: str, score: float) -> list[Any]:
    values = []
    for name in order:
        kept = next(shard.documents[key] for shard in index.shards if key in shard.documents)
        values.append(-score if name == "_score" else typed(kept[name], index.mappings["properties"][name]["type"]))
    return values


def _signed(order: list[str], values: list[Any]) -> list[Any]:
    """Sort values as they are told from as they are compared, and back: scores fall, all else rises."""
    return [-value if name == "_score" else value for name, value in zip(order, values, strict=True)]
