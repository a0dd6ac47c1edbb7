"""What is learned is held against queries it was not learned on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.judgments import JudgedQuery, JudgedSet
from nearfield.quality.tune import FEWEST, WEIGHTS, choices, tune_fusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.quality.evaluate import RankedSearch

RIGHT = Fusion(FusionMethod.RRF, 0.8)


def judged(count: int) -> JudgedSet:
    return JudgedSet(tuple(JudgedQuery(str(n), f"query {n}", {f"d{n}": 1}) for n in range(count)))


def finds(better: Fusion, *, from_query: int = 0) -> object:
    """One fusion puts the relevant document first from some query on; every other second."""

    def search(fusion: Fusion) -> RankedSearch:
        async def ranked(text: str, depth: int) -> Sequence[str]:
            number = int(text.split()[1])
            right = f"d{number}"
            first = fusion == better and number >= from_query
            return ([right, "x"] if first else ["x", right])[:depth]

        return ranked

    return search


async def test_what_helps_every_query_is_worth_it() -> None:
    found = await tune_fusion(judged(40), Fusion(), finds(RIGHT))  # type: ignore[arg-type]
    assert (found.best, found.worth_it, found.queries) == (RIGHT, True, 40)
    assert found.tried[0] == (RIGHT, 1.0)
    assert found.held_out.difference == pytest.approx(1 - 1 / 1.584962500721156)
    assert "better" in found.why


async def test_what_helps_one_query_may_be_chance_and_is_refused() -> None:
    found = await tune_fusion(judged(30), Fusion(), finds(RIGHT, from_query=29))  # type: ignore[arg-type]
    assert found.best == RIGHT
    assert not found.worth_it


async def test_the_current_one_stays_where_nothing_is_better() -> None:
    found = await tune_fusion(judged(25), RIGHT, finds(RIGHT))  # type: ignore[arg-type]
    assert (found.best, found.worth_it) == (RIGHT, False)
    assert "best of what was tried" in found.why
    told: list[tuple[int, int]] = []
    level = await tune_fusion(
        judged(25),
        Fusion(FusionMethod.DBSF),
        finds(Fusion(FusionMethod.RRF, 0.123)),  # type: ignore[arg-type]
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert (level.best, level.worth_it) == (Fusion(FusionMethod.DBSF), False)
    assert told[-1] == (25 * len(choices(Fusion(FusionMethod.DBSF))),) * 2


async def test_too_few_queries_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=f"{FEWEST - 1} judged queries.*at least {FEWEST}"):
        await tune_fusion(judged(FEWEST - 1), Fusion(), finds(RIGHT))  # type: ignore[arg-type]


def test_the_current_fusion_is_tried_first_and_once() -> None:
    assert choices(Fusion())[0] == Fusion()
    assert len(set(choices(RIGHT))) == len(choices(RIGHT)) == 3 + 5 * len(WEIGHTS)
