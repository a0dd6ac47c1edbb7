"""What a query says in words beside what it looks for: constraints and an order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """

    query: str
    where: Filter | None = None
    sort: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    note: str = ""
