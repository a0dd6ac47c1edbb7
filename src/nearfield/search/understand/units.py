"""Units and currencies as people type them. A table of exact factors: what is hard is how they are spelt, not the sum.

pint knows more units, and takes 0.3 s to load; `in`, `'`, `"`, `5k` and `bucks`, which queries are full of, it reads
otherwise or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """factor: how many of the dimension's first unit it is. Lengths of things and of ways are different dimensions."""

    dimension: str
    factor: float


_SPELLINGS: Final[dict[str, dict[float, str]]] = {
    "mass": {
        0.001: "mg milligram",
        1.0: "g gram gramme gr",
        1000.0: "kg kilo kilogram kgs kilogramme",
        28.349523125: "oz ounce",
        453.59237: "lb lbs",
        1_000_000.0: "tonne",
    },
    "length": {0.1: "mm millimeter millimetre", 1.0: "cm centimeter centimetre", 100.0: "m meter metre",
               2.54: "inch in inche", 30.48: "ft foot feet"},
    "distance": {1.0: "km kilometer kilometre kms", 1.609344: "mi mile"},
    "data": {0.001: "mb megabyte", 1.0: "gb gigabyte gig", 1000.0: "tb terabyte"},
    "volume": {1.0: "ml milliliter millilitre", 10.0: "cl", 1000.0: "l liter litre", 3785.411784: "gallon gal"},
    "duration": {1.0: "sec second s", 60.0: "min minute mins m", 3600.0: "h hour hr hrs"},
    "power": {1.0: "w watt", 1000.0: "kw kilowatt"},
    "charge": {1.0: "mah"},
    "energy": {1.0: "wh", 1000.0: "kwh"},
    "frequency": {1.0: "hz hertz", 1000.0: "khz", 1e6: "mhz", 1e9: "ghz"},
}  # fmt: skip
UNITS: Final[dict[str, tuple[Unit, ...]]] = {}
"""By spelling, singular; `m` is metres and minutes, whichever the collection has a field for."""
for _dimension, _units in _SPELLINGS.items():
    for _factor, _names in _units.items():
        for _name in _names.split():
            UNITS[_name] = (*UNITS.get(_name, ()), Unit(_dimension, _factor))

LETTERS: Final = frozenset({"g", "m", "l", "in", "s", "h", "w", "mi", "gr", "ft"})
"""Spellings that are words or letters of their own: units only when glued to their number."""
OWN_NAMES: Final = {
    "mass": {"weight", "mass"},
    "data": {"storage", "capacity"},
    "volume": {"volume", "capacity"},
    "power": {"power", "wattage"},
    "distance": {"mileage", "distance"},
    "charge": {"battery", "capacity"},
}
"""Field names that say no more than their dimension: `128gb` alone is about them, `12 inch` not about a screen."""
IMPLIED: Final = {"runtime": "min", "screen": "inch", "display": "inch"}
"""Units everyone means, where a field's name tells none."""

CURRENCIES: Final = {
    "$": "usd", "usd": "usd", "dollar": "usd", "buck": "any", "€": "eur", "eur": "eur", "euro": "eur",
    "£": "gbp", "gbp": "gbp", "quid": "gbp", "pound": "pound", "¥": "jpy", "yen": "jpy", "jpy": "jpy",
    "chf": "chf", "cad": "cad", "aud": "aud", "inr": "inr", "rupee": "inr", "₹": "inr", "sek": "sek", "pln": "pln",
}  # fmt: skip
"""By spelling, singular. `pound` may be a weight; a buck is a unit of whatever the shop takes."""
SIGNS: Final = frozenset("$€£¥₹")
MULTIPLIERS: Final = {
    "k": 1e3, "thousand": 1e3, "grand": 1e3, "hundred": 1e2, "mil": 1e6, "mio": 1e6, "million": 1e6, "m": 1e6,
    "bn": 1e9, "billion": 1e9,
}  # fmt: skip
