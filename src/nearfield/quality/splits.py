"""Cross-validation: what is learned on some queries is measured on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.judgments import Float64Array

SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Places of queries, rising. learn and test share none, and are all queries together."""

    learn: Int64Array
    test: Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What choosing by some queries is worth on others.

    scores: float64, shape (queries,): each query's score under the choice made without it.
    chosen: the choice of each fold. best: the choice by all queries.
    """

    scores: Float64Array
    chosen: tuple[int, ...]
    best: int


def folds(queries: int, *, count: int = 5, seed: int = SEED) -> list[Fold]:
    """Deal queries into folds at random, sizes as equal as can be; the same seed deals the same.

    count: 2 or more; not more folds than queries are made. No fold at all for fewer than 2 queries.
    """
    count = min(count, queries)
    if count < 2:
        return []
    dealt = np.random.default_rng(seed).permutation(queries)
    tests = [np.sort(dealt[place::count]) for place in range(count)]
    everything = np.arange(queries)
    return [Fold(np.setdiff1d(everything, test), test) for test in tests]


def held_out(scores: Float64Array, dealt: Sequence[Fold]) -> HeldOut:
    """Choose the best configuration on each fold's `learn` and score it on its `test`.

    scores: float64, shape (configurations, queries). Ties go to the configuration that stands first.
    dealt: as `folds` makes them for as many queries; with none of them, nothing is held out and every score is 0.
    """
    _, queries = scores.shape
    kept = np.zeros(queries)
    chosen = []
    for fold in dealt:
        choice = int(scores[:, fold.learn].mean(axis=1).argmax())
        kept[fold.test] = scores[choice, fold.test]
        chosen.append(choice)
    return HeldOut(kept, tuple(chosen), int(scores.mean(axis=1).argmax()) if queries else 0)
