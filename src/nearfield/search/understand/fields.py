"""What a collection's fields are about, told from their names: roles, units, the words people call them by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nearfield.domain.schema import FieldType
from nearfield.search.understand.units import CURRENCIES, IMPLIED, UNITS, Unit
from nearfield.search.understand.words import plain, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
NUMBERS: Final = (FieldType.INT, FieldType.FLOAT)
KEYWORDS: Final = (FieldType.KEYWORD, FieldType.KEYWORDS)

ROLE_NAMES: Final[dict[str, str]] = {
    "price": "price cost fee fare",
    "rating": "rating star score",
    "votes": "vote review comment reply",
    "popularity": "popularity view sale download like sold follower rank",
    "runtime": "runtime duration",
    "brand": "brand maker manufacturer make vendor",
    "genre": "genre",
    "category": "category type kind department section",
    "color": "color colour",
    "material": "material fabric",
    "size": "size",
    "condition": "condition",
    "language": "language lang",
    "place": "city country location place region town origin state",
    "tag": "tag label keyword topic feature amenity",
    "status": "status priority severity",
    "medium": "channel platform",
    "creator": "director author writer artist composer creator publisher reporter customer photographer",
    "actor": "actor cast",
    "seller": "seller shop store merchant",
    "assignee": "assignee owner agent",
}
_ROLE_OF: Final = {stem(word): role for role, names in ROLE_NAMES.items() for word in names.split()}
SYNONYMS: Final[dict[str, str]] = {
    "price": "price cost priced costing costs",
    "rating": "rating rated score scored",
    "votes": "vote review",
    "runtime": "runtime duration length",
    "brand": "brand maker manufacturer make",
    "genre": "genre category",
    "category": "category type department",
    "color": "color colour",
    "material": "material fabric",
    "language": "language",
    "condition": "condition",
    "size": "size",
}
"""Words for a role that need not stand in the field's name."""
_FAMILIES: Final = {
    "release": "release released premiere premiered launch launched issued publication published made produced built "
    "manufactured shot year",
    "add": "added add listed posted created opened open uploaded submitted reported filed received registered inserted "
    "published sent listing created",
    "update": "updated update modified changed edited",
    "close": "closed resolved solved fixed finished completed",
    "end": "ended ends expires expired expiry until",
    "any": "date time timestamp day year when",
}
FAMILIES_OF: Final[dict[str, frozenset[str]]] = {
    stem(word): frozenset(family for family, words in _FAMILIES.items() if word in words.split())
    for names in _FAMILIES.values()
    for word in names.split()
}
"""What happened to a document at a date, by the word's stem."""
_DATE_ORDER: Final = ("release", "any", "add", "close", "end", "update")


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field. words: its name's, stemmed, the unit's left out. currency: `usd`, or blank if not told."""

    name: str
    type: FieldType
    words: tuple[str, ...]
    role: str = ""
    unit: Unit | None = None
    currency: str = ""
    money_factor: float = 1.0
    families: frozenset[str] = frozenset()

    @property
    def is_number(self) -> bool:
        return self.type in NUMBERS

    @property
    def is_date(self) -> bool:
        return self.type is FieldType.DATETIME or self.role == "year"


@dataclass(frozen=True, slots=True)
class Fields:
    """All fields of a collection that a query can constrain."""

    all: tuple[Field, ...]
    named: Mapping[tuple[str, ...], tuple[Field, ...]]
    """By what people call them, in stems; the field of exactly that name first."""

    def role(self, *roles: str) -> tuple[Field, ...]:
        """Fields of these roles: the first role's first, then in the order declared."""
        return tuple(field for role in roles for field in self.all if field.role == role)

    def dates(self) -> tuple[Field, ...]:
        """Date fields, those a date without a verb is about first."""
        found = [field for field in self.all if field.is_date]
        return tuple(
            sorted(found, key=lambda field: min((_DATE_ORDER.index(one) for one in field.families), default=9))
        )


def fields_of(declared: Mapping[str, FieldType]) -> Fields:
    """Read the names of a collection's fields. Kept for the collections asked last."""
    return _fields_of(tuple(declared.items()))


@lru_cache(maxsize=256)
def _fields_of(declared: tuple[tuple[str, FieldType], ...]) -> Fields:
    found = tuple(_field(name, kind) for name, kind in declared)
    named: dict[tuple[str, ...], list[Field]] = {}
    for field in found:
        for name in _names(field):
            named.setdefault(name, []).append(field)
    return Fields(found, {name: tuple(_exact_first(name, fields)) for name, fields in named.items()})


def _exact_first(name: tuple[str, ...], fields: Iterable[Field]) -> list[Field]:
    return sorted(dict.fromkeys(fields), key=lambda field: field.words != name)


def _field(name: str, kind: FieldType) -> Field:
    words = [stem(plain(word)) for word in _NAME_WORD.findall(name)] or [plain(name)]
    if words[0] in ("is", "has") and len(words) > 1:
        words = words[1:]
    if kind is FieldType.DATETIME:
        if len(words) > 1 and words[-1] in ("at", "on", "date", "time"):
            words.pop()
        return Field(name, kind, tuple(words), "date", families=_families(words))
    if kind in NUMBERS:
        return _number(name, kind, words)
    return Field(name, kind, tuple(words), _role(words))


def _number(name: str, kind: FieldType, words: list[str]) -> Field:
    """A number's field: the unit or currency at the end of its name is taken off."""
    unit, currency, factor = None, "", 1.0
    if len(words) > 1:
        last = words[-1]
        if last in UNITS:
            unit = UNITS[last][0]
        elif last in CURRENCIES:
            currency = CURRENCIES[last]
        elif last == "cent":
            factor = 100.0
        if unit or currency or factor != 1.0:
            words = words[:-1]
    if words[-1] == "year":
        return Field(name, kind, tuple(words), "year", families=frozenset({"release", "any"}))
    if unit is None:
        unit = next((UNITS[IMPLIED[word]][0] for word in words if word in IMPLIED), None)
    role = _role(words) or ("money" if currency else "")
    return Field(name, kind, tuple(words), role, unit, currency, factor)


def _role(words: list[str]) -> str:
    return next((_ROLE_OF[word] for word in reversed(words) if word in _ROLE_OF), "")


def _families(words: Iterable[str]) -> frozenset[str]:
    found = frozenset[str]().union(*(FAMILIES_OF.get(word, frozenset()) for word in words))
    return found - {"any"} or frozenset({"any"})


def _names(field: Field) -> list[tuple[str, ...]]:
    """What people call a field: its name, its name's last word, and the words for its role."""
    names = [field.words]
    if len(field.words) > 1:
        names.append(field.words[-1:])
    names += [(stem(word),) for word in SYNONYMS.get(field.role, "").split()]
    return list(dict.fromkeys(names))
