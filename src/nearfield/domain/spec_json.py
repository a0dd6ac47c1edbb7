"""A collection's settings as JSON: `{"embed": "{name}: {text}", "fields": {"price": "float"}, "index": {"m": 16}}`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.fusion_json import fusion_from_json, fusion_to_json
from nearfield.domain.languages import ENGLISH
from nearfield.domain.schema import (
    CHANGEABLE,
    MOVABLE,
    CollectionSpec,
    Degraded,
    FieldType,
    IndexKind,
    IndexSettings,
    Metric,
    Quantization,
    SearchSettings,
)
from nearfield.domain.spelling import nearest_name, shorten, unknown_name
from nearfield.domain.templates import Template
from nearfield.domain.values import describe

_KEYS: Final = ("embed", "fields", "embedder", "engine", "index", "fusion", "search", "events", "degraded")
_INDEX_KEYS: Final = tuple(one.name for one in dataclasses.fields(IndexSettings))
_SEARCH_KEYS: Final = ("weights", "language")
_PYTHON_TYPES: Final[Mapping[type, FieldType]] = {
    str: FieldType.KEYWORD,
    int: FieldType.INT,
    float: FieldType.FLOAT,
    bool: FieldType.BOOL,
    datetime: FieldType.DATETIME,
    date: FieldType.DATETIME,
}
_OTHER_NAMES: Final = {
    "str": FieldType.KEYWORD,
    "string": FieldType.KEYWORD,
    "integer": FieldType.INT,
    "long": FieldType.INT,
    "number": FieldType.FLOAT,
    "double": FieldType.FLOAT,
    "boolean": FieldType.BOOL,
    "date": FieldType.DATETIME,
    "timestamp": FieldType.DATETIME,
    "list": FieldType.KEYWORDS,
    "array": FieldType.KEYWORDS,
    "geo_point": FieldType.GEO,
}
_Choice = TypeVar("_Choice", bound=StrEnum)


def spec_from_json(name: str, obj: object) -> CollectionSpec:
    """Read a collection's settings. `embed` is required; another key left out, or null, takes its default.

    name: the collection's, which is not part of the body. The types in `fields` may be whatever `field_type` takes.
    Raises InvalidSchema: an unknown key (the nearest known one is named), a wrong type, a value out of range.
    """
    given = _object(obj, _KEYS, "")
    if given.get("embed") is None:
        raise InvalidSchema(
            'embed is missing: the text that is embedded, as a template such as "{title}: {text}"', field="embed"
        )
    settings: dict[str, Any] = {key: _string(given[key], key) for key in ("embedder", "engine") if key in given}
    if "fields" in given:
        fields = _object(given["fields"], None, "fields")
        settings["fields"] = {key: _declared(key, declared) for key, declared in fields.items()}
    if "index" in given:
        settings["index"] = _index(given["index"])
    if "fusion" in given:
        settings["fusion"] = fusion_from_json(given["fusion"], InvalidSchema)
    if "search" in given:
        settings["search"] = _search(given["search"])
    if "events" in given:
        settings["events"] = _bool(given["events"], "events")
    if "degraded" in given:
        settings["degraded"] = _choice(given["degraded"], Degraded, "degraded")
    return CollectionSpec(name, Template(_string(given["embed"], "embed")), **settings)


def spec_to_json(spec: CollectionSpec) -> dict[str, Any]:
    """Write every setting out, defaults too, as plain JSON values; `spec_from_json` gives the same spec back."""
    index = spec.index
    return {
        "embed": spec.embed.source,
        "fields": {name: kind.value for name, kind in spec.fields.items()},
        "embedder": spec.embedder,
        "engine": spec.engine,
        "index": {key: getattr(index, key) for key in _INDEX_KEYS}
        | {"kind": index.kind.value, "metric": index.metric.value, "quantization": index.quantization.value},
        "fusion": fusion_to_json(spec.fusion),
        "search": {"weights": dict(spec.search.weights), "language": spec.search.language},
        "events": spec.events,
        "degraded": None if spec.degraded is None else spec.degraded.value,
    }


def changed_spec(spec: CollectionSpec, obj: object) -> CollectionSpec:
    """A spec with some of its changeable parts replaced, `{"fusion": {"method": "rrf"}}`; null puts a default back.

    Raises InvalidSchema: what makes the index what it is cannot be changed, another key is unknown.
    """
    fixed = [key for key in _KEYS if key not in CHANGEABLE]
    if isinstance(obj, Mapping):
        for key in obj:
            if key in fixed:
                raise InvalidSchema(
                    f"{key} is fixed when a collection is made; what can be changed is {', '.join(CHANGEABLE)}",
                    field=key,
                )
    given = _object(obj, CHANGEABLE, "")
    return spec_from_json(spec.name, {key: one for key, one in spec_to_json(spec).items() if key not in obj} | given)  # type: ignore[operator]


def moved_spec(spec: CollectionSpec, obj: object) -> CollectionSpec:
    """A spec as it is after a move, `{"engine": "exact", "index": {"m": 32}}`; what is not given stays as it is.

    Raises InvalidSchema: what no move can change, another key is unknown.
    """
    given = _object(obj, MOVABLE, "")
    known = spec_to_json(spec)
    for part in ("index", "search"):
        if part in given:
            given[part] = known[part] | _object(given[part], None, part)
    return spec_from_json(spec.name, known | given)


def field_type(value: object) -> FieldType:
    """The field type meant by its name, or by a Python type.

    str is a keyword, datetime and date a datetime, list[str] (set, tuple[str, ...] are not taken) a keyword list.
    Raises InvalidSchema naming the known types.
    """
    if isinstance(value, str):
        if value in set(FieldType):
            return FieldType(value)
        raise InvalidSchema(_unknown_type(value), field="fields")
    if isinstance(value, type) and value in _PYTHON_TYPES:
        return _PYTHON_TYPES[value]
    if typing.get_origin(value) is list:
        (element,) = typing.get_args(value)
        if isinstance(element, type) and element in _PYTHON_TYPES:
            return FieldType(f"{_PYTHON_TYPES[element]}[]")
    shown = str(value) if isinstance(value, type | types.GenericAlias) else describe(value)
    raise InvalidSchema(
        f"expected a field type: one of {', '.join(FieldType)}, "
        f"or str, int, float, bool, datetime, list[str]; got {shown}",
        field="fields",
    )


def _unknown_type(given: str) -> str:
    element, brackets, _ = given.casefold().partition("[]")
    other = _OTHER_NAMES.get(element.strip())
    if other is None:
        return unknown_name("field type", given, FieldType)
    meant = other if other.is_list or not brackets else f"{other}[]"
    return f"unknown field type {shorten(given)!r}; did you mean {str(meant)!r}? known: {', '.join(FieldType)}"


def _declared(name: str, value: object) -> FieldType:
    try:
        return field_type(value)
    except InvalidSchema as exc:
        raise InvalidSchema(f"field {shorten(name)!r}: {exc}", field=f"fields.{name}") from exc


def _index(value: object) -> IndexSettings:
    settings: dict[str, Any] = dict(_object(value, _INDEX_KEYS, "index"))
    for key, choices in (("kind", IndexKind), ("metric", Metric), ("quantization", Quantization)):
        if key in settings:
            settings[key] = _choice(settings[key], choices, f"index.{key}")
    for key, number in settings.items():
        if not isinstance(number, StrEnum) and (isinstance(number, bool) or not isinstance(number, int)):
            raise InvalidSchema(f"index.{key}: expected a whole number, got {describe(number)}", field=f"index.{key}")
    return IndexSettings(**settings)


def _search(value: object) -> SearchSettings:
    settings = _object(value, _SEARCH_KEYS, "search")
    weights = _object(settings.get("weights", {}), None, "search.weights")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int):
            path = f"search.weights.{name}"
            raise InvalidSchema(f"{path}: expected a whole number, got {describe(weight)}", field=path)
    language = _string(settings.get("language", ENGLISH), "search.language")
    return SearchSettings(weights, language.casefold())


def _choice(value: object, choices: type[_Choice], path: str) -> _Choice:
    known = [choice.value for choice in choices]
    if isinstance(value, str) and value in known:
        return choices(value)
    nearest = nearest_name(value, known) if isinstance(value, str) else None
    meant = f"; did you mean {nearest!r}?" if nearest else ""
    raise InvalidSchema(f"{path}: expected one of {', '.join(known)}, got {describe(value)}{meant}", field=path)


def _object(value: object, keys: tuple[str, ...] | None, path: str) -> dict[str, Any]:
    """The object without its nulls; keys are checked where they are known."""
    where = f"{path}: " if path else ""
    if not isinstance(value, Mapping):
        raise InvalidSchema(f"{where}expected an object, got {describe(value)}", field=path or None)
    for key in value:
        if not isinstance(key, str):
            raise InvalidSchema(f"{where}expected strings as keys, got {describe(key)}", field=path or None)
        if keys is not None and key not in keys:
            raise InvalidSchema(f"{where}{unknown_name('key', key, keys)}", field=f"{path}.{key}" if path else key)
    return {key: one for key, one in value.items() if one is not None or keys is None}


def _bool(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidSchema(f"{path}: expected true or false, got {describe(value)}", field=path)
    return value


def _string(value: object, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidSchema(f"{path}: expected a string, got {describe(value)}", field=path)
    return value
