"""Numbers compared: prices, ratings, counts, quantities with units."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nearfield.domain.filters import And, Eq, Filter, Gt, Gte, Lt, Lte
from nearfield.domain.schema import FieldType
from nearfield.domain.understood import PartKind
from nearfield.search.understand.amounts import SCALES, Amount, read_amount
from nearfield.search.understand.scan import FILLERS, Reading
from nearfield.search.understand.units import LETTERS, OWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearfield.search.understand.fields import Field
    from nearfield.search.understand.scan import Scan

ABOUT: Final = 0.15
"""`about 30` is 25.5 to 34.5."""
_LT, _LTE, _GT, _GTE, _ABOUT, _BETWEEN, _FROM = "<", "<=", ">", ">=", "about", "between", "from"
CUES: Final[dict[str, tuple[str, str]]] = {
    cue: (sign, hint)
    for sign, hint, cues in (
        (_LT, "", "<|under|below|less than|lower than|fewer than|smaller than|beneath"),
        (_LT, "price", "cheaper than"),
        (_LT, "mass", "lighter than"),
        (_LT, "duration", "shorter than"),
        (_LTE, "", "<=|up to|at most|max|maximum|maximum of|max of|no more than|not more than|not over|not above"),
        (_LTE, "", "no higher than|no bigger than|not bigger than|within|a maximum of|at the most"),
        (_LTE, "mass", "no heavier than|not heavier than"),
        (_LTE, "duration", "no longer than|not longer than"),
        (_GT, "", ">|over|above|more than|greater than|higher than|larger than|bigger than|exceeding|upwards of"),
        (_GT, "mass", "heavier than"),
        (_GT, "duration", "longer than"),
        (_GTE, "", ">=|at least|min|minimum|minimum of|min of|no less than|not less than|no fewer than|not under"),
        (_GTE, "", "not below|starting at|starting from|a minimum of"),
        (_ABOUT, "", "about|around|roughly|approximately|approx|circa|~"),
        (_BETWEEN, "", "between"),
        (_FROM, "", "from"),
    )
    for cue in cues.split("|")
}
TAILS: Final[dict[str, str]] = {
    tail: sign
    for sign, tails in (
        (_LTE, "or less|or under|or below|or cheaper|or lower|or fewer|or shorter|or lighter|or smaller|and under"),
        (_LTE, "and below|max|maximum|tops|at most|or lesser|and less|and down"),
        (_GTE, "+|or more|or higher|or above|or over|or better|or up|or greater|or bigger|or larger|or longer"),
        (_GTE, "and up|and above|and over|and higher|and more|& up|& above|or heavier|and better|minimum|min|plus"),
    )
    for tail in tails.split("|")
}
_DASHES: Final = frozenset({"-", "–", "—", "to"})
_STARTS: Final = frozenset(
    "from by in with without not no and or but for except excluding exclude sorted sort order ordered newest oldest "
    "cheapest highest lowest most rated rating released since before after under over above below between size color "
    "colour brand only please , ; . ) ! ?".split()
)
"""Words that may follow a bare price; any other is taken as what the number counts (`under 50 pieces`)."""
_AGED: Final = frozenset("kid child children boy girl toddler age aged people player baby adult year".split())
_SCREENS: Final = frozenset("tv tvs television screen display panel".split())
LARGEST_SCREEN: Final = 120  # inches: `tvs up to 27` is no price
_RIVALS: Final = frozenset("ram memory ssd cache vram".split())


@dataclass(frozen=True, slots=True)
class _Said:
    """A comparison in words: the bounds, the field's name and kind if told, and where it ends."""

    sign: str
    low: Amount
    high: Amount | None
    end: int
    hint: str = ""
    fields: tuple[Field, ...] = ()
    named: bool = False


def read_comparison(scan: Scan, at: int) -> Reading | None:
    """`under $50`, `rated above 4`, `4 stars and up`, `price 50-100`, `at least 2 kg`, `more than 500 reviews`."""
    start, named = at, scan.name(at)
    if named:
        start = scan.past(named[0], FILLERS)
    said = _said(scan, start, named[1] if named else ())
    if said is None and named:  # the name may be another's: `rating` of `seller rating`
        start, named = at, None
        said = _said(scan, at, ())
    if said is None:
        return None
    if said.low.scale:
        said = _rescaled(scan, said)
        if said is None:
            return None
    field, end = _field(scan, at, said)
    if field is None:
        return None
    return _reading(field, said, end)


def _rescaled(scan: Scan, said: _Said) -> _Said | None:
    """`at least 8/10` in the scale of the rating: 4 where ratings go to 5. None where that is not known."""
    field = next((one for one in scan.fields.role("rating") if one.is_number), None)
    most = None if field is None else _most(scan, field)
    scale = said.low.scale
    if field is None or most is None or scale is None or said.low.value > scale:
        return None
    value = _clean(said.low.value * most / scale)
    low = replace(said.low, value=value, scale=None, stars=True)
    return replace(said, low=low, fields=(field,), named=True)


