"""An amount as it stands in a query: `$1,299.50`, `50 euros`, `2 kg`, `two hours`, `1h30`, `4 stars`, `8/10`, `20k`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nearfield.search.understand.units import CURRENCIES, LETTERS, MULTIPLIERS, SIGNS, UNITS

if TYPE_CHECKING:
    from nearfield.search.understand.scan import Scan
    from nearfield.search.understand.units import Unit

_CLOCK: Final = re.compile(r"([0-9]{1,2})h([0-9]{2})(?:m|min)?\Z")
SCALES: Final = (5.0, 10.0, 100.0)
INCH_SIGNS: Final = frozenset({'"', "”", "″"})


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and what it counts. end: the word it ends before.

    digits: decimals it was written with. currency: one of CURRENCIES' or blank. units: those its spelling may mean.
    glued: nothing stands between number and unit. scale: 10 for `8/10`. plus: a `+` follows (`4+ stars`).
    spelled: in words, as `two`.
    """

    value: float
    end: int
    currency: str = ""
    units: tuple[Unit, ...] = ()
    unit_name: str = ""
    glued: bool = False
    stars: bool = False
    scale: float | None = None
    plus: bool = False
    spelled: bool = False
    digits: int = 0

    @property
    def is_bare(self) -> bool:
        """Whether it is a number and nothing more."""
        return not (self.currency or self.units or self.stars or self.scale)


def read_amount(scan: Scan, at: int) -> Amount | None:
    """The amount that begins at a word, or None."""
    currency = ""
    word = scan.plain(at)
    if word in SIGNS or (len(word) == 3 and word in CURRENCIES and scan.number(at + 1) is not None):
        currency = CURRENCIES[word]
        at += 1
    if at >= len(scan.words):
        return None
    word_here = scan.words[at]
    clock = _CLOCK.match(word_here.plain)
    if clock and not currency:
        return Amount(int(clock[1]) * 60.0 + int(clock[2]), at + 1, units=UNITS["min"], unit_name="min")
    value = word_here.number
    if value is None:
        return None
    spelled = not word_here.is_digits
    if spelled and currency:
        return None
    _, _, decimals = word_here.text.partition(".")
    amount = Amount(value, at + 1, currency, spelled=spelled, digits=len(decimals) if decimals.isdigit() else 0)
    if word_here.suffix:
        return _with_suffix(scan, amount, word_here.suffix)
    return _with_unit(scan, _with_multiplier(scan, amount))


def _with_suffix(scan: Scan, amount: Amount, suffix: str) -> Amount | None:
    if suffix in MULTIPLIERS and (suffix != "m" or amount.currency):
        amount = replace(amount, value=amount.value * MULTIPLIERS[suffix], digits=0)
        return _with_unit(scan, amount)
    if suffix in CURRENCIES and not amount.currency:
        return replace(amount, currency=CURRENCIES[suffix])
    units = UNITS.get(suffix) or UNITS.get(suffix.rstrip("s"))
    if units and not amount.currency:
        return _more_minutes(scan, replace(amount, units=units, unit_name=suffix, glued=True))
    return None


def _with_multiplier(scan: Scan, amount: Amount) -> Amount:
    word = scan.plain(amount.end)
    if word in MULTIPLIERS and word != "m":
        return replace(amount, value=amount.value * MULTIPLIERS[word], end=amount.end + 1, digits=0)
    return amount


def _with_unit(scan: Scan, amount: Amount) -> Amount:
    """The amount with the sign, currency, unit, stars or scale that follow it."""
    after = amount.end
    if scan.plain(after) == "+":
        amount = replace(amount, plus=True, end=after + 1)
        after += 1
    word, plain = scan.stem(after), scan.plain(after)
    if amount.currency:
        return replace(amount, end=after + 1) if CURRENCIES.get(word) == amount.currency else amount
    if plain == "/" and (scale := scan.number(after + 1)) in SCALES:
        stars = scan.stem(after + 2) == "star"
        return replace(amount, scale=scale, end=after + 2 + stars)
    if plain == "out" and scan.plain(after + 1) == "of" and (scale := scan.number(after + 2)) in SCALES:
        return replace(amount, scale=scale, end=after + 3)
    if plain == "-" and scan.stem(after + 1) == "star":
        after, word = after + 1, "star"
    if word == "star":
        return replace(amount, stars=True, end=after + 1)
    if word == "pound":
        return replace(amount, currency="pound", units=UNITS["lb"], unit_name="lb", end=after + 1)
    if plain in SIGNS or (word in CURRENCIES and word not in SIGNS):
        return replace(amount, currency=CURRENCIES[word], end=after + 1)
    if plain in INCH_SIGNS:
        return replace(amount, units=UNITS["inch"], unit_name="inch", glued=True, end=after + 1)
    if plain == "-" and scan.stem(after + 1) in UNITS and scan.stem(after + 1) not in LETTERS:
        after, word = after + 1, scan.stem(after + 1)  # 27-inch
    if word in UNITS:
        return _more_minutes(scan, replace(amount, units=UNITS[word], unit_name=word, end=after + 1))
    return amount


def _more_minutes(scan: Scan, amount: Amount) -> Amount:
    """`2 hours 30 minutes`, `1h 15m`: the minutes added to the hours."""
    if amount.unit_name not in ("h", "hour", "hr", "hrs"):
        return amount
    at = amount.end + (scan.plain(amount.end) == "and")
    minutes = scan.number(at)
    if minutes is None or minutes >= 60:
        return amount
    suffix = scan.words[at].suffix
    if suffix in ("m", "min"):
        end = at + 1
    elif not suffix and scan.stem(at + 1) in ("minute", "min"):
        end = at + 2
    else:
        return amount
    return replace(amount, value=amount.value * 60 + minutes, units=UNITS["min"], unit_name="min", end=end)
