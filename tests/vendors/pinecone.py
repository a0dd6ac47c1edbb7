"""A stand-in for Pinecone serverless: both planes over HTTP, stateful, eventually consistent, each request and answer
checked against the vendor's published description.

Beyond the description it refuses what the vendor's documentation says is refused: more than 40 KB of metadata, 2 MB or
1,000 records a request, vectors of zeros, metadata and filters of other types. How missing fields are compared is not
written down, so `Missing` names three ways; an adapter has to be right under each.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

import numpy as np
from tests.vendors.schema import Answer, Contract, Request
from tests.vendors.serving import Watched, served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

KEY = "pcsk_test_2hW8"
VERSION = "2026-04"
REGIONS = {("aws", "us-east-1"), ("aws", "eu-west-1"), ("gcp", "us-central1")}
_NO_VALUE = object()


class Missing(StrEnum):
    """What a comparison with a field that a record has not makes of it."""

    PASSES_NEGATIONS = "as MongoDB: `$ne` and `$nin` hold"
    PASSES_NOTHING = "no comparison holds, `$exists: false` does"
    FAILS_THE_WHOLE = "a record that lacks any field of the filter is left out, whatever the rest says"


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Space:
    """A namespace: what reads see, and the writes they do not see yet."""

    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: list[list[Any]] = field(default_factory=list)  # [number, change, reads left]
    written: int = 0
    indexed: int = 0

    def write(self, change: Callable[[dict[str, dict[str, Any]]], None], lag: int) -> int:
        self.written += 1
        self.pending.append([self.written, change, lag])
        if lag == 0:
            self.read()
        return self.written

    def read(self) -> Self:
        """A read: what waits comes a read closer to being seen."""
        while self.pending:
            self.pending[0][2] -= 1
            if self.pending[0][2] >= 0:
                break
            self.indexed, change, _ = self.pending.pop(0)
            change(self.seen)
        return self


@dataclass
class Index:
    """A serverless index."""

    model: dict[str, Any]
    spaces: dict[str, Space] = field(default_factory=dict)
    looks: int = 0

    @property
    def dimension(self) -> int:
        return int(self.model["dimension"])


class PineconeStub:
    """Listens on a free port of this machine from `with` on."""

    def __init__(self, schemas: Path) -> None:
        self._planes = _Planes(schemas)
        self.reset()

    def reset(self) -> None:
        """Empty, well and prompt again."""
        self.indexes: dict[str, Index] = {}
        self.watched = Watched(self, self._planes)  # type: ignore[arg-type] # two contracts in one
        self.taken: list[int] = []
        """Of the next upserts, how many records each takes."""
        self.lag = 0
        """Reads of a namespace that do not see a write yet."""
        self.slow_making = 0
        """Looks at an index before it is ready."""
        self.numbers = True
        """Whether writes and queries tell their place in the log, as indexes with dedicated read nodes do not."""
        self.missing = Missing.PASSES_NEGATIONS

    def __enter__(self) -> Self:
        async def now(scope: Scope, receive: Receive, send: Send) -> None:
            await self.watched(scope, receive, send)

        self._stack = ExitStack()
        self.url = self._stack.enter_context(served(now))
        return self

    def __exit__(self, *args: object) -> None:
        self._stack.close()

    def asked(self, path: str) -> int:
        """How often a path was asked, on whatever host."""
        return sum(_routed(request.path)[1] == path for request in self.watched.seen)

    # -- a request ---------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, out, told = self._answer(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        raw = [(name.encode(), value.encode()) for name, value in {"content-type": "application/json", **told}.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": out})

    def _answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        host, path = _routed(path)
        told: dict[str, str] = {}
        try:
            if headers.get("api-key") != KEY:
                raise Refusal(401, "Invalid API key")
            if len(body) > 2 * 1024 * 1024:
                raise Refusal(400, "Request size exceeds the limit of 2 MB")
            sent = json.loads(body) if body else {}
            if host is None:
                status, reply = self._control_plane(method, path, sent)
            else:
                asked = parse_qs(query, keep_blank_values=True)
                status, reply = self._data_plane(self._index_of(host), method, path, asked, sent, told)
        except Refusal as refused:
            status, reply = refused.status, _said(host, refused.status, str(refused))
        return status, b"" if reply is None else json.dumps(reply).encode(), told

    # -- control plane -----------------------------------------------------------------------------------------------
    def _control_plane(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        name = path.removeprefix("/indexes").strip("/")
        if method == "POST":
            return 201, self._make(sent)
        if not name:
            return 200, {"indexes": [index.model for index in self.indexes.values()]}
        index = self.indexes.get(name)
        if index is None:
            raise Refusal(404, f"Resource {name} not found")
        if method == "DELETE":
            del self.indexes[name]
            return 202, None
        index.looks += 1
        if index.looks > self.slow_making:
            index.model["status"] = {"ready": True, "state": "Ready"}
        return 200, index.model

    def _make(self, sent: dict[str, Any]) -> dict[str, Any]:
        name, where = sent["name"], sent["spec"]["serverless"]
        if name in self.indexes:
            raise Refusal(409, f"Resource {name} already exists")
        if not all(c.isdigit() or (c.isascii() and c.islower()) or c == "-" for c in name) or name.strip("-") != name:
            raise Refusal(400, "Name must consist of lower case alphanumeric characters or '-'")
        if (where["cloud"], where["region"]) not in REGIONS:
            raise Refusal(404, f"Resource cloud: {where['cloud']} region: {where['region']} not found")
        if sent["metric"] not in ("cosine", "dotproduct", "euclidean"):
            raise Refusal(400, "unknown metric")
        model = {
            "name": name,
            "dimension": sent["dimension"],
            "metric": sent["metric"],
            "host": f"{self.url.removeprefix('http://')}/host/{name}-c01b5b5",
            "status": {"ready": False, "state": "Initializing"},
            "spec": {"serverless": {**where, "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}}}},
            "deletion_protection": "disabled",
            "vector_type": "dense",
        }
        self.indexes[name] = Index(model)
        return model

    def _index_of(self, host: str) -> Index:
        index = self.indexes.get(host.removesuffix("-c01b5b5"))
        if index is None:
            raise Refusal(404, "Index not found")
        return index

    # -- data plane --------------------------------------------------------------------------------------------------
    def _data_plane(
        self,
        index: Index,
        method: str,
        path: str,
        query: Mapping[str, list[str]],
        sent: dict[str, Any],
        told: dict[str, str],
    ) -> tuple[int, dict[str, Any]]:
        match method, path:
            case "POST", "/namespaces":
                if sent["name"] in index.spaces:
                    raise Refusal(409, "Namespace already exists")
                index.spaces[sent["name"]] = Space()
                return 200, {"name": sent["name"], "record_count": 0}
            case "GET", "/namespaces":
                return 200, self._list_spaces(index, query)
            case _, _ if path.startswith("/namespaces/"):
                name = path.removeprefix("/namespaces/")
                space = self._space(index, name)
                if method == "DELETE":
                    del index.spaces[name]
                    return 200, {}
                return 200, {"name": name, "record_count": len(space.read().seen)}
            case "POST", "/vectors/upsert":
                count = self._upsert(index, sent, told)
                return 200, {"upsertedCount": count}
            case "POST", "/vectors/delete":
                space, gone = self._space(index, sent["namespace"]), list(sent["ids"])

                def remove(seen: dict[str, dict[str, Any]]) -> None:
                    for one in gone:
                        seen.pop(one, None)

                self._tell(told, "x-pinecone-request-lsn", space.write(remove, self.lag))
                return 200, {}
            case "POST", "/vectors/update":
                return 200, self._try_update(index, sent)
            case "POST", "/query":
                return 200, self._query(index, sent, told)
            case "GET", "/vectors/fetch":
                return 200, self._fetch(index, query)
            case "GET", "/vectors/list":
                return 200, self._list(index, query)
        raise Refusal(404, f"no {method} {path}")

    def _space(self, index: Index, name: str) -> Space:
        if name not in index.spaces:
            raise Refusal(404, "Namespace not found")
        return index.spaces[name]

    def _tell(self, told: dict[str, str], header: str, number: int) -> None:
        if self.numbers:
            told[header] = str(number)

    def _list_spaces(self, index: Index, query: Mapping[str, list[str]]) -> dict[str, Any]:
        prefix = query.get("prefix", [""])[0]
        names = sorted(name for name in index.spaces if name.startswith(prefix))
        page, after = _page(names, query)
        listed = [{"name": name, "record_count": len(index.spaces[name].seen)} for name in page]
        return {"namespaces": listed, "total_count": len(names)} | after

    def _upsert(self, index: Index, sent: dict[str, Any], told: dict[str, str]) -> int:
        for vector in sent["vectors"]:
            check_record(vector, index.dimension)
        rows = sent["vectors"][: self.taken.pop(0)] if self.taken else sent["vectors"]

        def put(seen: dict[str, dict[str, Any]]) -> None:
            for row in rows:
                values = [float(value) for value in np.array(row["values"], np.float32)]
                seen[row["id"]] = {"id": row["id"], "values": values, "metadata": as_doubles(row.get("metadata", {}))}

        space = index.spaces.setdefault(sent["namespace"], Space())
        self._tell(told, "x-pinecone-request-lsn", space.write(put, self.lag))
        return len(rows)

    def _query(self, index: Index, sent: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
        if len(sent["vector"]) != index.dimension:
            raise Refusal(400, f"Vector dimension {len(sent['vector'])} does not match {index.dimension}")
        space = index.spaces.get(sent["namespace"], Space()).read()
        self._tell(told, "x-pinecone-max-indexed-lsn", space.indexed)
        rows = self._passing(space, sent.get("filter"))
        matches: list[dict[str, Any]] = []
        if rows:
            asked, held = np.array(sent["vector"], np.float64), np.array([row["values"] for row in rows])
            scores, best_first = _scores(index.model["metric"], held, asked)
            matches = [{"id": rows[place]["id"], "score": float(scores[place])} for place in best_first[: sent["topK"]]]
        return {"matches": matches, "namespace": sent["namespace"], "usage": {"readUnits": 1}}

    def _passing(self, space: Space, where: dict[str, Any] | None) -> list[dict[str, Any]]:
        if where is not None:
            check_filter(where)
        return [row for row in space.seen.values() if where is None or passes(where, row["metadata"], self.missing)]

    def _fetch(self, index: Index, query: Mapping[str, list[str]]) -> dict[str, Any]:
        if len(query["ids"]) > 1_000:
            raise Refusal(400, "too many ids")
        space = index.spaces.get(query["namespace"][0], Space()).read()
        found = {one: space.seen[one] for one in query["ids"] if one in space.seen}
        return {"vectors": found, "namespace": query["namespace"][0], "usage": {"readUnits": 1}}

    def _list(self, index: Index, query: Mapping[str, list[str]]) -> dict[str, Any]:
        space = index.spaces.get(query["namespace"][0], Space()).read()
        page, after = _page(sorted(space.seen), query)
        return {"vectors": [{"id": one} for one in page], "namespace": query["namespace"][0]} | after

    def _try_update(self, index: Index, sent: dict[str, Any]) -> dict[str, Any]:
        if not sent.get("dryRun") or not sent.get("filter"):
            raise Refusal(400, "this stand-in only tries updates by filter")
        return {"matchedRecords": len(self._passing(self._space(index, sent["namespace"]).read(), sent["filter"]))}


class _Planes:
    """Both descriptions as one: a request is held against that of the plane it goes to.

    Stricter than they are in one thing: the version is theirs, not any.
    """

    def __init__(self, schemas: Path) -> None:
        self._control = Contract.load(schemas / "pinecone.db_control.2026-04.oas.yaml", closed=True, every_status=True)
        self._data = Contract.load(schemas / "pinecone.db_data.2026-04.oas.yaml", closed=True, every_status=True)

    def wrong_request(self, request: Request) -> list[str]:
        contract, request = self._plane(request)
        version = request.headers.get("x-pinecone-api-version")
        return contract.wrong_request(request) + ([] if version == VERSION else [f"{request.path}: version {version}"])

    def wrong_answer(self, request: Request, answer: Answer) -> list[str]:
        contract, request = self._plane(request)
        return contract.wrong_answer(request, answer)

    def _plane(self, request: Request) -> tuple[Contract, Request]:
        host, path = _routed(request.path)
        return self._control if host is None else self._data, replace(request, path=path)


def _routed(path: str) -> tuple[str | None, str]:
    """A host of the data plane is a path here, since there is but one machine. None for the control plane."""
    if not path.startswith("/host/"):
        return None, path
    _, _, host, rest = path.split("/", 3)
    return host, f"/{rest}"


def _said(host: str | None, status: int, message: str) -> dict[str, Any]:
    """A refusal in the words of its plane."""
    if host is None:
        codes = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
        return {"status": status, "error": {"code": codes.get(status, "UNKNOWN"), "message": message}}
    return {"code": 5 if status == 404 else 3, "message": message, "details": []}


def passes(where: Mapping[str, Any], held: Mapping[str, Any], missing: Missing) -> bool:
    """Whether metadata passes a filter."""
    if missing is Missing.FAILS_THE_WHOLE and not set(_named(where)) <= held.keys():
        return False
    return _passes(where, held, missing)


def _passes(where: Mapping[str, Any], held: Mapping[str, Any], missing: Missing) -> bool:
    def one(key: str, asked: Any) -> bool:
        if key == "$and":
            return all(_passes(part, held, missing) for part in asked)
        if key == "$or":
            return any(_passes(part, held, missing) for part in asked)
        tests = asked if isinstance(asked, dict) else {"$eq": asked}
        return all(_compare(operator, held.get(key, _NO_VALUE), value, missing) for operator, value in tests.items())

    return all(one(key, asked) for key, asked in where.items())


def _compare(operator: str, have: Any, value: Any, missing: Missing) -> bool:
    if operator == "$exists":
        return (have is not _NO_VALUE) is value
    if operator in ("$ne", "$nin"):
        if have is _NO_VALUE:
            return missing is Missing.PASSES_NEGATIONS
        return not _compare("$eq" if operator == "$ne" else "$in", have, value, missing)
    if have is _NO_VALUE:
        return False
    each = have if isinstance(have, list) else [have]
    match operator:
        case "$eq":
            return any(_alike(item, value) for item in each)
        case "$in":
            return any(_alike(item, one) for item in each for one in value)
    if isinstance(have, (list, str, bool)):
        return False
    return bool({"$lt": have < value, "$lte": have <= value, "$gt": have > value, "$gte": have >= value}[operator])


def _alike(item: Any, value: Any) -> bool:
    """True is not 1. A number is a double."""
    if isinstance(item, bool) or isinstance(value, bool) or isinstance(item, str) or isinstance(value, str):
        return type(item) is type(value) and bool(item == value)
    return float(item) == float(value)


def _named(where: Mapping[str, Any]) -> list[str]:
    parts = [(key, asked) for key, asked in where.items()]
    return [
        name
        for key, asked in parts
        for name in ([n for part in asked for n in _named(part)] if key in ("$and", "$or") else [key])
    ]


def check_filter(where: Mapping[str, Any]) -> None:
    """Refuse what the documentation's table of operators does not hold."""
    for key, asked in where.items():
        if key in ("$and", "$or"):
            if not isinstance(asked, list) or not asked:
                raise Refusal(400, f"{key} takes a list of filters")
            for part in asked:
                check_filter(part)
            continue
        if key.startswith("$"):
            raise Refusal(400, f"unknown operator {key}")
        for operator, value in asked.items() if isinstance(asked, dict) else [("$eq", asked)]:
            _check_operand(operator, value)