def _most(scan: Scan, field: Field) -> float | None:
    """The top of a rating's scale, 5, 10 or 100, by the greatest value there is."""
    bounds = scan.known.bounds(field.name)
    if bounds is None or isinstance(bounds[1], str):
        return None
    greatest = bounds[1]
    return next((scale for scale in SCALES if greatest <= scale), None)


def _said(scan: Scan, at: int, fields: tuple[Field, ...]) -> _Said | None:
    cue = scan.phrase(at, CUES)
    named = bool(fields)
    if cue is None:
        amount = read_amount(scan, at)
        return None if amount is None else _uncued(scan, amount, fields)
    begin, (sign, hint) = cue
    low = read_amount(scan, scan.past(begin, frozenset({"a", "the", "of"})) if sign != _FROM else begin)
    if low is None:
        return None
    if sign in (_BETWEEN, _FROM):
        joiners = frozenset({"and", "-", "–", "to", "&"}) if sign == _BETWEEN else _DASHES
        high = read_amount(scan, low.end + 1) if scan.plain(low.end) in joiners else None
        if high is not None:
            return _Said(_BETWEEN, low, high, high.end, hint, fields, named)
        if sign == _BETWEEN or not low.currency:
            return None
        sign = _GTE
    return _Said(sign, low, None, low.end, hint, fields, named)


def _uncued(scan: Scan, low: Amount, fields: tuple[Field, ...]) -> _Said | None:
    """`50-100 euros`, `4 stars and up`, `3 bedrooms`, `128gb`."""
    named = bool(fields)
    if scan.plain(low.end) in _DASHES and not low.plus:
        high = read_amount(scan, low.end + 1)
        if high is not None:
            if named or not high.is_bare or not low.is_bare:
                return _Said(_BETWEEN, low, high, high.end, "", fields, named)
            return None
    end, tail = low.end, None
    found = scan.phrase(low.end, TAILS)
    if found is None and low.is_bare and (counted := scan.name(low.end)):
        found = scan.phrase(counted[0], TAILS)  # `500 reviews or more`
        if found:
            return _Said(found[1], low, None, found[0], "", counted[1], named=True)
    if found:
        end, tail = found
    elif low.plus:
        tail = _GTE
    return _Said(tail or "=", low, None, end, "", fields, named)


def _field(scan: Scan, at: int, said: _Said) -> tuple[Field | None, int]:
    """The field that is meant, and where the words for it end; None where that is a guess."""
    last = said.high or said.low
    end = said.end
    if said.named:
        return _fitting(said.fields, said), end
    counted = scan.name(end) if last.is_bare else None
    if counted and (field := _counted(counted[1], said)):
        found = scan.phrase(counted[0], TAILS) if said.sign == "=" else None
        return field, found[0] if found else counted[0]
    if last.stars:
        field = None if said.sign == "=" else _first(scan.fields.role("rating"), said)
        # stars are of five: on a scale of ten `4 stars` is 4 or 8, and nobody can tell
        return (None if field and (_most(scan, field) or 5.0) > 5.0 >= last.value else field), end
    if last.units and last.currency != "pound":
        return _of_unit(scan, at, said)
    if last.currency or said.low.currency:
        return _of_money(scan, said), end
    if said.hint == "price" or (said.sign != "=" and not said.hint and not last.spelled):
        return _bare_price(scan, at, said), end
    return None, end


def _fitting(fields: Iterable[Field], said: _Said) -> Field | None:
    """The first of the fields a name stands for that can hold the amount."""
    last = said.high or said.low
    for field in fields:
        if not field.is_number or (said.sign == "=" and field.type is not FieldType.INT):
            continue
        if field.role == "year" and not last.is_bare:
            continue
        if last.is_bare or _in_field(field, last) is not None:
            return field
    return None


def _first(fields: Iterable[Field], said: _Said) -> Field | None:
    last = said.high or said.low
    return next((field for field in fields if field.is_number and _in_field(field, last) is not None), None)


def _counted(fields: Iterable[Field], said: _Said) -> Field | None:
    """`3 bedrooms`, `more than 500 votes`: a field of whole numbers, not a price or a year."""
    for field in fields:
        if field.type is FieldType.INT and field.role not in ("price", "year", "rating") and field.unit is None:
            return field
    if said.sign == "=":
        return None
    return next((field for field in fields if field.is_number and field.role == "rating"), None)


