"""Is a difference between two configurations more than chance? The one file that knows SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import MissingDependency
from nearfield.domain.judgments import Comparison, Scores

if TYPE_CHECKING:
    from nearfield.domain.judgments import Float64Array

RESAMPLES: Final = 10_000
SEED: Final = 20_070_611
_BATCH: Final = 4_000_000  # signs drawn at once, so that memory stays below a tenth of a gigabyte
_ROUNDING: Final = 1e-12


def compare(measure: str, ours: Float64Array, others: Float64Array, *, resamples: int = RESAMPLES) -> Comparison:
    """Compare one measure of the same queries under two configurations.

    ours, others: float64, shape (queries,), in the same order.
    The paired randomisation test flips the sign of each query's difference at random and counts how often the mean is
    at least as far from 0 as it is; exact where 2**queries is at most `resamples`, else the seed is fixed, so that the
    same scores give the same p. Beside it Student's paired t-test. Both are two-sided.
    Source: Smucker, Allan & Carterette, CIKM 2007, who recommend the randomisation test; the t-test is close.
    """
    stats = _library()
    difference = ours - others
    changed = np.abs(difference) > _ROUNDING
    facts: dict[str, Any] = {
        "measure": measure,
        "mean": _mean(ours),
        "other_mean": _mean(others),
        "better": int((changed & (difference > 0)).sum()),
        "worse": int((changed & (difference < 0)).sum()),
        "same": int((~changed).sum()),
    }
    if not changed.any() or difference.size < 2:
        centre = _mean(difference)
        return Comparison(**facts, p_randomization=1.0, p_t=1.0, low=centre, high=centre)
    tested = stats.permutation_test(
        (ours, others),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // difference.size),
        rng=SEED,
    )
    if difference.std() <= _ROUNDING:  # the same difference everywhere: t is infinite
        centre = float(difference.mean())
        return Comparison(**facts, p_randomization=float(tested.pvalue), p_t=0.0, low=centre, high=centre)
    paired = stats.ttest_rel(ours, others)
    interval = paired.confidence_interval(0.95)
    return Comparison(
        **facts,
        p_randomization=float(tested.pvalue),
        p_t=float(paired.pvalue),
        low=float(interval.low),
        high=float(interval.high),
    )


def compare_all(ours: Scores, others: Scores) -> tuple[Comparison, ...]:
    """`compare` for each measure of `ours`."""
    return tuple(compare(measure, values, others.values[measure]) for measure, values in ours.values.items())


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if values.size else 0.0


def _library() -> Any:
    try:
        from scipy import stats  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependency("scipy is not installed; pip install 'nearfield[evaluate]'") from exc
    return stats
