"""Orders asked for in words: `newest first`, `cheapest`, `highest rated`, `sort by price descending`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.schema import FieldType
from nearfield.domain.understood import PartKind
from nearfield.search.understand.scan import Reading

if TYPE_CHECKING:
    from nearfield.search.understand.fields import Field
    from nearfield.search.understand.scan import Scan

_PHRASES: Final[dict[str, str]] = {
    phrase: order
    for order, phrases in (
        ("-date", "newest|newest first|newest to oldest|most recent|most recent first|latest first|recent first"),
        ("-date", "newest at the top|new to old|most recently added|latest to oldest"),
        ("date", "oldest first|oldest to newest|earliest first|old to new"),
        ("price", "cheapest|cheapest first|lowest price|lowest price first|price low to high|price ascending"),
        ("price", "low to high|price lowest first|from cheap to expensive|lowest cost"),
        ("-price", "most expensive|most expensive first|priciest|priciest first|highest price|highest price first"),
        ("-price", "price high to low|price descending|high to low|dearest first"),
        ("-rating", "highest rated|highest rated first|best rated|best rated first|top rated|top rated first"),
        ("-rating", "highest rating|highest rating first|best reviewed|best rating|by rating|best rating first"),
        ("rating", "lowest rated|lowest rated first|worst rated|worst rated first"),
        ("-popularity", "most popular|most popular first|popular first|best selling|bestselling|bestsellers first"),
        ("-popularity", "by popularity|best sellers first|best selling first"),
        ("-views", "most viewed|most viewed first"),
        ("-votes", "most reviewed|most reviewed first|most voted|most commented|most votes first"),
        ("-duration", "longest first"),
        ("duration", "shortest first"),
        ("-mass", "heaviest first"),
        ("mass", "lightest first"),
        ("-length", "biggest first|largest first"),
        ("length", "smallest first"),
    )
    for phrase in phrases.split("|")
}
_BY: Final = dict.fromkeys(
    "sort by|sorted by|order by|ordered by|sort on|sorted on|ranked by|ordered on|arranged by|in order of|"
    "sort it by|sort them by".split("|"),
    True,
)
_DIRECTIONS: Final[dict[str, str]] = {
    phrase: sign
    for sign, phrases in (
        ("", "asc|ascending|low to high|lowest first|lowest|oldest first|a to z|increasing|cheapest first"),
        ("-", "desc|descending|high to low|highest first|highest|newest first|z to a|decreasing|newest"),
    )
    for phrase in phrases.split("|")
}
_MOST: Final = {"most": "-", "highest": "-", "fewest": "", "least": "", "lowest": "", "biggest": "-", "longest": "-"}
_GREATEST_FIRST: Final = frozenset({"rating", "votes", "popularity"})
"""Roles whose order nobody asks for from the bottom."""
_BEST: Final = frozenset({"best", "top"})


def read_sort(scan: Scan, at: int) -> Reading | None:
    """An order at a word."""
    found = scan.phrase(at, _PHRASES)
    if found:
        end, order = found
        field = _of(scan, order.lstrip("-"))
        return None if field is None else _reading(field, "-" if order.startswith("-") else "", end)
    by = scan.phrase(at, _BY)
    if by:
        return _by(scan, by[0])
    sign = _MOST.get(scan.plain(at))
    if sign is None:
        return _named_direction(scan, at)
    named = scan.name(at + 1)
    if named is None or scan.plain(named[0]) != "first":
        return None
    field = next((one for one in named[1] if one.is_number), None)
    return None if field is None else _reading(field, sign, named[0] + 1)


def _by(scan: Scan, at: int) -> Reading | None:
    """`sort by price`, `sorted by newest first`, `order by rating descending`."""
    direct = scan.phrase(at, _PHRASES)
    if direct:
        field = _of(scan, direct[1].lstrip("-"))
        return None if field is None else _reading(field, "-" if direct[1].startswith("-") else "", direct[0])
    sign, begin = "", at
    if scan.plain(at) in _MOST:
        sign, begin = _MOST[scan.plain(at)], at + 1
    named = scan.name(begin)
    field = None
    if named:
        field = next((one for one in named[1] if one.type.is_ordered), None)
    elif scan.plain(begin) in ("date", "newest", "time", "recency", "latest"):
        named, field = (begin + 1, ()), _of(scan, "date")
        sign = "-"
    elif scan.plain(begin) == "popularity":
        named, field = (begin + 1, ()), _of(scan, "popularity")
    if named is None or field is None:
        return None
    if begin == at and field.role in _GREATEST_FIRST:
        sign = "-"
    direction = scan.phrase(named[0], _DIRECTIONS)
    if direction:
        return _reading(field, direction[1], direction[0])
    return _reading(field, sign, named[0])


def _named_direction(scan: Scan, at: int) -> Reading | None:
    """`year descending`, `mileage low to high`."""
    named = scan.name(at)
    if named is None:
        return None
    direction = scan.phrase(named[0], _DIRECTIONS)
    if direction is None or scan.plain(named[0]) in ("highest", "lowest", "newest"):
        return None
    field = next((one for one in named[1] if one.type.is_ordered), None)
    return None if field is None else _reading(field, direction[1], direction[0])


def _of(scan: Scan, what: str) -> Field | None:
    """The field an order is about, or None where the collection has none."""
    if what == "date":
        dates = scan.fields.dates()
        return next((one for one in dates if one.type is FieldType.DATETIME), dates[0] if dates else None)
    if what in ("duration", "mass", "length"):
        found = [one for one in scan.fields.all if one.is_number and one.unit and one.unit.dimension == what]
        return found[0] if len(found) == 1 else None
    if what == "views":
        return next((one for one in scan.fields.all if one.is_number and "view" in one.words), None)
    roles = ("popularity", "votes") if what == "popularity" else (what,)
    return next((one for one in scan.fields.role(*roles) if one.is_number), None)


def _reading(field: Field, sign: str, end: int) -> Reading | None:
    return Reading(PartKind.SORT, field.name, end, sort=f"{sign}{field.name}") if field.type.is_ordered else None
