"""Learn on judged queries how a collection should put meaning and words together, and whether that is worth it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.tuning import TunedFusion
from nearfield.quality.evaluate import rank_all
from nearfield.quality.measures import Grader
from nearfield.quality.significance import compare
from nearfield.quality.splits import folds, held_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.judgments import Comparison, JudgedSet
    from nearfield.quality.evaluate import RankedSearch, Told

MEASURE: Final = "ndcg@10"
DEPTH: Final = 10  # ranks that MEASURE looks at
FEWEST: Final = 20
"""Judged queries below which nothing is learned: a weight chosen on fewer says little about the next query."""
WEIGHTS: Final = (0.2, 0.35, 0.5, 0.65, 0.8)
FOLDS: Final = 5
ALPHA: Final = 0.05


def choices(current: Fusion) -> tuple[Fusion, ...]:
    """What is tried, the current fusion first: `auto`, words alone, meaning alone, each method at each of WEIGHTS."""
    weighed = [
        Fusion(method, weight) for method in FusionMethod if method is not FusionMethod.AUTO for weight in WEIGHTS
    ]
    ends = [Fusion(FusionMethod.SUM, 0.0), Fusion(FusionMethod.SUM, 1.0)]
    return tuple(dict.fromkeys([current, Fusion(), *ends, *weighed]))


async def tune_fusion(
    judged: JudgedSet,
    current: Fusion,
    search: Callable[[Fusion], RankedSearch],
    *,
    on_progress: Told | None = None,
) -> TunedFusion:
    """Try every one of `choices` on every judged query; choose by five-fold cross-validation on nDCG@10.

    A change is worth it when queries scored under the fusion chosen without them beat the current one, and the paired
    randomisation test calls that difference real (p < ALPHA).
    Raises InvalidRequest for fewer than FEWEST queries with a relevant document, and what searches raise.
    """
    count = len(judged.queries)
    if count < FEWEST:
        raise InvalidRequest(
            f"{count} judged queries have a relevant document; expected at least {FEWEST} to learn from",
            field="judgments",
        )
    tried = choices(current)
    grader = await asyncio.to_thread(Grader, judged.queries, (MEASURE,))
    rankings = await rank_all(
        judged.queries, [search(fusion) for fusion in tried], depth=DEPTH, on_progress=on_progress
    )

    def verdict() -> TunedFusion:
        scores = np.stack([grader.grade(ranking).values[MEASURE] for ranking in rankings])
        learned = held_out(scores, folds(count, count=FOLDS))
        comparison = compare(MEASURE, learned.scores, scores[0])
        best = tried[learned.best]
        means = [float(mean) for mean in scores.mean(axis=1)]
        order = sorted(range(len(tried)), key=lambda place: -means[place])  # stable: the current one first among equals
        worth_it, why = _verdict(current, best, comparison)
        return TunedFusion(
            MEASURE, current, best, tuple((tried[at], means[at]) for at in order), comparison, count, worth_it, why
        )

    return await asyncio.to_thread(verdict)


def _verdict(current: Fusion, best: Fusion, comparison: Comparison) -> tuple[bool, str]:
    if best == current:
        return False, f"{current} is the best of what was tried"
    gain = f"{comparison.difference:+.4f} on held-out queries, p = {comparison.p_randomization:.3f}"
    if comparison.difference <= 0:
        return False, f"{best} is best on all queries, but what is learned on some does not help the others: {gain}"
    if not comparison.significant(ALPHA):
        return False, f"{best} may be better, but the difference may be chance: {gain}"
    return True, f"{best} is better: {gain}"
