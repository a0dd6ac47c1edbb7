"""The published interface of Vertex AI Vector Search, version 1, as the vendor's own package holds it: which request
goes where, what each message may hold, which of its fields are required and which are the server's alone.

    contract = Messages()
    method, message = contract.read(request)   # a message of the vendor's; raises Wrong
    contract.written(method, answer)           # JSON, through a message of the vendor's

What is required, and what is output only, its messages say in their documentation alone, at the field's first word.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of releases to come
    from google.cloud import vectorsearch_v1 as vendor
    from google.cloud.vectorsearch_v1.services.data_object_search_service.transports.rest_base import (
        _BaseDataObjectSearchServiceRestTransport as Searching,
    )
    from google.cloud.vectorsearch_v1.services.data_object_service.transports.rest_base import (
        _BaseDataObjectServiceRestTransport as Writing,
    )
    from google.cloud.vectorsearch_v1.services.vector_search_service.transports.rest_base import (
        _BaseVectorSearchServiceRestTransport as Making,
    )
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.vendors.schema import Answer, Request

VERSION: Final = version("google-cloud-vectorsearch")
STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""Of each refusal, the HTTP status."""

_OPERATION: Final = operations_pb2.Operation
_ANSWERS: Final[dict[str, Any]] = {
    "CreateCollection": _OPERATION,
    "GetCollection": vendor.Collection.pb(),
    "DeleteCollection": _OPERATION,
    "CreateIndex": _OPERATION,
    "GetIndex": vendor.Index.pb(),
    "GetOperation": _OPERATION,
    "BatchCreateDataObjects": vendor.BatchCreateDataObjectsResponse.pb(),
    "BatchUpdateDataObjects": vendor.BatchUpdateDataObjectsResponse.pb(),
    "BatchDeleteDataObjects": empty_pb2.Empty,
    "SearchDataObjects": vendor.SearchDataObjectsResponse.pb(),
    "QueryDataObjects": vendor.QueryDataObjectsResponse.pb(),
    "AggregateDataObjects": vendor.AggregateDataObjectsResponse.pb(),
}
_SAID: Final = re.compile(r"^ +(\w+) \([^\n]*(?:\n +[^\n]*)?\):\n +(Required|Output only)\.", re.MULTILINE)


class Wrong(Exception):
    """What the interface does not allow."""


