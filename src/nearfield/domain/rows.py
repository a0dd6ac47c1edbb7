"""Bodies as JSON values, and the filterable row of each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np
import orjson

from nearfield.domain.errors import InvalidDocument
from nearfield.domain.schema import FieldType
from nearfield.domain.values import INT64_MIN, READERS, Misfit, describe, has_surrogate, read_geo, read_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.domain.filters import FieldValue, Row

MAX_BODY_DEPTH: Final = 32
UINT64_MAX: Final = 2**64 - 1
INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}\Z")
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z")
_STRINGS: Final = (FieldType.TEXT, FieldType.KEYWORD)
_BOOLS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def row_of(body: Mapping[str, Any], fields: Mapping[str, FieldType]) -> Row:
    """The values of a body that filters can ask for, in the order of `fields`.

    Missing, null, an empty list and (outside text and keyword) a blank string are absent; other keys of the body are
    passed over. An int field takes 5.0, a float field takes 5; a datetime becomes microseconds since 1970 UTC; a list
    field takes a list only, whose nulls are passed over.
    Raises InvalidDocument, its `field` the name of the field at fault.
    """
    row: Row = {}
    for name, kind in fields.items():
        value = body.get(name)
        if value is None or (isinstance(value, str) and kind not in _STRINGS and not value.strip()):
            continue
        try:
            found = _field_value(value, kind)
        except Misfit as exc:
            raise InvalidDocument(f"field {name!r}: {exc}", field=name) from exc
        if found != ():
            row[name] = found
    return row


def _field_value(value: object, kind: FieldType) -> FieldValue:
    read = READERS[kind.element]
    if not kind.is_list:
        return read(value)
    if not isinstance(value, list | tuple):
        raise Misfit(f"expected a list of {kind.element}, got {describe(value)}")
    found = []
    for i, item in enumerate(value):
        try:
            if item is not None:
                found.append(read(item))
        except Misfit as exc:
            raise Misfit(f"[{i}]: {exc}") from exc
    return tuple(found)  # type: ignore[return-value]


def check_body(body: object) -> None:
    """Raise InvalidDocument unless a body is a JSON object the store can keep and give back unchanged.

    Keys are strings, numbers finite, integers -2**63 to 2**64 - 1, strings free of lone surrogates, nesting at most
    MAX_BODY_DEPTH (the object itself is 1). The error's `field` is the path of the value, `specs.sizes[3]`.
    """
    if not isinstance(body, Mapping):
        raise InvalidDocument(f"expected a document as a JSON object, got {describe(body)}")
    stack: list[tuple[object, str, int]] = [(body, "", 1)]
    while stack:
        value, path, depth = stack.pop()
        problem = _problem(value, depth)
        if problem:
            raise InvalidDocument(f"field {path!r}: {problem}" if path else problem, field=path or None)
        stack.extend((part, place, depth + 1) for part, place in _parts_of(value, path))


def _problem(value: object, depth: int) -> str | None:  # noqa: PLR0911 - one return per kind
    """What is wrong with one value, its parts left out."""
    match value:
        case None | bool():
            return None
        case str():
            return "a lone surrogate is not text that UTF-8 can hold" if has_surrogate(value) else None
        case int():
            return None if INT64_MIN <= value <= UINT64_MAX else f"expected int of 64 bits, got {describe(value)}"
        case float():
            return None if math.isfinite(value) else f"expected a finite number or null, got {describe(value)}"
        case Mapping() | list() | tuple():
            if depth > MAX_BODY_DEPTH:
                return f"nested more than {MAX_BODY_DEPTH} deep"
            if isinstance(value, Mapping):
                return next((p for p in map(_key_problem, value) if p), None)
            return None
    return f"expected a JSON value, got {describe(value)}"


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return f"expected strings as keys, got {describe(key)}"
    return "a key holds a lone surrogate, which UTF-8 cannot hold" if has_surrogate(key) else None


def _parts_of(value: object, path: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield part, f"{path}.{key}" if path else key
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield part, f"{path}[{i}]"


def json_ready(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body with the values Python callers hold turned into JSON's; the given one is left as it was.

    Dates and times become ISO 8601 strings, Decimal an int where whole and else a float, NumPy scalars and arrays
    plain numbers and lists, tuples lists, UUIDs strings, enums their value. NaN and anything else stays, for
    `check_body` to refuse. A value nested deeper than MAX_BODY_DEPTH stays as it is, likewise.
    """
    return {key: _ready(value, 2) for key, value in body.items()}


