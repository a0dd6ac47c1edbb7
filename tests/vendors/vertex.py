"""A stand-in for Vertex AI Vector Search 2.0 over REST, with the server of its access tokens: stateful, eventually
consistent, every request and answer read and written by the vendor's own messages.

Beyond these it does what the vendor's documentation says: batches are taken whole or refused whole, what is created
must not be there and what is changed or deleted must, ids are labels of RFC 1035, data follow the collection's JSON
Schema, filters know eleven operators and two levels, every object is compared in collections of up to 100,000. What is
not written down it does the strictest way: a filter may name no field that an object lacks, nor a list where an index
is searched.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

import jsonschema_rs
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from tests.vendors.schema import Request
from tests.vendors.serving import Watched, served
from tests.vendors.vertex_messages import STATUS, Messages, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

PROJECT, LOCATION = "shop-1234", "europe-west4"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
ACCOUNT = "nearfield@shop-1234.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
KNN_ROWS = 100_000

_LABEL = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")
_FIELD = re.compile(r"[A-Za-z0-9_-]+\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_META = "type.googleapis.com/google.cloud.vectorsearch.v1."

Rows = dict[str, dict[str, Any]]


class Refusal(Exception):
    """An answer other than success. details: of google.rpc.Status."""

    def __init__(self, status: str, message: str, *details: dict[str, Any]) -> None:
        super().__init__(message)
        self.status, self.details = status, list(details)


@dataclass
class View:
    """What reads see, and the writes they do not see yet."""

    rows: Rows = field(default_factory=dict)
    pending: list[list[Any]] = field(default_factory=list)  # [change, reads left]

    def write(self, change: Callable[[Rows], None], lag: int) -> None:
        self.pending.append([change, lag])
        if lag == 0:
            self.read()

    def read(self) -> Rows:
        """A read: what waits comes a read closer to being seen."""
        while self.pending:
            self.pending[0][1] -= 1
            if self.pending[0][1] >= 0:
                break
            self.pending.pop(0)[0](self.rows)
        return self.rows


@dataclass
class Collection:
    """truth: what is stored. stored, indexed: what reads and searches through the index see of it."""

    told: dict[str, Any]
    truth: Rows = field(default_factory=dict)
    stored: View = field(default_factory=View)
    indexed: View | None = None
    index: dict[str, Any] | None = None
    building: bool = False

    @property
    def columns(self) -> dict[str, Any]:
        return dict(self.told["dataSchema"]["properties"])

    @property
    def dimension(self) -> int:
        return int(self.told["vectorSchema"]["vector"]["denseVector"]["dimensions"])

    def change(self, change: Callable[[Rows], None], lag: int, index_lag: int) -> None:
        change(self.truth)
        self.stored.write(change, lag)
        if self.indexed is not None:
            self.indexed.write(change, index_lag)


@dataclass
class Operation:
    """Something that takes long. looks: requests of any kind before it is done. ends: what it does then."""

    told: dict[str, Any]
    looks: int
    ends: Callable[[], dict[str, Any]]

    def look(self) -> dict[str, Any]:
        if not self.told["done"]:
            self.looks -= 1
            if self.looks < 0:
                self.told |= {"done": True, **self.ends()}
        return self.told


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


class VertexStub:
    """Listens on a free port of this machine from `with` on."""

    def __init__(self) -> None:
        self._messages = Messages()
        self.reset()

    def reset(self) -> None:
        """Empty, well and prompt again."""
        self.collections: dict[str, Collection] = {}
        self.operations: dict[str, Operation] = {}
        self.watched = Watched(self, self._messages)  # type: ignore[arg-type] # the vendor's messages are the contract
        self.tokens: set[str] = set()
        self.issued = 0
        self._asked_before: dict[str, dict[str, Any]] = {}
        self.lag = 0
        """Reads that do not see a write yet."""
        self.index_lag = 0
        """Searches through an index that do not see a write yet."""
        self.slow_making = 0
        """Requests before an operation is done."""
        self.failing: list[str] = []
        """What the next operations fail with."""
        self.torn: list[int] = []
        """Of the next batches, how many objects each takes before it fails."""
        self.knn_rows = KNN_ROWS
        self.least_indexed = 0
        """Objects a collection must hold before it may have an index."""
        self.page = 1_000
        """Results of a search that compares every object, on one page."""
        self.upside_down = False
        """Whether scores are told with the opposite sign."""

    def __enter__(self) -> Self:
        async def now(scope: Scope, receive: Receive, send: Send) -> None:
            await self.watched(scope, receive, send)

        self._stack = ExitStack()
        self.url = self._stack.enter_context(served(now))
        return self

    def __exit__(self, *args: object) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        return f"vertex+{self.url}?project={PROJECT}&location={LOCATION}"

    @property
    def key(self) -> str:
        """A service account's key, as its file holds it."""
        pem = private_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": ACCOUNT,
                "token_uri": f"{self.url}/token",
            }
        )

    def asked(self, verb: str) -> int:
        """How often something was asked, `dataObjects:search` for example."""
        return sum(request.path.endswith(verb) for request in self.watched.seen)

    # -- a request ----------------------------------------------------------------------------------------------------
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        status, out = self._token(request) if request.path == "/token" else self._answer(request)
        raw = [(b"content-type", b"application/json; charset=UTF-8")]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": out})

    def _token(self, request: Request) -> tuple[int, bytes]:
        """A token for a signed assertion, as Google's server gives it."""
        pem = private_key().public_key()
        public = pem.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        sent = parse_qs(request.body.decode())
        try:
            said = jwt.decode(sent["assertion"][0], certs=public, audience="https://oauth2.googleapis.com/token")
        except (ValueError, KeyError) as exc:
            return 400, json.dumps({"error": "invalid_grant", "error_description": str(exc)}).encode()
        if said["iss"] != ACCOUNT or said["scope"] != SCOPE or said["exp"] < time.time():
            return 400, json.dumps({"error": "invalid_grant", "error_description": "wrong claims"}).encode()
        self.issued += 1
        token = f"ya29.{secrets.token_hex(8)}"
        self.tokens.add(token)
        return 200, json.dumps({"access_token": token, "expires_in": 3_599, "token_type": "Bearer"}).encode()

    def _answer(self, request: Request) -> tuple[int, bytes]:
        for operation in self.operations.values():
            operation.look()
        try:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or token not in self.tokens:
                raise Refusal("UNAUTHENTICATED", "Request had invalid authentication credentials.")
            try:
                method, sent = self._messages.read(request)
            except Wrong as exc:
                raise Refusal("INVALID_ARGUMENT", str(exc)) from exc
            place = sent.get("parent") or sent["name"]
            if not place.startswith(f"{PARENT}/") and place != PARENT:
                raise Refusal("NOT_FOUND", f"{place} was not found")
            return 200, self._messages.written(method, getattr(self, f"_{method.name}")(sent))
        except Refusal as refused:
            told = {"code": STATUS[refused.status], "message": str(refused), "status": refused.status}
            if refused.details:
                told["details"] = refused.details
            return STATUS[refused.status], json.dumps({"error": told}).encode()

    # -- collections and indexes, which take long ---------------------------------------------------------------------
    def _begin(
        self,
        verb: str,
        target: str,
        sent: Mapping[str, Any],
        ends: Callable[[], None],
        fails: Callable[[], object] = int,
    ) -> dict[str, Any]:
        """Start an operation."""
        asked = sent.get("requestId")
        if asked is not None and not _UUID.match(asked):
            raise Refusal("INVALID_ARGUMENT", "request_id must be a UUID")
        name = f"{PARENT}/operations/operation-{len(self.operations) + 1}"
        failure = self.failing.pop(0) if self.failing else None

        def end() -> dict[str, Any]:
            if failure is not None:
                fails()
                return {"error": {"code": 13, "message": failure}}
            ends()
            return {"response": {"@type": "type.googleapis.com/google.protobuf.Empty"}}

        meta = {"@type": f"{_META}OperationMetadata", "verb": verb, "target": target, "apiVersion": "v1"}
        self.operations[name] = Operation({"name": name, "metadata": meta, "done": False}, self.slow_making, end)
        if self.slow_making == 0:
            self.operations[name].look()
        if asked is not None:
            self._asked_before[asked] = self.operations[name].told
        return self.operations[name].told

    def _GetOperation(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as the vendor's method
        if sent["name"] not in self.operations:
            raise Refusal("NOT_FOUND", f"{sent['name']} was not found")
        return self.operations[sent["name"]].told

    def _CreateCollection(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if sent.get("requestId") in self._asked_before:
            return self._asked_before[sent["requestId"]]
        name, told = f"{sent['parent']}/collections/{sent['collectionId']}", sent["collection"]
        if not _LABEL.match(sent["collectionId"]):
            raise Refusal("INVALID_ARGUMENT", f"{sent['collectionId']} is no label")
        if name in self.collections:
            raise Refusal("ALREADY_EXISTS", f"{name} already exists")
        jsonschema_rs.Draft7Validator(told["dataSchema"])
        if not all(map(_FIELD.match, [*told["vectorSchema"], *told["dataSchema"]["properties"]])):
            raise Refusal("INVALID_ARGUMENT", "field names have letters, digits, underscores and hyphens")
        made = Collection({**told, "name": name})
        return self._begin("create", name, sent, lambda: self.collections.update({name: made}))

    def _GetCollection(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._collection(sent["name"]).told

    def _DeleteCollection(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if sent.get("requestId") in self._asked_before:
            return self._asked_before[sent["requestId"]]
        found = self._collection(sent["name"])
        if found.building:
            raise Refusal("FAILED_PRECONDITION", "an index of the collection is being built")
        if not sent.get("force") and (found.truth or found.index):
            raise Refusal("FAILED_PRECONDITION", "the collection is not empty")
        return self._begin("delete", sent["name"], sent, lambda: self.collections.__delitem__(sent["name"]))

    def _CreateIndex(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found, told = self._collection(sent["parent"]), sent["index"]
        name = f"{sent['parent']}/indexes/{sent['indexId']}"
        if not _LABEL.match(sent["indexId"]) or told["indexField"] not in found.told["vectorSchema"]:
            raise Refusal("INVALID_ARGUMENT", f"no index {sent['indexId']} of {told['indexField']}")
        if len(found.truth) < self.least_indexed:
            raise Refusal("FAILED_PRECONDITION", "the collection holds too few data objects")
        if found.index is not None or found.building:
            raise Refusal("ALREADY_EXISTS", f"{name} already exists")

        def build() -> None:
            found.building, found.index = False, {**told, "name": name}
            found.indexed = View(dict(found.truth))

        found.building = True
        return self._begin("create", name, sent, build, lambda: setattr(found, "building", False))

    def _GetIndex(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self._collection(sent["name"].partition("/indexes/")[0])
        if found.index is None or found.index["name"] != sent["name"]:
            raise Refusal("NOT_FOUND", f"{sent['name']} was not found")
        return found.index

    def _collection(self, name: str) -> Collection:
        if name not in self.collections:
            raise Refusal("NOT_FOUND", f"{name} was not found")
        return self.collections[name]

    # -- data objects: writes -----------------------------------------------------------------------------------------
    def _BatchCreateDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found, new = self._batch(sent), Rows()
        for one in sent["requests"]:
            if one["parent"] != sent["parent"]:
                raise Refusal("INVALID_ARGUMENT", "the parents differ")
            if not _LABEL.match(one["dataObjectId"]) or one["dataObjectId"] in new:
                raise Refusal("INVALID_ARGUMENT", f"no id, or given twice: {one['dataObjectId']}")
            new[one["dataObjectId"]] = check_object(one["dataObject"], found)
        there = next((one for one in new if one in found.truth), None)
        if there is not None:
            raise Refusal("ALREADY_EXISTS", f"{sent['parent']}/dataObjects/{there} already exists")
        self._put(found, new)
        return {"dataObjects": [{"name": f"{sent['parent']}/dataObjects/{one}", "dataObjectId": one} for one in new]}

    def _BatchUpdateDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found, changed = self._batch(sent), Rows()
        for one in sent["requests"]:
            if one.get("updateMask") != "data,vectors":
                raise Refusal("INVALID_ARGUMENT", "this stand-in only changes objects whole")
            changed[self._object(one["dataObject"], sent, found)] = check_object(one["dataObject"], found)
        self._put(found, changed)
        return {}

    def _BatchDeleteDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self._batch(sent)
        gone = [self._object(one, sent, found) for one in sent["requests"]]
        taken = gone[: self.torn[0]] if self.torn else gone

        def remove(rows: Rows) -> None:
            for one in taken:
                rows.pop(one, None)

        found.change(remove, self.lag, self.index_lag)
        self._tear()
        return {}

    def _batch(self, sent: dict[str, Any]) -> Collection:
        if len(sent["requests"]) > 1_000:
            raise Refusal("INVALID_ARGUMENT", "a batch has at most 1000 data objects")
        return self._collection(sent["parent"])

    def _object(self, one: dict[str, Any], sent: dict[str, Any], found: Collection) -> str:
        parent, _, name = one["name"].rpartition("/dataObjects/")
        if parent != sent["parent"]:
            raise Refusal("INVALID_ARGUMENT", "the parents differ")
        if name not in found.truth:
            raise Refusal("NOT_FOUND", f"{one['name']} was not found")
        return str(name)

    def _put(self, found: Collection, rows: Rows) -> None:
        taken = dict(list(rows.items())[: self.torn[0]]) if self.torn else rows
        found.change(lambda held: held.update(taken), self.lag, self.index_lag)
        self._tear()

    def _tear(self) -> None:
        if self.torn:
            self.torn.pop(0)
            raise Refusal("UNAVAILABLE", "the service is currently unavailable")

    # -- data objects: reads ------------------------------------------------------------------------------------------
    def _SearchDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found, asked = self._collection(sent["parent"]), sent["vectorSearch"]
        compared = "knnHint" in asked.get("searchHint", {}) or found.indexed is None
        if compared and len(found.truth) > self.knn_rows:
            raise Refusal("INVALID_ARGUMENT", f"KNN queries take collections of at most {self.knn_rows} data objects")
        if asked["searchField"] != "vector" or len(asked["vector"]["values"]) != found.dimension:
            raise Refusal("INVALID_ARGUMENT", "no such vector field, or of another dimension")
        if asked.get("distanceMetric", "DOT_PRODUCT") != "DOT_PRODUCT" or not 1 <= asked.get("topK", 10) <= 1_000:
            raise Refusal("INVALID_ARGUMENT", "the metric, or top_k")
        view = found.stored if compared or found.indexed is None else found.indexed
        rows = passing(view.read(), asked.get("filter"), found, lists=compared)
        held = np.array([rows[one]["values"] for one in rows], np.float64).reshape(-1, found.dimension)
        scores = held @ np.array(asked["vector"]["values"], np.float64)
        order = np.argsort(-scores, kind="stable")[: asked.get("topK", 10)]
        sign = -1 if self.upside_down else 1
        results = [
            {
                "dataObject": told_of(one, rows[one], sent["parent"], asked.get("outputFields", {}), found),
                "distance": float(np.float32(scores[place])) * sign,
            }
            for place, one in ((place, list(rows)[place]) for place in order.tolist())
        ]
        if not compared and sent.get("pageToken"):
            raise Refusal("INVALID_ARGUMENT", "pages are for searches that compare every object")
        page, after = paged(results, sent.get("pageToken", ""), self.page if compared else 1_000)
        return {"results": page} | after

    def _QueryDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self._collection(sent["parent"])
        rows = passing(found.stored.read(), sent.get("filter"), found, lists=True)
        fields = sent.get("outputFields", {})
        told = [told_of(one, rows[one], sent["parent"], fields, found) for one in sorted(rows)]
        page, after = paged(told, sent.get("pageToken", ""), min(sent.get("pageSize", 100), 1_000))
        return {"dataObjects": page} | after

    def _AggregateDataObjects(self, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self._collection(sent["parent"])
        if sent["aggregate"] != "COUNT":
            raise Refusal("INVALID_ARGUMENT", "no such aggregation")
        rows = passing(found.stored.read(), sent.get("filter"), found, lists=True)
        return {"aggregateResults": [{"count": len(rows)}]}


def check_object(told: dict[str, Any], found: Collection) -> dict[str, Any]:
    """An object as it is kept. Refuses what does not follow its collection's schemas."""
    data, vectors = told.get("data", {}), told.get("vectors", {})
    wrong = next(iter(jsonschema_rs.Draft7Validator(found.told["dataSchema"]).iter_errors(data)), None)
    if wrong is not None:
        raise Refusal("INVALID_ARGUMENT", f"failed schema validation: {wrong.message[:200]}")
    if set(data) != set(found.columns):
        raise Refusal("INVALID_ARGUMENT", f"fields missing, or not declared: {set(data) ^ set(found.columns)}")
    if set(vectors) != {"vector"}:
        raise Refusal("INVALID_ARGUMENT", f"fields not in the vector schema: {set(vectors)}")
    values = np.array(vectors["vector"]["dense"]["values"], np.float32)
    if len(values) != found.dimension or not np.isfinite(values).all():
        raise Refusal(
            "INVALID_ARGUMENT", f"expected dense embedding dimension {found.dimension}, but got {len(values)}"
        )
    return {"data": as_kept(data), "values": values}


def as_kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data as a google.protobuf.Struct keeps them: every number a double."""
    return {name: float(value) if isinstance(value, int) else value for name, value in data.items()}


def told_of(one: str, row: dict[str, Any], parent: str, fields: dict[str, Any], found: Collection) -> dict[str, Any]:
    """What an answer tells of an object."""
    told: dict[str, Any] = {"name": f"{parent}/dataObjects/{one}"}
    unknown = set(fields.get("dataFields", ())) - {*found.columns, "*"}
    if unknown:
        raise Refusal("INVALID_ARGUMENT", f"no data fields {unknown}")
    if fields.get("dataFields"):
        told["data"] = {name: row["data"][name] for name in fields["dataFields"]}
    if "vector" in fields.get("vectorFields", ()):
        told["vectors"] = {"vector": {"dense": {"values": row["values"].tolist()}}}
    return told


def paged(items: list[Any], token: str, size: int) -> tuple[list[Any], dict[str, Any]]:
    start = int(token or 0)
    return items[start : start + size], {"nextPageToken": str(start + size)} if start + size < len(items) else {}


def passing(rows: Rows, where: dict[str, Any] | None, found: Collection, *, lists: bool) -> Rows:
    if where is None:
        return dict(rows)
    check_filter(where, found.columns, lists=lists)
    return {one: row for one, row in rows.items() if passes(where, row["data"])}


def passes(where: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Whether an object's data pass a filter that `check_filter` let through."""
    ((key, asked),) = where.items()
    if key in ("$and", "$or"):
        return (all if key == "$and" else any)(passes(part, data) for part in asked)
    ((operator, value),) = asked.items()
    have = data[key]
    match operator:
        case "$eq" | "$ne":
            return (have == value) is (operator == "$eq")
        case "$in" | "$nin":
            return (have in value) is (operator == "$in")
        case "$all":
            return set(value) <= set(have)
    value = float(value)
    return bool({"$lt": have < value, "$lte": have <= value, "$gt": have > value, "$gte": have >= value}[operator])


def check_filter(where: Any, columns: Mapping[str, Any], *, lists: bool = True, levels: int = 2) -> None:
    """Refuse what the documentation's table of operators does not hold. levels: how deep it may be nested yet."""
    if not isinstance(where, dict) or len(where) != 1:
        raise Refusal("INVALID_ARGUMENT", f"a filter is an object of one key: {str(where)[:80]}")
    ((key, asked),) = where.items()
    if key in ("$and", "$or"):
        if not isinstance(asked, list) or not asked:
            raise Refusal("INVALID_ARGUMENT", f"{key} takes a list of filters")
        if levels == 0:
            raise Refusal("INVALID_ARGUMENT", "filter expressions cannot be nested deeper than two levels")
        for part in asked:
            check_filter(part, columns, lists=lists, levels=levels - 1)
        return
    if key not in columns or not isinstance(asked, dict) or len(asked) != 1:
        raise Refusal("INVALID_ARGUMENT", f"no field {key}, or not one operator")
    ((operator, value),) = asked.items()
    kind = columns[key]["type"]
    if kind == "array" and not lists:
        raise Refusal("INVALID_ARGUMENT", f"{key} is not in the index")
    if not _takes(operator, value, kind):
        raise Refusal("INVALID_ARGUMENT", f"{operator} of a {kind} does not take {str(value)[:80]}")


def _takes(operator: str, value: Any, kind: str) -> bool:
    """Whether an operator takes a value, with a field of some type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match operator:
        case "$eq" | "$ne":
            return number if kind == "number" else isinstance(value, str) and kind == "string"
        case "$lt" | "$lte" | "$gt" | "$gte":
            return number and kind == "number"
        case "$in" | "$nin" | "$all":
            texts = isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
            return texts and kind == ("array" if operator == "$all" else "string")
    return False
