"""Bring your own vectors: an embedder that knows its dimension and embeds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from nearfield.domain.errors import InvalidRequest, InvalidSetting
from nearfield.domain.schema import GIVEN_VECTORS
from nearfield.embedders.roles import checked_role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.embedder import Role


class GivenVectors:
    """See `Embedder`. Takes no text: documents and searches of its collections carry a `vector`."""

    def __init__(self, dimension: int) -> None:
        """dimension: at least 1. Raises InvalidSetting."""
        if dimension < 1:
            raise InvalidSetting(
                f"embedder {GIVEN_VECTORS}{dimension}; expected at least 1 dimension", field="embedder"
            )
        self._dimension = dimension

    @classmethod
    def named(cls, name: str) -> Self:
        """The embedder of a name like `vectors:384`. Raises InvalidSetting."""
        number = name.removeprefix(GIVEN_VECTORS)
        if not name.startswith(GIVEN_VECTORS) or not number.isascii() or not number.isdigit():
            raise InvalidSetting(f"embedder {name!r}; expected a dimension, as in {GIVEN_VECTORS}384", field="embedder")
        return cls(int(number))

    @property
    def name(self) -> str:
        return f"{GIVEN_VECTORS}{self._dimension}"

    @property
    def fingerprint(self) -> str:
        return self.name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def max_tokens(self) -> int:
        return 0

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """Embed no text. Raises InvalidRequest for any other list."""
        checked_role(role)
        if len(texts):
            field = "query" if role == "query" else "documents"
            raise InvalidRequest(
                f"this collection takes vectors of {self._dimension} components, not text: give `vector` with each "
                f"{role}, or search in mode lexical",
                field=field,
            )
        return np.empty((0, self._dimension), dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """Zeros: no text is read, so none is ever too long."""
        return np.zeros(len(texts), dtype=np.int64)

    async def warm(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""
