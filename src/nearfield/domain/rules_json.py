"""The JSON spelling of rules.

{"synonyms": [{"words": ["tv", "television"]}, {"from": ["sneaker"], "to": ["running shoe"]}],
 "pins": [{"query": "iphone", "when": "contains", "ids": ["a1", "a2"], "at": 1}], "hides": [{"ids": ["old"]}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.rules import Condition, Hide, Pin, Rules, Synonyms, When
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import describe

_KEYS: Final = ("synonyms", "pins", "hides")
_PIN_KEYS: Final = ("ids", "at", "query", "when")
_HIDE_KEYS: Final = ("ids", "query", "when")


def rules_from_json(given: object) -> Rules:
    """Read rules; a part left out has none. Raises InvalidRequest naming the place: `pins[0].at`."""
    body = _object(given, _KEYS, "")
    return Rules(
        tuple(_synonyms(one, f"synonyms[{at}]") for at, one in enumerate(_list(body.get("synonyms", []), "synonyms"))),
        tuple(_pin(one, f"pins[{at}]") for at, one in enumerate(_list(body.get("pins", []), "pins"))),
        tuple(_hide(one, f"hides[{at}]") for at, one in enumerate(_list(body.get("hides", []), "hides"))),
    )


def rules_to_json(rules: Rules) -> dict[str, Any]:
    """Plain JSON values; `rules_from_json` gives the same rules back."""
    return {
        "synonyms": [
            {"from": list(one.words), "to": list(one.one_way)} if one.one_way else {"words": list(one.words)}
            for one in rules.synonyms
        ],
        "pins": [{"ids": list(one.ids), "at": one.at, **_condition_json(one.condition)} for one in rules.pins],
        "hides": [{"ids": list(one.ids), **_condition_json(one.condition)} for one in rules.hides],
    }


def _condition_json(condition: Condition) -> dict[str, Any]:
    told = {} if condition.query is None else {"query": condition.query}
    return {**told, "when": condition.when.value}


def _synonyms(given: object, at: str) -> Synonyms:
    body = _object(given, ("words", "from", "to"), at)
    if set(body) == {"words"}:
        return Synonyms(_strings(body["words"], f"{at}.words"))
    if set(body) == {"from", "to"}:
        to = _strings(body["to"], f"{at}.to")
        if not to:
            raise InvalidRequest("expected at least one word or phrase", field=f"{at}.to")
        return Synonyms(_strings(body["from"], f"{at}.from"), to)
    raise InvalidRequest(
        'expected {"words": [..]} for words that mean the same, or {"from": [..], "to": [..]} for one way', field=at
    )


def _pin(given: object, at: str) -> Pin:
    body = _object(given, _PIN_KEYS, at)
    place = body.get("at", 1)
    if isinstance(place, bool) or not isinstance(place, int):
        raise InvalidRequest(f"expected a place, counted from 1, got {describe(place)}", field=f"{at}.at")
    return Pin(_ids(body, at), _condition(body, at), place)


def _hide(given: object, at: str) -> Hide:
    body = _object(given, _HIDE_KEYS, at)
    return Hide(_ids(body, at), _condition(body, at))


def _ids(body: Mapping[str, Any], at: str) -> tuple[str, ...]:
    if "ids" not in body:
        raise InvalidRequest("ids is missing: the documents the rule is about", field=f"{at}.ids")
    return _strings(body["ids"], f"{at}.ids")


def _condition(body: Mapping[str, Any], at: str) -> Condition:
    """A rule with a query is for that query (`is`) unless `when` says other; one without is for any search."""
    query, when = body.get("query"), body.get("when")
    if query is not None and not isinstance(query, str):
        raise InvalidRequest(f"expected a query as a string, got {describe(query)}", field=f"{at}.query")
    if when is None:
        return Condition(When.ALWAYS if query is None else When.IS, query)
    if when not in tuple(When):
        raise InvalidRequest(unknown_name("when", str(when), When), field=f"{at}.when")
    if query is None and when != When.ALWAYS:
        raise InvalidRequest(f"when {when!r} needs a query", field=f"{at}.query")
    return Condition(When(when), query)


def _object(given: object, keys: Sequence[str], at: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"expected an object, got {describe(given)}", field=at or None)
    for key in given:
        if key not in keys:
            raise InvalidRequest(unknown_name("part", str(key), keys), field=f"{at}.{key}" if at else str(key))
    return given


def _list(given: object, at: str) -> Sequence[object]:
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise InvalidRequest(f"expected a list, got {describe(given)}", field=at)
    return given


def _strings(given: object, at: str) -> tuple[str, ...]:
    values = _list(given, at)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise InvalidRequest(f"expected a string, got {describe(value)}", field=f"{at}[{place}]")
    return tuple(str(value) for value in values)
