"""Holds an exchange with a vendor against the OpenAPI document that the vendor publishes.

    contract = Contract.load(shared_schemas / "opensearch.openapi.yaml")
    contract.wrong_request(request)            # what of a request the document does not allow, in words
    contract.wrong_answer(request, answer)

OpenAPI 3.0 and 3.1; in 3.0 `nullable` and boolean exclusive bounds are rewritten as JSON Schema says them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qsl, quote

import jsonschema_rs
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS: Final = ("get", "put", "post", "delete", "head", "patch", "options")
_DOCUMENT: Final = "urn:contract"
_TOLD: Final = 3  # violations named for one body; the rest follow from them more often than not
_NDJSON: Final = "application/x-ndjson"
_KEPT: Final = Path(__file__).parent.parent.parent / "build" / "vendors"


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent. path: without the query, percent-escapes undone. headers: by lower-case name."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Operation:
    """One path and method. pointer: where it stands in the document."""

    pointer: tuple[str, ...]
    spec: Mapping[str, Any]
    parameters: tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...]
    values: Mapping[str, str]


class Contract:
    """One OpenAPI document, its schemas compiled as they are first needed.

    every_status: whether an error whose status the document does not list for an operation breaks it. Vendors whose
    documents list successes only have it False. closed: whether a property of a request's body that the document does
    not name breaks it: a server passes over a misspelt one in silence.
    """

    def __init__(self, document: dict[str, Any], *, every_status: bool = False, closed: bool = False) -> None:
        if str(document["openapi"]).startswith("3.0"):
            document = _as_json_schema(document)
        self._document, self._every_status, self._closed = document, every_status, closed
        self._registry = jsonschema_rs.Registry([(_DOCUMENT, document)])
        self._validators: dict[str, Any] = {}
        self._paths = sorted(
            ((_pattern(path), path) for path in document["paths"]), key=lambda pair: (pair[1].count("{"), pair[1])
        )

    @classmethod
    def load(cls, path: Path, *, every_status: bool = False, closed: bool = False) -> Contract:
        """Read a document in JSON or YAML."""
        return cls(_read(path), every_status=every_status, closed=closed)

    @property
    def version(self) -> str:
        """Of the document, as it names itself."""
        return str(self._document["info"]["version"])

    def wrong_request(self, request: Request) -> list[str]:
        """What the document does not allow in a request, in words; empty where it is as it should be."""
        operation = self._operation(request)
        if operation is None:
            return [f"{request.method} {request.path}: no such operation"]
        return [f"{request.method} {request.path}: {wrong}" for wrong in self._wrong_request(operation, request)]

    def wrong_answer(self, request: Request, answer: Answer) -> list[str]:
        """What the document does not allow in an answer to a request."""
        operation = self._operation(request)
        if operation is None:
            return []
        said = f"{request.method} {request.path} -> {answer.status}"
        responses = operation.spec["responses"]
        status = next(
            (key for key in (str(answer.status), f"{answer.status // 100}XX", "default") if key in responses), ""
        )
        if not status:
            told = self._every_status or answer.status < 400
            return [f"{said}: no such answer; known are {', '.join(responses)}"] if told else []
        pointer, response = self._resolve((*operation.pointer, "responses", status))
        if request.method.lower() == "head" or not response.get("content"):
            return []
        return [f"{said}: {wrong}" for wrong in self._wrong_body(pointer, response, answer.headers, answer.body)]

    def _wrong_request(self, operation: _Operation, request: Request) -> Iterator[str]:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        given = {"query": query, "path": operation.values, "header": request.headers, "cookie": {}}
        known = set()
        for pointer, parameter in operation.parameters:
            name, place = parameter["name"], parameter["in"]
            known.add((place, name))
            value = given[place].get(name.lower() if place == "header" else name)
            if value is None:
                if parameter.get("required"):
                    yield f"the {place} parameter {name!r} is missing"
                continue
            readings = _readings(value)
            if not any(self._validator((*pointer, "schema")).is_valid(reading) for reading in readings):
                yield f"the {place} parameter {name} is {value!r}, which its schema does not allow"
        for name in query:
            if ("query", name) not in known:
                yield f"no query parameter {name!r} is known"
        if "requestBody" not in operation.spec:
            if request.body:
                yield "a body where none is known"
            return
        pointer, body = self._resolve((*operation.pointer, "requestBody"))
        if request.body:
            wrong = list(self._wrong_body(pointer, body, request.headers, request.body))
            yield from wrong
            if self._closed and not wrong:
                for spec in body["content"].values():
                    yield from self._unknown(spec.get("schema", {}), json.loads(request.body), "")
        elif body.get("required"):
            yield "the body is missing"

    def _wrong_body(
        self, pointer: tuple[str, ...], spec: Mapping[str, Any], headers: Mapping[str, str], body: bytes
    ) -> Iterator[str]:
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in spec["content"]:
            yield f"content type {media!r}; known are {', '.join(spec['content'])}"
            return
        try:
            value = [json.loads(line) for line in body.splitlines()] if media == _NDJSON else json.loads(body)
        except ValueError as exc:
            yield f"the body is no {media}: {exc}"
            return
        if "schema" in spec["content"][media]:
            errors = self._validator((*pointer, "content", media, "schema")).iter_errors(value)
            for _, error in zip(range(_TOLD), errors, strict=False):
                place = "/".join(str(step) for step in error.instance_path)
                yield f"body at {place or 'its root'}: {error.message[:400]}"

    def _unknown(self, schema: Mapping[str, Any], value: object, place: str) -> Iterator[str]:
        """Properties that no part of a schema names. An object whose schema names none may hold any."""
        parts = list(self._parts(schema))
        if isinstance(value, list):
            items = [part["items"] for part in parts if "items" in part]
            for item in value[:_TOLD] if items else ():
                yield from self._unknown(items[0], item, f"{place}/*")
        if not isinstance(value, dict):
            return
        known = {name: one for part in parts for name, one in part.get("properties", {}).items()}
        for name, held in value.items() if known else ():
            if name in known:
                yield from self._unknown(known[name], held, f"{place}/{name}")
            elif not any(part.get("additionalProperties") for part in parts):
                yield f"body at {place or 'its root'}: no property {name!r} is known"

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """A schema and all that it is put together of."""
        while "$ref" in schema:
            steps = schema["$ref"].removeprefix("#/").split("/")
            schema = _at(self._document, tuple(step.replace("~1", "/").replace("~0", "~") for step in steps))
        yield schema
        for word in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(word, ()):
                yield from self._parts(part)

    def _operation(self, request: Request) -> _Operation | None:
        """The operation of a request; of two paths that match, the one with fewer placeholders."""
        method = request.method.lower()
        for pattern, path in self._paths:
            found = pattern.fullmatch(request.path)
            if found and method in self._document["paths"][path]:
                item = self._document["paths"][path]
                places = [("paths", path, "parameters"), ("paths", path, method, "parameters")]
                listed = [
                    (place, number) for place in places for number in range(len(_at(self._document, place) or ()))
                ]
                parameters = tuple(self._resolve((*place, str(number))) for place, number in listed)
                return _Operation(("paths", path, method), item[method], parameters, _named(path, found))
        return None

    def _resolve(self, pointer: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        """Where a place of the document stands, references followed, and what is there."""
        found = _at(self._document, pointer)
        while "$ref" in found:
            steps = found["$ref"].removeprefix("#/").split("/")
            pointer = tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
            found = _at(self._document, pointer)
        return pointer, found

    def _validator(self, pointer: tuple[str, ...]) -> Any:
        steps = (quote(step.replace("~", "~0").replace("/", "~1"), safe="~") for step in pointer)
        place = f"{_DOCUMENT}#/{'/'.join(steps)}"
        if place not in self._validators:
            self._validators[place] = jsonschema_rs.Draft202012Validator({"$ref": place}, registry=self._registry)
        return self._validators[place]


class _JsonTypes(yaml.CSafeLoader):
    """YAML with JSON's types only: what looks like a date stays text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


