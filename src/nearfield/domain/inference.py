"""What the first rows say about a collection nobody has described: field types, and the text to embed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.rows import INTEGER, NUMBER, json_ready
from nearfield.domain.schema import MAX_FIELDS, FieldType
from nearfield.domain.values import INT64_MAX, INT64_MIN, Misfit, read_geo, read_instant

MAX_ROWS: Final = 1_000
_TEXT_LENGTH: Final = 128  # characters; one longer value makes a column text
_TEXT_MEAN_LENGTH: Final = 60  # characters; a longer mean does too
_VECTOR_LENGTH: Final = 32  # numbers; a longer list is a vector, not something to filter on
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")  # as CollectionSpec has it
_TITLES: Final = ("title", "name", "heading", "headline", "subject")
_BODIES: Final = (
    *("description", "text", "body", "content", "summary", "abstract", "overview"),
    *("details", "message", "review", "comment", "plot"),
)
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def infer_fields(
    bodies: Sequence[Mapping[str, Any]], textual: bool, *, id_field: str | None = "id"
) -> dict[str, FieldType]:
    """The filterable fields of the first MAX_ROWS bodies, in order of first appearance, at most MAX_FIELDS.

    textual: values are strings of a CSV file and are read as what all of a column's non-empty ones look like: int,
    float, bool (true/false), datetime (ISO 8601), JSON lists of those. Numbers with leading zeros or a plus stay
    keywords. Otherwise values are JSON: int mixed with float is float, objects with lat and lon are geo, ISO strings
    datetime.
    Strings are keywords, or text when one has over 128 characters or a line break, or their mean is over 60.
    Not a field: the id, names that cannot be declared, columns without a value, of mixed kinds, of other objects, of
    nested lists, of lists of more than 32 numbers (vectors). Python values count as `json_ready` makes them.
    """
    fields: dict[str, FieldType] = {}
    for name, values in _columns(bodies).items():
        if name == id_field or not _FIELD_NAME.match(name):
            continue
        kind = _textual_type(values) if textual else _json_type(values)
        if kind is not None:
            fields[name] = kind
        if len(fields) == MAX_FIELDS:
            break
    return fields


def infer_template(
    fields: Mapping[str, FieldType], bodies: Sequence[Mapping[str, Any]], *, id_field: str | None = "id"
) -> str:
    """A template for the text that is embedded, from the columns of strings: `"{title}: {text}"`.

    The first column called like a title (title, name, heading ..., or ending so: product_name), then all called like a
    body (description, text, content, summary ...), in order; without a body, the columns of text instead; without
    either, all columns of text, or else of keywords. Dates and numbers are never taken; `fields` says what a column is
    where it names it, else its values do.
    Raises InvalidSchema, naming --embed, when no column holds words.
    """
    kinds = {
        name: fields.get(name) or _textual_type(values)
        for name, values in _columns(bodies).items()
        if name != id_field and _FIELD_NAME.match(name) and all(isinstance(value, str) for value in values)
    }
    wordy = [name for name, kind in kinds.items() if kind in (FieldType.TEXT, FieldType.KEYWORD)]
    long = [name for name in wordy if kinds[name] is FieldType.TEXT]
    if not wordy:
        found = ", ".join(_columns(bodies)) or "none"
        raise InvalidSchema(
            f'no column holds text to embed (columns: {found}); say which with --embed "{{column}}"', field="embed"
        )
    title = _called(wordy, _TITLES)[:1]
    texts = _called([name for name in wordy if name not in title], _BODIES)
    texts = texts or [name for name in long if name not in title]
    if not title and not texts:
        texts = wordy
    return ": ".join(
        filter(None, ("".join(f"{{{name}}}" for name in title), " ".join(f"{{{name}}}" for name in texts)))
    )


def _columns(bodies: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of each key over the first MAX_ROWS bodies, without null and blank ones."""
    columns: dict[str, list[Any]] = {}
    for body in bodies[:MAX_ROWS]:
        for name, value in json_ready(body).items():
            column = columns.setdefault(name, [])
            if value is not None and not (isinstance(value, str) and not value.strip()):
                column.append(value)
    return columns


