"""A query cut into words, numbers and signs, each with its place."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*[^\W\d_]*(?![^\W_])|[^\W_]+(?:['’][^\W_]+)*|<=|>=|[^\s\w]|_")
_GLUED: Final = re.compile(r"([0-9][0-9.,]*)(\D*)\Z")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z")
_ROUND_THOUSANDS: Final = re.compile(r"[1-9][0-9]{0,2}(?:\.000)+\Z")
_DECIMAL: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z")
_DECIMAL_COMMA: Final = re.compile(r"[0-9]+,[0-9]{1,2}\Z")
_APOSTROPHES: Final = str.maketrans("", "", "'’")
_MAX_DIGITS: Final = 15

SPELLED: Final = {
    word: float(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "seventy": 70.0, "eighty": 80.0, "ninety": 90.0}
"""Numbers in words; zero and beyond ninety are written in digits."""


@dataclass(frozen=True)
class Word:
    """A word, number or sign of a query, from `start` to `end`. spaced: nothing but white space stands before it."""

    text: str
    start: int
    end: int
    spaced: bool

    @cached_property
    def plain(self) -> str:
        """Case folded, without accents and apostrophes: `Levi's` is `levis`."""
        return plain(self.text)

    @cached_property
    def stem(self) -> str:
        """`plain` without the end of a plural or possessive: `Levi's` is `levi`."""
        return stem(self.plain)

    @cached_property
    def number(self) -> float | None:
        """The number it begins with (`50usd`: 50) or spells (`two`: 2), or None."""
        found = _GLUED.match(self.text)
        return read_number(found[1]) if found else SPELLED.get(self.plain)

    @cached_property
    def suffix(self) -> str:
        """What is glued to the number's digits, folded: `50USD` has `usd`."""
        found = _GLUED.match(self.text)
        return plain(found[2]) if found else ""

    @property
    def is_digits(self) -> bool:
        """Whether it begins with a digit."""
        return self.text[:1].isascii() and self.text[:1].isdigit()


def split(text: str) -> list[Word]:
    """The words of a text, in order. Linear in its length but for numbers like `1.1.1.1`, so callers bound it."""
    words = []
    before = -1
    for found in _WORD.finditer(text):
        start, end = found.span()
        words.append(Word(found.group(), start, end, start != before))
        before = end
    return words


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Case folded, without accents and apostrophes."""
    folded = text.casefold().translate(_APOSTROPHES)
    if folded.isascii():
        return folded
    return "".join(sign for sign in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(sign))


def stem(word: str) -> str:
    """A folded word without the ending of an English plural. Rough, and the same on both sides of a comparison."""
    if word.endswith("ie") and len(word) > 4:
        return f"{word[:-2]}y"  # as `movies` becomes
    if len(word) <= 3 or not word.endswith("s") or word.endswith("ss"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1]


def stems(text: str) -> tuple[str, ...]:
    """The stems of a text's words: signs dropped, `&` read as `and`. What known values are compared by."""
    return tuple(
        "and" if word.text == "&" else word.stem for word in split(text) if word.text == "&" or word.text[0].isalnum()
    )


def read_number(digits: str) -> float | None:
    """`1,299.50`, `12.5`, `9,99` (a decimal comma) and `2.000` (thousands); None for anything else."""
    digits = digits.rstrip(".,")
    if len(digits) > _MAX_DIGITS or not digits.isascii():
        return None
    if _THOUSANDS.match(digits):
        return float(digits.replace(",", ""))
    if _ROUND_THOUSANDS.match(digits):
        return float(digits.replace(".", ""))
    if _DECIMAL.match(digits):
        return float(digits)
    return float(digits.replace(",", ".")) if _DECIMAL_COMMA.match(digits) else None