def _of_unit(scan: Scan, at: int, said: _Said) -> tuple[Field | None, int]:
    last = said.high or said.low
    candidates = [
        field for field in scan.fields.all if field.is_number and field.unit and _in_field(field, last) is not None
    ]
    around = {scan.stem(at - 1), scan.stem(said.end), scan.stem(said.end + 1)}
    if any(around & _RIVALS - set(field.words) for field in candidates):
        return None, said.end
    close = [field for field in candidates if around & set(field.words)]
    end = said.end
    if len(close) == 1:
        candidates = close
        end += scan.stem(end) in close[0].words
    elif len(candidates) > 1:
        candidates = [field for field in candidates if field.unit in last.units]
    if len(candidates) != 1:
        return None, said.end
    (field,) = candidates
    if said.sign == "=" and (
        (last.unit_name in LETTERS and not close)
        or not (close or set(field.words) & OWN_NAMES.get(field.unit.dimension, set()))  # type: ignore[union-attr]
    ):
        return None, said.end
    return (None, said.end) if last.unit_name in ("in", "m") and not last.glued and not close else (field, end)


def _of_money(scan: Scan, said: _Said) -> Field | None:
    """The price in that currency; other money (a budget) only where there is one such field."""
    if said.sign == "=":
        return None
    last = said.high or said.low
    currency = last.currency or said.low.currency
    if currency == "pound" and any(field.unit and field.unit.dimension == "mass" for field in scan.fields.all):
        return None
    prices = [field for field in scan.fields.role("price", "money") if field.is_number]
    prices = [field for field in prices if _takes(field, currency)]
    return prices[0] if prices else None


def _bare_price(scan: Scan, at: int, said: _Said) -> Field | None:
    """A number that counts nothing is a price, unless its neighbours say that it is something else."""
    if said.sign == _ABOUT and said.hint != "price" and scan.plain(said.end):
        return None
    if scan.stem(said.end) and not _begins(scan, said.end):
        return None
    if any(scan.stem(place) in _AGED for place in (at - 1, at - 2)):
        return None
    if scan.stem(at - 1) in _SCREENS and (said.high or said.low).value <= LARGEST_SCREEN:
        return None
    prices = [field for field in scan.fields.role("price") if field.is_number]
    return prices[0] if len(prices) == 1 or (prices and prices[0].words == ("price",)) else None


def _begins(scan: Scan, at: int) -> bool:
    """Whether another constraint, a pause or a known value begins here."""
    return (
        scan.plain(at) in _STARTS or scan.plain(at) in CUES or scan.number(at) is not None or scan.name(at) is not None
    )


def _takes(field: Field, currency: str) -> bool:
    if currency in ("", "any") or not field.currency:
        return True
    return field.currency == ("gbp" if currency == "pound" else currency)


def _in_field(field: Field, amount: Amount) -> float | None:
    """An amount as a number of a field, or None where it cannot be one. Nothing is converted between currencies."""
    if amount.currency and (field.role in ("price", "money") or not amount.units):
        if field.unit is not None or field.role in ("rating", "votes", "year") or not _takes(field, amount.currency):
            return None
        return amount.value * field.money_factor
    if amount.units:
        if field.unit is None:
            return None
        for unit in amount.units:
            if unit.dimension == field.unit.dimension:
                return _clean(amount.value * unit.factor / field.unit.factor)
        return None
    return amount.value * (field.money_factor if field.role == "price" else 1.0)


def _clean(number: float) -> float:
    """Four significant decimals more than anyone types: 0.907185 of a 2, without the dust of floats."""
    return float(f"{number:.6g}")


def _reading(field: Field, said: _Said, end: int) -> Reading | None:
    low = _number(field, said.low, said.high)
    high = None if said.high is None else _number(field, said.high, said.low)
    if low is None or (said.high is not None and high is None):
        return None
    where = _where(field, said, low, high)
    return None if where is None else Reading(_kind(field, said.low), field.name, end, where)


def _number(field: Field, amount: Amount, other: Amount | None) -> int | float | None:
    """An amount in the field's unit; `10-12 inch` says its unit once."""
    if amount.is_bare and other is not None and not other.is_bare:
        amount = Amount(amount.value, amount.end, other.currency, other.units)
    value = _in_field(field, amount)
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def _where(field: Field, said: _Said, low: float, high: float | None) -> Filter | None:
    name = field.name
    match said.sign:
        case "<":
            return Lt(name, low)
        case "<=":
            return Lte(name, low)
        case ">":
            return Gt(name, low)
        case ">=":
            return Gte(name, low)
        case "about":
            return And((Gte(name, _clean(low * (1 - ABOUT))), Lte(name, _clean(low * (1 + ABOUT)))))
        case "between" if high is not None:
            return And((Gte(name, min(low, high)), Lte(name, max(low, high))))
    if field.type is FieldType.INT:
        return Eq(name, low)
    if said.low.units:
        half = 0.5 / 10**said.low.digits * (low / said.low.value if said.low.value else 1)
        return And((Gte(name, _clean(low - half)), Lte(name, _clean(low + half))))
    return None


def _kind(field: Field, amount: Amount) -> PartKind:
    if field.role in ("price", "money") or amount.currency:
        return PartKind.PRICE
    if field.role == "rating":
        return PartKind.RATING
    if field.role == "year":
        return PartKind.DATE
    return PartKind.QUANTITY if field.unit is not None else PartKind.NUMBER
