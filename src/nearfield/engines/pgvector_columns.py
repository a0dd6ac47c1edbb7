"""Columns: what they are called, which type they have, and how values stand in them. Pure: no SDK is needed.

Two things a string may be that PostgreSQL cannot take are kept apart from all else by a code (`encode_text`): a NUL,
which its texts cannot hold, and a keyword too long for an index entry.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidSetting
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.filters import Scalar

LONGEST_KEYWORD: Final = 500
"""Characters of a keyword that are kept as they are: 2,000 bytes at most, where an index entry may have 2,704."""

SQL_TYPES: Final[Mapping[FieldType, str]] = {
    FieldType.TEXT: "text",
    FieldType.KEYWORD: "text",
    FieldType.INT: "bigint",
    FieldType.FLOAT: "double precision",
    FieldType.BOOL: "boolean",
    FieldType.DATETIME: "timestamptz",
}
"""The type of one value, by element type; a geo point is two of `double precision`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CODE: Final = str.maketrans({"\0": "\x01\x01", "\x01": "\x01\x02"})
_OURS: Final = frozenset(
    {"key", "document", "passage", "embedding", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")


def quoted(name: str) -> str:
    """An identifier for a statement. None holds a quote: a field's name cannot, and a schema's is refused."""
    if not _IDENTIFIER.match(name):
        raise InvalidSetting(
            f"engine pgvector: {name!r} is no name; expected up to 63 letters, digits or '_'", field="engine"
        )
    return f'"{name}"'


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold a field: one, or the latitudes and the longitudes of a geo field."""

    names: Mapping[str, tuple[str, ...]]

    @classmethod
    def for_fields(cls, fields: Mapping[str, FieldType]) -> Columns:
        """The same for the same fields in the same order."""
        taken = set(_OURS)
        names = {}
        for name, kind in fields.items():
            wanted = [f"{name[:59]}_lat", f"{name[:59]}_lon"] if kind.element is FieldType.GEO else [name]
            found = []
            for column in wanted:
                free, number = column, 1
                while free in taken or (free != name and free in fields):
                    number += 1
                    free = f"{column[:59]}_{number}"
                taken.add(free)
                found.append(free)
            names[name] = tuple(found)
        return cls(names)

    def of(self, field: str) -> tuple[str, ...]:
        """The columns of a field, quoted."""
        return tuple(quoted(column) for column in self.names[field])


def encode_text(text: str, kind: FieldType) -> str:
    """A text as its column holds it: itself, unless it holds U+0000 or U+0001, or is a keyword too long for an index.

    Codes compare as their texts do, except two long keywords with the same first LONGEST_KEYWORD characters.
    """
    coded = text.translate(_CODE) if "\0" in text or "\x01" in text else text
    if kind is not FieldType.KEYWORD or len(coded) <= LONGEST_KEYWORD:
        return coded
    return coded[:LONGEST_KEYWORD] + hashlib.sha256(coded.encode()).hexdigest()


def parameter(value: Scalar, kind: FieldType) -> object:
    """A bound value of an element type as the driver takes it."""
    if isinstance(value, str):
        return encode_text(value, kind)
    if kind is FieldType.DATETIME:
        return _EPOCH + timedelta(microseconds=int(value))
    return float(value) if kind is FieldType.FLOAT else value
