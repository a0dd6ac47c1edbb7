"""What a graph is run for: which output is read, and whose failure a failure is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nearfield.domain.errors import NearfieldError

Output = tuple["Sequence[str]", int]
"""An output of a graph: its names, and its rank."""
_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


@dataclass(frozen=True, slots=True)
class GraphUse:
    """One way to use a graph of a text model.

    part: what runs it, for people (`embedder`). field: the part of a request its files are named in.
    unavailable: raised when a run fails. outputs: well-known names of what is read.
    pick: the position of the output to read, of those a graph has; raises InvalidFile when none will do.
    """

    part: str
    field: str
    unavailable: type[NearfieldError]
    outputs: frozenset[str]
    pick: Callable[[Sequence[Output], Path], int]

    def check_inputs(self, names: Sequence[str], graph: Path) -> None:
        """Raise InvalidFile for a graph that wants something a text model is not given."""
        unknown = sorted(set(names) - _INPUTS)
        if unknown or "input_ids" not in names:
            raise InvalidFile(
                f"{graph} takes {', '.join(names)}; expected input_ids, attention_mask and perhaps token_type_ids",
                field=self.field,
            )
