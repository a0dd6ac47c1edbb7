from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.quality.splits import folds, held_out


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 60), st.integers(2, 12), st.integers(0, 9))
def test_every_query_is_tested_once_and_never_learnt_from_meanwhile(queries: int, count: int, seed: int) -> None:
    dealt = folds(queries, count=count, seed=seed)
    assert len(dealt) == (min(count, queries) if queries > 1 else 0)
    for fold in dealt:
        assert sorted([*fold.learn, *fold.test]) == list(range(queries))
    if dealt:
        assert sorted(np.concatenate([fold.test for fold in dealt])) == list(range(queries))
        sizes = [len(fold.test) for fold in dealt]
        assert max(sizes) - min(sizes) <= 1


def test_the_same_seed_deals_the_same() -> None:
    first, again, other = folds(50, seed=3), folds(50, seed=3), folds(50, seed=4)
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))


def test_choosing_among_noise_is_worth_nothing() -> None:
    """The best of many by all queries looks good; what it is worth on queries it was not chosen by is the mean."""
    noise = np.random.default_rng(5).random((50, 100))
    found = held_out(noise, folds(100))
    assert noise[found.best].mean() > 0.54
    assert abs(found.scores.mean() - 0.5) < 0.06


def test_a_configuration_that_is_better_is_chosen_in_every_fold() -> None:
    scores = np.vstack([np.full(30, 0.4), np.full(30, 0.6), np.full(30, 0.6)])
    found = held_out(scores, folds(30))
    assert (found.best, set(found.chosen)) == (1, {1})
    assert (found.scores == 0.6).all()
    assert held_out(np.zeros((3, 0)), folds(0)).chosen == ()
