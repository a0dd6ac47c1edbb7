from __future__ import annotations

import numpy as np
import pytest

from nearfield.domain.errors import EmbedderUnavailable
from nearfield.embedders.pooling import Pooling, pool, unit_rows

HIDDEN = np.asarray([[[1, 2], [3, 6], [100, 100]], [[4, 0], [0, 8], [2, -2]]], dtype=np.float32)
MASK = np.asarray([[1, 1, 0], [1, 1, 1]], dtype=np.int64)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (Pooling.MEAN, [[2, 4], [2, 2]]),
        (Pooling.CLS, [[1, 2], [4, 0]]),
        (Pooling.MAX, [[3, 6], [4, 8]]),
        (Pooling.LAST, [[3, 6], [2, -2]]),
    ],
)
def test_padding_is_never_read(pooling: Pooling, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(pool(HIDDEN, MASK, pooling), expected)


def test_the_two_means_point_the_same_way() -> None:
    mean = unit_rows(pool(HIDDEN, MASK, Pooling.MEAN))
    scaled = unit_rows(pool(HIDDEN, MASK, Pooling.MEAN_SQRT_LEN))
    np.testing.assert_allclose(mean, scaled)


def test_rows_get_unit_length_however_short_or_long() -> None:
    rows = np.asarray([[3, 4], [1e-30, 0], [0, -3e38]], dtype=np.float32)
    found = unit_rows(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [1.0, 0.0], [0.0, -1.0]])


@pytest.mark.parametrize(("row", "told"), [([np.nan, 1], "NaN"), ([np.inf, 1], "infinity"), ([0, 0], "length zero")])
def test_a_row_without_direction_is_refused(row: list[float], told: str) -> None:
    with pytest.raises(EmbedderUnavailable, match=told):
        unit_rows(np.asarray([[1, 0], row], dtype=np.float32))


def test_zeros_may_be_given_a_direction() -> None:
    nothing = np.asarray([0, 1], dtype=np.float32)
    found = unit_rows(np.asarray([[0, 0], [2, 0]], dtype=np.float32), nothing=nothing)
    np.testing.assert_allclose(found, [[0, 1], [1, 0]])