@cache
def _read(path: Path) -> dict[str, Any]:
    """A document; one in YAML is kept as JSON too, which is read fifty times as fast."""
    text = path.read_bytes()
    if path.suffix == ".json":
        return dict(json.loads(text))
    kept = _KEPT / f"{hashlib.sha256(text).hexdigest()}.json"
    if not kept.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=_KEPT, delete=False) as half:
            json.dump(yaml.load(text, _JsonTypes), half)
        Path(half.name).replace(kept)  # whole at once: another process may be looking
    return dict(json.loads(kept.read_bytes()))


def _at(document: Any, pointer: tuple[str, ...]) -> Any:
    for step in pointer:
        if isinstance(document, list):
            document = document[int(step)]
        elif step in document:
            document = document[step]
        else:
            return None
    return document


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]*\\\}", "([^/]+)", re.escape(path)))


def _named(path: str, found: re.Match[str]) -> dict[str, str]:
    return dict(zip(re.findall(r"\{([^}]*)\}", path), found.groups(), strict=True))


def _readings(value: str) -> list[Any]:
    """What a parameter's text may stand for: itself, the number or truth value it spells, a list cut at commas."""
    readings: list[Any] = [value, value.split(",")]
    with suppress(ValueError):
        readings.append(json.loads(value))
    return readings


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's own words for what JSON Schema says otherwise, rewritten."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    said = {key: _as_json_schema(value) for key, value in node.items() if key != "example"}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if said.get(exclusive) is True:
            said[exclusive] = said.pop(bound)
        elif said.get(exclusive) is False:
            del said[exclusive]
    if said.get("nullable") is True:
        del said["nullable"]
        if not said.keys() - {"description", "default"}:  # null and nothing else, as one of several
            return {"type": "null"}
        return {"anyOf": [said, {"type": "null"}]}
    return said
