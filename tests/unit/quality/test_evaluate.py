from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nearfield.domain.errors import InvalidFilter, InvalidRequest, TimedOut
from nearfield.domain.judgments import JudgedQuery, JudgedSet
from nearfield.quality.evaluate import evaluate, rank_all

SET = JudgedSet(
    tuple(JudgedQuery(str(n), f"query {n}", {f"good {n}": 2, "bad": 0}) for n in range(12)), without_relevant=("x",)
)


async def good(text: str, depth: int) -> Sequence[str]:
    await asyncio.sleep(0.001 * (hash(text) % 3))
    return [text.replace("query", "good"), "bad"][:depth]


async def late(text: str, depth: int) -> Sequence[str]:
    return ["bad", "other", text.replace("query", "good")][:depth] if text != "query 3" else ["good 3"]


async def test_one_configuration_is_measured() -> None:
    found = await evaluate(SET, good)
    assert found.means == {
        "ndcg@10": 1.0,
        "mrr@10": 1.0,
        "recall@100": 1.0,
        "p@10": pytest.approx(0.1),
        "judged@10": 1.0,
    }
    assert [query.id for query in found.queries] == [str(n) for n in range(12)]
    assert (found.queries[4].found, found.queries[4].relevant) == (("good 4", "bad"), 1)
    assert found.comparisons == ()
    assert found.most_changed(5) == []
    assert found.judged.without_relevant == ("x",)


async def test_two_are_compared_query_by_query() -> None:
    found = await evaluate(SET, late, good)
    first = found.comparisons[0]
    assert (first.measure, first.better, first.worse, first.same) == ("ndcg@10", 0, 11, 1)
    assert first.difference == pytest.approx(11 * (0.5 - 1) / 12)
    assert first.significant()
    assert len(found.most_changed(20)) == 11
    assert [query.id for query in found.worst(2)] == ["0", "1"]
    assert found.worst(20)[-1].id == "3"
    assert found.queries[0].other_found == ("good 0", "bad")


async def test_so_many_searches_are_under_way_and_no_more() -> None:
    under_way, most, told = 0, 0, []

    async def search(text: str, depth: int) -> Sequence[str]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return [text, str(depth)]

    found = await rank_all(
        SET.queries, [search, search], depth=7, at_once=3, on_progress=lambda done, total: told.append((done, total))
    )
    assert most == 3
    assert told == [(n, 24) for n in range(1, 25)]
    assert found[0] == found[1] == [[query.text, "7"] for query in SET.queries]


async def test_a_failure_that_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.quality.evaluate.PAUSE_S", 0.001)
    failures = dict.fromkeys((query.text for query in SET.queries[:3]), 2)

    async def flaky(text: str, depth: int) -> Sequence[str]:
        if failures.get(text):
            failures[text] -= 1
            raise TimedOut("busy")
        return await good(text, depth)

    assert (await evaluate(SET, flaky)).means["ndcg@10"] == 1.0
    failures["query 5"] = 3
    with pytest.raises(TimedOut):
        await evaluate(SET, flaky)


async def test_a_failure_for_good_ends_it_as_itself() -> None:
    async def wrong(text: str, depth: int) -> Sequence[str]:
        raise InvalidFilter("unknown field")

    with pytest.raises(InvalidFilter, match="unknown field"):
        await evaluate(SET, wrong)


async def test_nothing_to_measure_by_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no query has a judgment above 0"):
        await evaluate(JudgedSet((), without_relevant=("x",)), good)
