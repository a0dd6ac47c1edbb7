"""What a word is, how it is compared, and which tokens are identifiers: model numbers, SKUs, part numbers."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDEOGRAPHS: Final = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PICTURES: Final = "\u2600-\u27bf\U0001f300-\U0001faff"
WORD: Final = re.compile(
    rf"[{_IDEOGRAPHS}{_PICTURES}]|[^\W{_IDEOGRAPHS}]+(?:(?:(?<=[^\W\d])['’.](?=[^\W\d])|(?<=\d)[.,](?=\d))[^\W{_IDEOGRAPHS}]+)*"  # noqa: RUF001
)
"""A word after UAX #29, roughly: letters, digits and `_`, with an apostrophe or point inside; an ideograph alone."""

_SINGLE: Final = {
    "ß": "ss",
    "ẞ": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ł": "l",
    "þ": "th",
}
COMPOUND: Final = re.compile(r"[^\W_]+(?:[-._][^\W_]+)*")
"""A token with what joins its parts: a model number, a file name, a hyphenated word."""
_QUANTITY: Final = re.compile(r"[0-9]+(?:[.][0-9]+)+[^\W\d_]*\Z")
_MIXED: Final = re.compile(r"(?=[0-9]*[^\W\d_])(?=[^\W\d_]*[0-9])[^\W_]+\Z")
SHORTEST_IDENTIFIER: Final = 3  # letters and digits
LONGEST_IDENTIFIER: Final = 40
SHORT_PART: Final = 2  # letters: "wi-fi", "t-shirt" and "x-ray" are written with a hyphen, without, or apart


class _Folding(dict[int, str]):
    """Characters by what they are compared as, filled as they are met. For `str.translate`."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        parts = unicodedata.normalize("NFKD", character)
        # only Latin letters lose their marks: in Cyrillic or Devanagari a mark makes another letter
        if parts[0].isascii() or not parts[0].isalpha():
            parts = "".join(part for part in parts if not unicodedata.combining(part))
        else:
            parts = character
        self[code] = "".join(_SINGLE.get(part, part) for part in parts)
        return self[code]


_FOLDING: Final = _Folding()


def fold(text: str) -> str:
    """A text as it is compared: lower case, Latin letters without their marks ("Straße Café" is "strasse cafe")."""
    lowered = text.lower()
    return lowered if lowered.isascii() else unicodedata.normalize("NFC", lowered).translate(_FOLDING)


def words_of(text: str) -> list[str]:
    """The words of a text in order, folded, not stemmed."""
    return WORD.findall(fold(text))


def identifiers(text: str) -> Iterator[str]:
    """The joined form of each token that is spelled in several ways, in order, folded: letters and digits only.

    "WH-1000XM4" gives "wh1000xm4", "t-shirt" gives "tshirt". A token counts that holds a digit beside a letter, or a
    digit and an inner `-`, `.` or `_`, or two parts of letters one of which is short. Numbers with a decimal point
    ("3.5mm") are quantities and do not.
    """
    for token in COMPOUND.findall(fold(text)):
        if token.isalpha():  # most are, and asking a function costs more than the rest
            continue
        if _is_identifier(token) and SHORTEST_IDENTIFIER <= len(joined := join(token)) <= LONGEST_IDENTIFIER:
            yield joined


def join(token: str) -> str:
    """A folded token without what separates its parts."""
    return token.translate(_NO_SEPARATORS)


def is_mixed(word: str) -> bool:
    """Whether a folded word holds digits beside letters, and nothing else."""
    return _MIXED.match(word) is not None


_NO_SEPARATORS: Final = str.maketrans("", "", "-._")


def _is_identifier(token: str) -> bool:
    if _MIXED.match(token):
        return True
    parts = re.split(r"[-._]", token)
    if len(parts) == 1 or _QUANTITY.match(token):
        return False
    if any(character.isdigit() for character in token):
        return True
    return len(parts) == 2 and "." not in token and min(map(len, parts)) <= SHORT_PART
