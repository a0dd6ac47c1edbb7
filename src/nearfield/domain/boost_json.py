"""The JSON spelling of boosts: `[{"recency": "added", "half_life": "30d"}, {"where": "price < 50", "factor": 2}]`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from nearfield.domain.boost_expression import parse_expression
from nearfield.domain.boosts import Boost, FilterBoost, Formula, Popularity, Recency, check_boosts
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.filter_json import parse_json
from nearfield.domain.filter_text import parse_text
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import Misfit, describe, read_float, read_instant

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(m|h|d|w)\Z")
_SECONDS: Final = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "recency": ("half_life", "weight", "origin"),
    "popularity": ("half", "full", "weight"),
    "expression": (),
    "where": ("factor",),
}


def parse_boosts(given: object) -> tuple[Boost, ...]:
    """Read a list of boosts. Raises InvalidRequest or InvalidFilter, naming the place: `boosts[1].half_life`."""
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise InvalidRequest(f"expected boosts as a list of objects, got {describe(given)}", field="boosts")
    boosts = tuple(_boost(one, f"boosts[{at}]") for at, one in enumerate(given))
    check_boosts(boosts)
    return boosts


def _boost(given: object, at: str) -> Boost:
    if not isinstance(given, Mapping):
        raise InvalidRequest(f'expected an object such as {{"recency": "added"}}, got {describe(given)}', field=at)
    kinds = [kind for kind in _KEYS if kind in given]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "none of them"
        raise InvalidRequest(f"expected one of {', '.join(_KEYS)} in a boost, got {said}", field=at)
    (kind,) = kinds
    for key in given:
        if key != kind and key not in _KEYS[kind]:
            raise InvalidRequest(unknown_name(f"part of a {kind} boost", str(key), (kind, *_KEYS[kind])), field=at)
    match kind:
        case "recency":
            return _recency(given, at)
        case "popularity":
            return _popularity(given, at)
        case "expression":
            text = _text(given["expression"], f"{at}.expression")
            return Formula(parse_expression(text, at=f"{at}.expression"), text)
    where = given["where"]
    if "factor" not in given:
        raise InvalidRequest('factor is missing, such as {"where": "in_stock = true", "factor": 2}', field=at)
    return FilterBoost(
        parse_text(where) if isinstance(where, str) else parse_json(where), _number(given["factor"], f"{at}.factor")
    )


def _recency(given: Mapping[str, Any], at: str) -> Recency:
    if "half_life" not in given:
        raise InvalidRequest('half_life is missing, such as "30d": the age at which half is left', field=at)
    written = _text(given["half_life"], f"{at}.half_life")
    length = _DURATION.match(written)
    if length is None:
        raise InvalidRequest(
            f'half_life {written[:40]!r}: expected minutes, hours, days or weeks such as "90m", "12h", "30d", "2w"',
            field=f"{at}.half_life",
        )
    return Recency(
        _text(given["recency"], f"{at}.recency"),
        float(length.group(1)) * _SECONDS[length.group(2)],
        _number(given.get("weight", 1.0), f"{at}.weight"),
        None if given.get("origin") is None else _instant(given["origin"], f"{at}.origin"),
    )


def _popularity(given: Mapping[str, Any], at: str) -> Popularity:
    if ("half" in given) == ("full" in given):
        raise InvalidRequest(
            "give either half (the number that counts one half) or full (the number that counts in full, on a "
            "logarithmic scale), one of them",
            field=at,
        )
    key = "half" if "half" in given else "full"
    return Popularity(
        _text(given["popularity"], f"{at}.popularity"),
        _number(given[key], f"{at}.{key}"),
        "saturation" if key == "half" else "log",
        _number(given.get("weight", 1.0), f"{at}.weight"),
    )


def _text(given: object, at: str) -> str:
    if not isinstance(given, str):
        raise InvalidRequest(f"expected a string, got {describe(given)}", field=at)
    return given


def _number(given: object, at: str) -> float:
    try:
        return read_float(given)
    except Misfit as exc:
        raise InvalidRequest(str(exc), field=at) from exc


def _instant(given: object, at: str) -> int:
    try:
        return read_instant(cast("Any", given))
    except Misfit as exc:
        raise InvalidRequest(str(exc), field=at) from exc
