"""The name under which an embedder's vectors are kept."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABEL_LENGTH: Final = 64  # characters
_HASH_LENGTH: Final = 16  # hexadecimal characters


def fingerprint(label: str, facts: Mapping[str, object]) -> str:
    """A readable label and a hash of all that decides a vector: `all-MiniLM-L6-v2-1f0c...`.

    label: any text; what a fingerprint may not hold becomes `-`. facts: JSON values by name, order free.
    Returns at most 81 of the characters A-Z a-z 0-9 - . _
    """
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-")[-_LABEL_LENGTH:] or "model"
    return f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]}"
