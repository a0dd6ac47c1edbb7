"""Which output of an exported encoder holds the vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOKEN_OUTPUTS: Final = frozenset({"last_hidden_state", "token_embeddings", "sentence_embedding"})
_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


def check_inputs(names: Sequence[str], graph: Path) -> None:
    """Raise InvalidFile for a graph that wants something a text encoder is not given."""
    unknown = sorted(set(names) - _INPUTS)
    if unknown or "input_ids" not in names:
        raise InvalidFile(
            f"{graph} takes {', '.join(names)}; expected input_ids, attention_mask and perhaps token_type_ids",
            field="embedder",
        )


def pick_output(outputs: Sequence[tuple[Sequence[str], int]], graph: Path) -> int:
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
