"""How an answer came to be: told where `explain` is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Part:
    """What one stage said of a hit.

    rank: its place in the stage's list, from 1; None where the list does not hold it. score: in the stage's own
    measure (`dense`: the engine's similarity; `lexical`: the BM25 sum; later ones: the score after them), or None.
    adds: what the hit's score has from this stage, below 0 where it took away. All parts of a hit add up to its score.
    detail: more the stage has to tell.
    """

    stage: str
    rank: int | None
    score: float | None
    adds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageTime:
    """ms: wall time in one stage, all passes together. documents: how many it left; None for one without a list.

    Stages may run side by side: `dense` and `lexical` do, so that times may add up to more than the whole.
    """

    stage: str
    ms: float
    documents: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """meaning: the text that was embedded, None for a vector. words: the text whose words were looked for.

    where: the filter in force, as text. stages: in the order they began.
    """

    meaning: str | None
    words: str | None
    where: str | None
    stages: tuple[StageTime, ...]