def _check_operand(operator: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match operator:
        case "$eq" | "$ne":
            fine = number or isinstance(value, str | bool)
        case "$lt" | "$lte" | "$gt" | "$gte":
            fine = number
        case "$in" | "$nin":
            fine = isinstance(value, list) and 0 < len(value) <= 10_000
            fine = fine and all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in value)
        case "$exists":
            fine = isinstance(value, bool)
        case _:
            raise Refusal(400, f"unknown operator {operator}")
    if not fine:
        raise Refusal(400, f"{operator} does not take {str(value)[:80]}")


def check_record(record: Mapping[str, Any], dimension: int) -> None:
    """Refuse what the documentation says that a record cannot be."""
    if len(record["values"]) != dimension:
        raise Refusal(400, f"Vector dimension {len(record['values'])} does not match {dimension}")
    if not any(record["values"]):
        raise Refusal(400, "Dense vectors must contain at least one non-zero value.")
    metadata = record.get("metadata", {})
    if len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) > 40 * 1024:
        raise Refusal(400, "Metadata size exceeds the limit of 40960 bytes per vector")
    for key, value in metadata.items():
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if key.startswith("$") or not (texts or isinstance(value, str | int | float)):
            raise Refusal(400, "Metadata value must be a string, number, boolean or list of strings")


def as_doubles(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it is kept: every number a double."""
    return {
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in metadata.items()
    }


def _scores(metric: str, held: np.ndarray[Any, Any], asked: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Scores as the vendor tells them, and the order of rows, best first."""
    if metric == "euclidean":
        scores = ((held - asked) ** 2).sum(axis=1).astype(np.float32)
        return scores, np.argsort(scores, kind="stable")
    scores = held @ asked
    if metric == "cosine":
        scores = scores / np.linalg.norm(held, axis=1) / np.linalg.norm(asked)
    scores = scores.astype(np.float32)
    return scores, np.argsort(-scores, kind="stable")


def _page(items: list[str], query: Mapping[str, list[str]]) -> tuple[list[str], dict[str, Any]]:
    limit = int(query.get("limit", ["100"])[0])
    if not 1 <= limit <= 100:
        raise Refusal(400, "limit must be 1 to 100")
    after = query.get("paginationToken", [""])[0]
    rest = [item for item in items if item > after]
    return rest[:limit], {"pagination": {"next": rest[limit - 1]}} if len(rest) > limit else {}
