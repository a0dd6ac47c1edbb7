from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.documents import StoredDocument
from nearfield.domain.filters import Lte
from nearfield.domain.moves import TruePage
from nearfield.domain.schema import FieldType, Metric
from nearfield.quality.exact import Nearest, true_nearest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIELDS = {"n": FieldType.INT}


async def pages(vectors: np.ndarray, passages: int) -> AsyncIterator[TruePage]:
    """Documents of so many passages each, 30 to a page."""
    count = len(vectors) // passages
    for first in range(0, count, 30):
        last = min(first + 30, count)
        documents = [StoredDocument(n + 1, f"d{n}", {"n": n}, b"", 1, None) for n in range(first, last)]
        starts = np.arange(last - first) * passages
        yield TruePage(documents, starts, vectors[first * passages : last * passages])


@pytest.mark.parametrize("metric", list(Metric))
async def test_the_truth_is_that_of_comparing_one_by_one(metric: Metric) -> None:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((200, 8)).astype(np.float32)
    queries = chance.standard_normal((6, 8)).astype(np.float32)
    filters = [None, Lte("n", 40)] * 3
    found = await true_nearest(pages(vectors, 2), queries, filters, FIELDS, metric)
    for query, where, one in zip(queries, filters, found, strict=True):
        scores = -np.linalg.norm(vectors - query, axis=1) if metric is Metric.EUCLIDEAN else vectors @ query
        best = {f"d{n}": max(scores[2 * n], scores[2 * n + 1]) for n in range(100) if where is None or n <= 40}
        expected = sorted(best, key=lambda name: -best[name])
        assert list(one.ids[:20]) == expected[:20]
        assert one.scores[0] == pytest.approx(best[expected[0]], rel=1e-4)
        assert one.matching == len(best)
        assert len(one.ids) == min(100, len(best))


def test_recall_counts_what_is_as_near_and_leaves_out_what_changed() -> None:
    truth = Nearest(("a", "b", "c", "d"), (0.9, 0.8, 0.7, 0.7), 4)
    assert truth.recall(["a", "b", "d"], 3) == 1.0  # d is as near as c
    assert truth.recall(["a", "x", "y"], 3) == pytest.approx(1 / 3)
    assert truth.recall(["b", "c"], 2, without=frozenset({"a"})) == 1.0
    assert truth.recall([], 3, without=frozenset("abcd")) is None
    assert Nearest((), (), 0).recall([], 3) == 1.0


def test_what_changed_takes_places_that_are_not_missed() -> None:
    truth = Nearest(tuple("abcdefgh"), tuple(1 - n / 10 for n in range(8)), 8)
    written = frozenset("acwxy")
    assert truth.recall(["w", "b", "x", "y"], 3, room=4, without=written) == 1.0  # no place was left for d
    assert truth.recall(["w", "e", "x", "y"], 3, room=4, without=written) == 0.0  # but b was nearer
    assert truth.recall(["b", "e", "f", "g"], 3, room=4, without=written) == pytest.approx(1 / 2)  # b and d were due
    assert truth.recall(["w", "b"], 3, room=4, without=written) == pytest.approx(1 / 2)  # there was room for d
    assert truth.recall(["w", "x", "y", "a"], 3, room=4, without=written) is None
