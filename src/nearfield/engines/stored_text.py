"""Values as short, harmless strings, for servers whose filters compare strings for equality alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from nearfield.domain.filters import Scalar

PLAIN_BYTES: Final = 64
"""The longest string that is stored as it is."""
DIGEST: Final = "sha256:"
"""Begins what is stored of a string that is long, empty or holds a control character; alone it is nobody's."""


def as_text(value: Scalar, kind: FieldType) -> str:
    """A value, or an element of a list, as it is stored; no two values of one type share a text, and none is empty.

    An integer in digits, so that 2**53 + 1 is found, a double as Python repeats it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind.element is FieldType.FLOAT:
        return repr(float(value) + 0.0)
    if not isinstance(value, str):
        return str(value)
    coded = value.encode()
    if 0 < len(coded) <= PLAIN_BYTES and value.isprintable() and not value.startswith(DIGEST):
        return value
    return DIGEST + hashlib.sha256(coded).hexdigest()[:32]
