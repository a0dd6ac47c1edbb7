"""What a query says in words beside what it looks for: constraints and an order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.filter_text import to_text
from nearfield.domain.spelling import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.filters import Filter


class PartKind(StrEnum):
    """What a part of a query constrains; each kind can be switched off by its name.

    price: money. rating: stars and scores. number: any other number of a field (votes, bedrooms). quantity: a number
    with a unit. date: a year or a time. brand: who made it. category: a category or genre. value: another keyword
    field's known value. flag: a bool field. sort: an order.
    """

    PRICE = "price"
    RATING = "rating"
    NUMBER = "number"
    QUANTITY = "quantity"
    DATE = "date"
    BRAND = "brand"
    CATEGORY = "category"
    VALUE = "value"
    FLAG = "flag"
    SORT = "sort"


ALL_KINDS = frozenset(PartKind)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing read from a query.

    words: as they stand in the query, from `start` to `end` (characters, the end excluded).
    where: an unbound filter on `field`, or None for an order. sort: `field`, or `-field` for the greatest first.
    """

    kind: PartKind
    words: str
    start: int
    end: int
    field: str
    where: Filter | None = None
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """A query, read.

    query: what is left to look for, never blank. Where nothing is left: the words of the brands, categories and other
    values that were read, and where there are none of those the query as it was written.
    where: all filters of the parts, joined by and; None when there are none. sort: the orders, first one first.
    parts: in the order of the query. note: what was not done, and why, in plain words; blank when there is nothing.
    applied: False where nothing was found that way, and the search was made with the query as it was written.
    """

    query: str
    where: Filter | None = None
    sort: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    note: str = ""
    applied: bool = True


def kinds_to_read(given: bool | Mapping[str, bool] | None) -> frozenset[PartKind] | None:
    """The kinds of a request: all for True, none for False, all but those that are false for a mapping, None for None.

    Raises InvalidRequest naming a kind that is none.
    """
    if given is None:
        return None
    if isinstance(given, bool):
        return ALL_KINDS if given else frozenset()
    for name in given:
        if name not in ALL_KINDS:
            raise InvalidRequest(unknown_name("part kind", name, sorted(ALL_KINDS)), field="understand")
    for name, value in given.items():
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} is {value!r}; expected true or false", field="understand")
    return frozenset(kind for kind in ALL_KINDS if given.get(kind, True))


def understood_to_json(found: Understood) -> dict[str, Any]:
    """What was read, as the answers of the service and of the command line tell it; filters as text."""
    return {
        "query": found.query,
        "filter": None if found.where is None else to_text(found.where),
        "sort": list(found.sort),
        "parts": [
            {"kind": part.kind, "words": part.words, "start": part.start, "end": part.end, "field": part.field}
            | ({"sort": part.sort} if part.where is None else {"filter": to_text(part.where)})
            for part in found.parts
        ],
        "applied": found.applied,
    }
