"""Names for bytes: the SHA-256 of a file, and one short digest for the files a model is made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DIGEST_LENGTH: Final = 16  # hexadecimal characters: 64 bits, ample for the handful of models one folder ever holds


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 lower-case hexadecimal characters. Reads it all: about 1 GB/s. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(hashes: Mapping[str, str]) -> str:
    """One digest for a model's files, DIGEST_LENGTH hexadecimal characters.

    hashes: SHA-256 by path inside the model's folder, `/` between parts. The order given does not matter; the paths
    do, since the same bytes in another role are another model.
    """
    lines = "".join(f"{path}\0{sha256}\n" for path, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:DIGEST_LENGTH]