@dataclass(frozen=True, slots=True)
class Method:
    """body: the request's field that the body is, "*" for all that the path does not say, "" for none."""

    name: str
    verb: str
    pattern: re.Pattern[str]
    fields: tuple[str, ...]
    body: str
    asked: Any

    def parts(self, path: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(path)
        return None if found is None else dict(zip(self.fields, found.groups(), strict=True))


class Messages:
    """Requests and answers, read and written by the vendor's messages. Unknown fields are wrong."""

    def __init__(self) -> None:
        self._methods = list(_methods())
        self._said = dict(_documented())
        self._parsed = lru_cache(maxsize=64)(self._parse)
        self._own: deque[bytes] = deque(maxlen=8)

    def read(self, request: Request) -> tuple[Method, dict[str, Any]]:
        """What is asked, and with which message, in JSON. Raises Wrong."""
        return self._parsed(request.method, request.path, request.query, request.body)

    def written(self, method: Method, answer: dict[str, Any]) -> bytes:
        """An answer as the vendor writes it. Raises Wrong."""
        try:
            message = json_format.ParseDict(answer, _ANSWERS[method.name]())
        except json_format.ParseError as exc:
            raise Wrong(f"the stand-in answers {method.name} wrongly: {exc}") from exc
        self._own.append(str(json_format.MessageToJson(message, indent=None)).encode())
        return self._own[-1]

    def wrong_request(self, request: Request) -> list[str]:
        """See `Contract`."""
        if not request.path.startswith("/v1/"):
            return []
        try:
            self.read(request)
        except Wrong as exc:
            return [f"{request.method} {request.path}: {exc}"]
        media = request.headers.get("content-type")
        return [] if media == "application/json" else [f"{request.method} {request.path}: content type {media}"]

    def wrong_answer(self, request: Request, answer: Answer) -> list[str]:
        """See `Contract`."""
        if not request.path.startswith("/v1/"):
            return []
        try:
            if answer.status == 200 and answer.body not in self._own:  # which were written by the messages
                json_format.Parse(answer.body, _ANSWERS[self.read(request)[0].name]())
            elif answer.status != 200:
                _check_refusal(answer)
        except (Wrong, ValueError, KeyError) as exc:
            return [f"{request.method} {request.path} -> {answer.status}: {exc}"]
        return []

    def _parse(self, verb: str, path: str, query: str, body: bytes) -> tuple[Method, dict[str, Any]]:
        for method in self._methods:
            given = method.parts(path) if method.verb == verb else None
            if given is not None:
                told = _told(method, given, dict(parse_qsl(query, keep_blank_values=True)), body)
                try:
                    self._check(json_format.ParseDict(_shortened(told), method.asked()))
                except json_format.ParseError as exc:
                    raise Wrong(str(exc)[:400]) from exc
                return method, told
        raise Wrong("no such method")

    def _check(self, message: Any) -> None:
        """Required fields hold something, and those that are the server's alone hold nothing."""
        name = message.DESCRIPTOR.full_name
        held = {field.name: value for field, value in message.ListFields()}
        for field, word in self._said.get(name, ()):
            if word == "Required" and field not in held:
                raise Wrong(f"{name} without its {field}")
            if word == "Output only" and field in held:
                raise Wrong(f"{name} with a {field}, which is the server's to say")
        for field, value in message.ListFields():
            if field.message_type is None or field.message_type.full_name.startswith("google.protobuf."):
                continue
            entries = field.message_type.GetOptions().map_entry
            several = value.values() if entries else value if hasattr(value, "append") else [value]
            for one in several:
                if hasattr(one, "ListFields"):
                    self._check(one)


def _methods() -> Iterator[Method]:
    for service in (Making, Writing, Searching):
        for called in dir(service):
            name = called.removeprefix("_Base")
            if not called.startswith("_Base") or name not in _ANSWERS:
                continue
            asked = operations_pb2.GetOperationRequest
            if name != "GetOperation":
                asked = getattr(vendor, f"{name}Request").pb()
            for option in getattr(service, called)._get_http_options():
                fields: list[str] = []

                def group(found: re.Match[str], fields: list[str] = fields) -> str:
                    fields.append(found[1])
                    return "(" + found[2].replace("*", "[^/:]+") + ")"

                pattern = re.sub(r"\{([\w.]+)=([^}]*)\}", group, option["uri"])
                yield Method(
                    name, option["method"].upper(), re.compile(pattern), tuple(fields), option.get("body", ""), asked
                )


def _documented() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Of each message, its fields that are required or output only."""

    def below(kind: type) -> Iterator[type]:
        yield kind
        for one in vars(kind).values():
            if isinstance(one, type) and hasattr(one, "pb"):
                yield from below(one)

    for called in vendor.__all__:
        kind = getattr(vendor, called)
        if isinstance(kind, type) and hasattr(kind, "pb"):
            for one in below(kind):
                yield one.pb().DESCRIPTOR.full_name, _SAID.findall(one.__doc__ or "")  # type: ignore[attr-defined]


def _told(method: Method, given: dict[str, str], query: dict[str, str], body: bytes) -> dict[str, Any]:
    """A request as one message, in JSON: what its path, its query and its body say."""
    known = {field.json_name: field for field in method.asked.DESCRIPTOR.fields}
    told: dict[str, Any] = {}
    try:
        sent = json.loads(body) if body else {}
    except ValueError as exc:
        raise Wrong(f"a body that is no JSON: {exc}") from exc
    if not method.body and body:
        raise Wrong("a body where none is known")
    if method.body == "*":
        told.update(sent)
    elif method.body:
        told[next(name for name, field in known.items() if field.name == method.body)] = sent
    for name, value in query.items():
        if name not in known:
            raise Wrong(f"no query parameter {name!r} is known")
        told[name] = value == "true" if known[name].type == known[name].TYPE_BOOL else value
    told |= given
    return told


def _shortened(told: Any) -> Any:
    """The same with the first number of each array of numbers, which takes a tenth of the time; the others are seen to
    be numbers here."""
    if isinstance(told, dict):
        return {name: _shortened(value) for name, value in told.items()}
    if not isinstance(told, list):
        return told
    if told and all(type(one) is float or type(one) is int for one in told):
        return told[:1]
    return [_shortened(one) for one in told]


def _check_refusal(answer: Answer) -> None:
    error = json.loads(answer.body)["error"]
    code, status = error.pop("code"), error.pop("status")
    if STATUS.get(status) != answer.status or code != answer.status or status not in dict(code_pb2.Code.items()):
        raise Wrong(f"a refusal of {code} {status}")
    json_format.ParseDict({"code": code_pb2.Code.Value(status), **error}, status_pb2.Status())


assert error_details_pb2.RetryInfo  # known by name once it is imported
