"""Judged queries through a search, once or under two configurations, into means, a table of queries, and a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest, NearfieldError
from nearfield.domain.judgments import Evaluation, QueryResult, Scores
from nearfield.quality.measures import DEPTH, MEASURES, Grader
from nearfield.quality.significance import compare_all

if TYPE_CHECKING:
    from nearfield.domain.judgments import JudgedQuery, JudgedSet

RankedSearch = Callable[[str, int], Awaitable[Sequence[str]]]
"""A text and a depth in ranks → document ids, best first, at most so many."""
Told = Callable[[int, int], None]
"""Searches done, and searches to do."""

AT_ONCE: Final = 4
TRIES: Final = 3
PAUSE_S: Final = 0.5  # between tries
SHOWN: Final = 10


async def evaluate(
    judged: JudgedSet,
    ours: RankedSearch,
    other: RankedSearch | None = None,
    *,
    measures: Sequence[str] = MEASURES,
    at_once: int = AT_ONCE,
    on_progress: Told | None = None,
) -> Evaluation:
    """Measure a search on judged queries; with `other`, that one too, and what the difference is worth.

    measures: see `Grader`. at_once: searches under way at a time. The two configurations take turns query by query, so
    that a machine that is busy for a while is busy for both.
    Raises InvalidRequest when no query has a relevant document, MissingDependency, and what the searches raise; a
    failure that may pass is tried again twice.
    """
    started = time.perf_counter()
    if not judged.queries:
        raise InvalidRequest("no query has a judgment above 0; there is nothing to measure by", field="judgments")
    grader = await asyncio.to_thread(Grader, judged.queries, measures)  # the import alone takes a while
    searches = (ours,) if other is None else (ours, other)
    found = await rank_all(judged.queries, searches, at_once=at_once, on_progress=on_progress)
    return await asyncio.to_thread(_report, judged, grader, found, started)


async def rank_all(
    queries: Sequence[JudgedQuery],
    searches: Sequence[RankedSearch],
    *,
    depth: int = DEPTH,
    at_once: int = AT_ONCE,
    on_progress: Told | None = None,
) -> list[list[Sequence[str]]]:
    """Run every search on every query, `at_once` at a time: for each search its rankings, in the queries' order."""
    found: list[list[Sequence[str]]] = [[()] * len(queries) for _ in searches]
    waiting = iter([(number, place) for place in range(len(queries)) for number in range(len(searches))])
    total, done = len(queries) * len(searches), 0

    async def work() -> None:
        nonlocal done
        for number, place in waiting:
            found[number][place] = await _patiently(searches[number], queries[place].text, depth)
            done += 1
            if on_progress is not None:
                on_progress(done, total)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(at_once, total)):
                tasks.create_task(work())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the others were cancelled for it, or failed the same way
    return found


async def _patiently(search: RankedSearch, text: str, depth: int) -> Sequence[str]:
    for left in reversed(range(TRIES)):
        try:
            return await search(text, depth)
        except NearfieldError as exc:
            if not exc.retryable or not left:
                raise
            await asyncio.sleep(PAUSE_S)
    raise AssertionError


def _report(judged: JudgedSet, grader: Grader, found: Sequence[Sequence[Sequence[str]]], started: float) -> Evaluation:
    ours = grader.grade(found[0])
    others = grader.grade(found[1]) if len(found) > 1 else None
    results = []
    for place, query in enumerate(judged.queries):
        results.append(
            QueryResult(
                id=query.id,
                text=query.text,
                relevant=sum(grade > 0 for grade in query.grades.values()),
                measures=_at(ours, place),
                found=tuple(found[0][place][:SHOWN]),
                other_measures={} if others is None else _at(others, place),
                other_found=() if others is None else tuple(found[1][place][:SHOWN]),
            )
        )
    return Evaluation(
        judged=judged,
        means=ours.means,
        queries=tuple(results),
        other_means={} if others is None else others.means,
        comparisons=() if others is None else compare_all(ours, others),
        took_s=time.perf_counter() - started,
    )


def _at(scores: Scores, place: int) -> dict[str, float]:
    return {measure: float(values[place]) for measure, values in scores.values.items()}
