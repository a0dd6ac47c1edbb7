"""What tuning a collection's fusion on judged queries found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.fusion import Fusion
    from nearfield.domain.judgments import Comparison


@dataclass(frozen=True, slots=True)
class TunedFusion:
    """current: the collection's fusion. best: of `tried`, on all queries; that it was chosen flatters its mean.

    tried: each fusion with its mean, the best first. held_out: every query scored under the fusion chosen without it,
    against `current`: what choosing is worth. queries: judged ones used. worth_it: whether to take `best`; why: in
    plain words.
    """

    measure: str
    current: Fusion
    best: Fusion
    tried: tuple[tuple[Fusion, float], ...]
    held_out: Comparison
    queries: int
    worth_it: bool
    why: str
