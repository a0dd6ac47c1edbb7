"""Which output of an exported encoder holds the vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import EmbedderUnavailable, InvalidFile
from nearfield.graphs.use import GraphUse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearfield.graphs.use import Output

TOKEN_OUTPUTS: Final = frozenset({"last_hidden_state", "token_embeddings", "sentence_embedding"})


def pick_output(outputs: Sequence[Output], graph: Path) -> int:
    """The position of the output to read: token vectors before pooled ones, well-known names before others.

    outputs: (names, rank) of each. Raises InvalidFile when none has rank 3, nor rank 2 with a well-known name.
    """
    named = [at for at, (names, rank) in enumerate(outputs) if rank == 3 and TOKEN_OUTPUTS & set(names)]
    unnamed = [at for at, (_, rank) in enumerate(outputs) if rank == 3]
    pooled = [at for at, (names, rank) in enumerate(outputs) if rank == 2 and "sentence_embedding" in names]
    found = next(iter([*named, *unnamed, *pooled]), None)
    if found is None:
        raise InvalidFile(f"{graph} has no output of token vectors (rank 3)", field="embedder")
    return found


ENCODER: Final = GraphUse("embedder", "embedder", EmbedderUnavailable, TOKEN_OUTPUTS, pick_output)
