from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.errors import DimensionMismatch, InvalidVector
from nearfield.domain.schema import Metric
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, ranked

if TYPE_CHECKING:
    from nearfield.domain.filters import Row

SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5]), min_size=1, max_size=40)


@given(SCORES, st.integers(1, 50), st.randoms())
def test_ranked_is_the_sorted_list_cut(scores: list[float], limit: int, random: object) -> None:
    keys = list(range(len(scores)))
    random.shuffle(keys)  # type: ignore[attr-defined]
    found = ranked(np.array(keys, np.int64), np.array(scores, np.float32), limit)
    expected = sorted(zip(keys, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:limit]
    assert list(zip(found.keys.tolist(), found.scores.tolist(), strict=True)) == expected


def test_vectors_that_check_vectors_would_refuse_are_refused_again() -> None:
    unit = np.array([0.6, 0.8], np.float32)
    assert admit_vectors(unit.astype(np.float64), 2, Metric.COSINE).dtype == np.float32
    assert admit_vectors(np.zeros((0, 2), np.float32), 2, Metric.COSINE).shape == (0, 2)
    assert admit_vectors(unit * 9, 2, Metric.DOT).tolist() == (unit * 9).tolist()
    refused: list[tuple[npt.NDArray[np.float32], type[Exception]]] = [
        (unit * 2, InvalidVector),
        (unit * 0, InvalidVector),
        (np.array([np.inf, 0.0], np.float32), InvalidVector),
        (np.ones(3, np.float32), DimensionMismatch),
        (np.ones((1, 1, 2), np.float32), DimensionMismatch),
    ]
    for wrong, error in refused:
        with pytest.raises(error):
            admit_vectors(wrong, 2, Metric.COSINE)


@pytest.mark.parametrize(
    ("keys", "rows"), [([1, 1], [{}, {}]), ([-1, 2], [{}, {}]), ([1], [{}, {}]), ([1, 2], [{}, {"b": 1}])]
)
def test_rows_that_do_not_fit_are_a_defect(keys: list[int], rows: list[Row]) -> None:
    with pytest.raises(ValueError, match=r"keys|field"):
        admit_rows(np.array(keys, np.int64), np.ones((2, 2), np.float32), rows, ["", ""], {"a"})
    with pytest.raises(ValueError, match="limit"):
        admit_limit(0)