def _ready(value: object, depth: int) -> object:  # noqa: PLR0911 - one return per kind
    if isinstance(value, Enum):
        value = value.value
    if value is None or (isinstance(value, str | bool | int | float) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, np.datetime64):
        value = None if np.isnat(value) else value.astype("datetime64[us]").item()
    elif isinstance(value, np.ndarray) and value.dtype.kind == "M":
        value = list(value)  # tolist() would make plain integers of nanoseconds
    elif isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    match value:
        case date() | time() if value == value:  # noqa: PLR0124 - pandas' NaT is a datetime unequal to itself
            return value.isoformat()
        case Decimal() if value.is_finite():
            return int(value) if value == value.to_integral_value() else float(value)
        case UUID():
            return str(value)
        case Mapping() if depth <= MAX_BODY_DEPTH:
            return {key: _ready(part, depth + 1) for key, part in value.items()}
        case list() | tuple() if depth <= MAX_BODY_DEPTH:
            return [_ready(part, depth + 1) for part in value]
    return value


def read_textual(body: Mapping[str, Any], fields: Mapping[str, FieldType]) -> dict[str, Any]:
    """A row of a CSV file, whose values are all strings, as JSON values of the declared types.

    An empty string in a declared field is a missing value and left out; fields that are not declared stay strings, as
    does a text or keyword. Numbers are plain (`1234.50`, `1e3`), bools true/false, yes/no, 1/0 in any case, a datetime
    stays the ISO string, geo is `lat,lon` or a JSON value. A list is a JSON array, or values between `|`, or else `;`.
    Raises InvalidDocument, its `field` the name of the field at fault.
    """
    read: dict[str, Any] = {}
    for name, value in body.items():
        kind = fields.get(name)
        if kind is None or not isinstance(value, str):
            read[name] = value
        elif value.strip():
            try:
                read[name] = _typed(value, kind)
            except Misfit as exc:
                raise InvalidDocument(f"field {name!r}: {exc}", field=name) from exc
    return read


def _typed(text: str, kind: FieldType) -> Any:
    if not kind.is_list:
        return _typed_element(text, kind)
    stripped = text.strip()
    if stripped.startswith("["):
        items = _json(stripped)
        if not isinstance(items, list):
            raise Misfit(f'expected a list as ["a", "b"] or a|b, got {describe(text)}')
        return [_typed_element(item, kind.element) if isinstance(item, str) else item for item in items]
    separator = "|" if "|" in stripped else ";"
    return [_typed_element(part.strip(), kind.element) for part in stripped.split(separator) if part.strip()]


def _typed_element(text: str, kind: FieldType) -> Any:
    stripped = text.strip()
    match kind:
        case FieldType.INT | FieldType.FLOAT:
            return _typed_number(stripped, kind)
        case FieldType.BOOL:
            if stripped.casefold() not in _BOOLS:
                raise Misfit(f"expected bool as true, false, yes, no, 1 or 0, got {describe(text)}")
            return _BOOLS[stripped.casefold()]
        case FieldType.DATETIME:
            read_instant(stripped)
            return stripped
        case FieldType.GEO:
            lat, comma, lon = stripped.partition(",")
            numbers = NUMBER.match(lat.strip()) and NUMBER.match(lon.strip()) and comma
            point = read_geo([float(lat), float(lon)] if numbers else _json(stripped))
            return point._asdict()
    return text


def _typed_number(text: str, kind: FieldType) -> int | float:
    if INTEGER.match(text):
        return READERS[kind](int(text))  # type: ignore[return-value]
    if NUMBER.match(text):
        return READERS[kind](float(text))  # type: ignore[return-value]
    hint = " without thousands separators, signs of currency or units" if any(c.isdigit() for c in text) else ""
    example = "1234.50" if kind is FieldType.FLOAT else "1234"
    raise Misfit(f"expected {kind} as plain digits such as {example}{hint}, got {describe(text)}")


def _json(text: str) -> object:
    """The JSON value of a text, or the text itself when it is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