def _called(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names that are one of the known words; when there is none, those whose last word is."""
    exact = [name for name in names if name.casefold() in known]
    return exact or [name for name in names if (_WORDS.findall(name) or [""])[-1].casefold() in known]


def _json_type(values: Sequence[Any]) -> FieldType | None:
    if values and all(isinstance(value, list | tuple) for value in values):
        items = [item for value in values for item in value if item is not None]
        element = _json_element(items)
        numeric = element in (FieldType.INT, FieldType.FLOAT)
        if element is None or (numeric and max(map(len, values)) > _VECTOR_LENGTH):
            return None
        return FieldType(f"{element}[]")
    return _json_element(values)


def _json_element(values: Sequence[Any]) -> FieldType | None:
    """The type all of the values have; None for none, for a mixture and for objects that are no points."""
    kinds = {_kind(value) for value in values}
    if kinds == {int, float}:
        return FieldType.FLOAT
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind is str:
        return FieldType.DATETIME if _all(read_instant, values) else _string_type(values)
    if kind is int:
        # beyond 64 bits JSON readers give up or round, and so does a filter
        return FieldType.INT if all(INT64_MIN <= value <= INT64_MAX for value in values) else FieldType.FLOAT
    if kind is dict:
        return FieldType.GEO if _all(read_geo, values) else None
    return next((one for python, one in ((bool, FieldType.BOOL), (float, FieldType.FLOAT)) if kind is python), None)


def _kind(value: object) -> type:
    return next(
        (kind for kind in (bool, int, float, str) if isinstance(value, kind)),
        dict if isinstance(value, Mapping) else object,
    )


def _textual_type(values: Sequence[Any]) -> FieldType | None:  # noqa: PLR0911 - one return per type
    """The type of a CSV column; a column with a value that is no string is judged as JSON."""
    if not all(isinstance(value, str) for value in values):
        return _json_type(values)
    if not values:
        return None
    stripped = [value.strip() for value in values]
    if all(map(_plain_integer, stripped)):
        return FieldType.INT if all(INT64_MIN <= int(value) <= INT64_MAX for value in stripped) else FieldType.KEYWORD
    if all(map(_plain_number, stripped)):
        return FieldType.FLOAT
    if all(value.casefold() in ("true", "false") for value in stripped):
        return FieldType.BOOL
    if _all(read_instant, stripped):
        return FieldType.DATETIME
    if all(value[0] == "[" and value[-1] == "]" for value in stripped):
        lists = _json_lists(stripped)
        kind = _json_type(lists) if lists else None
        if kind is not None:
            return kind
    return _string_type(values)


def _plain_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return bool(INTEGER.match(text)) and text[0] != "+" and (digits == "0" or digits[0] != "0")


def _plain_number(text: str) -> bool:
    """A finite number, unless written like a code or a telephone number: 00123, +49."""
    if not NUMBER.match(text) or text[0] == "+" or not math.isfinite(float(text)):
        return False
    digits = text.removeprefix("-")
    return not (digits[0] == "0" and digits[1:2].isdigit())


def _json_lists(texts: Sequence[str]) -> list[Any]:
    try:
        return [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        return []


def _string_type(values: Sequence[str]) -> FieldType:
    lengths = [len(value) for value in values]
    long = max(lengths) > _TEXT_LENGTH or sum(lengths) > _TEXT_MEAN_LENGTH * len(lengths)
    return FieldType.TEXT if long or any("\n" in value for value in values) else FieldType.KEYWORD


def _all(read: Callable[[object], object], values: Sequence[Any]) -> bool:
    try:
        for value in values:
            read(value)
    except Misfit:
        return False
    return True
