"""The seam from text to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array

Role = Literal["query", "document"]


class Embedder(Protocol):
    """Turns texts into vectors. Wrappers (batching, caching) have this same face. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """As the user wrote it: `all-MiniLM-L6-v2`, a folder, `vectors:384`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could give another vector (weights, pooling, prompts, max_tokens, precision).

        Letters, digits, `-`, `.`, `:` and `_`; at most 128 characters. Vectors are cached under it for ever.
        """
        ...

    @property
    def dimension(self) -> int:
        """Components of every vector, at least 1."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens read of one text, special tokens included; what lies beyond is not seen. 0: no limit."""
        ...

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """Embed texts.

        role: must be said; models with prompts treat a query and a document differently.
        Returns float32, shape (len(texts), dimension), in the order given, each row finite and of unit length;
        shape (0, dimension) for no text. An empty text gives the model's vector of nothing, still of unit length.
        Never blocks the event loop. Raises EmbedderUnavailable, CallerError for an embedder that takes no text.
        """
        ...

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """Tokens of each text, special tokens included, not truncated; int64, shape (n,). Blocks: call in a thread."""
        ...

    async def warm(self) -> None:
        """Load what queries need, so that the next of them is at full speed. Idempotent."""
        ...

    async def close(self) -> None:
        """Free threads and memory. Idempotent."""
        ...
