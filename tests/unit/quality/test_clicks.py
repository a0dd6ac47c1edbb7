"""The click model on simulated people whose tastes and laziness are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import kendalltau

from nearfield.domain.events import Event, EventKind, Impression
from nearfield.domain.judgments import JudgedQuery, JudgmentSource
from nearfield.quality.clicks import MAX_RANKS, ClickModel, ClickTally, by_search
from nearfield.quality.measures import ndcg

ATTRACTION = (0.15, 0.3, 0.5, 0.75)  # of grades 0 to 3
DOCUMENTS, RANKS = 12, 10


@dataclass
class Simulated:
    shown: list[Impression]
    events: list[Event]
    grades: dict[str, dict[str, int]]
    examination: np.ndarray


def simulate(
    queries: int = 20, searches: int = 400, *, restlessness: float = 0.8, purchases: bool = False, seed: int = 7
) -> Simulated:
    """People before a ranking that is about upside down and moves a little from search to search."""
    random = np.random.default_rng(seed)
    examination = 1 / np.arange(1, RANKS + 1) ** 0.9
    shown, events, truth = [], [], {}
    for number in range(queries):
        grades = random.choice(4, DOCUMENTS, p=(0.4, 0.3, 0.2, 0.1))
        truth[f"q{number}"] = {f"d{n}": int(grade) for n, grade in enumerate(grades)}
        for turn in range(searches):
            order = np.argsort(grades + random.normal(0, restlessness, DOCUMENTS))[:RANKS]
            name = f"{number}-{turn}"
            shown.append(Impression(name, f"q{number}", tuple(f"d{n}" for n in order), 0, False, 0))
            looked = random.random(RANKS) < examination
            liked = random.random(RANKS) < np.array(ATTRACTION)[grades[order]]
            for place in np.flatnonzero(looked & liked):
                document = f"d{order[place]}"
                events.append(Event(name, document, EventKind.CLICK, 0, int(place) + 1))
                if purchases and random.random() < 0.25 * grades[order[place]]:
                    events.append(Event(name, document, EventKind.PURCHASE, 0))
    return Simulated(shown, events, truth, examination)


def fitted(simulated: Simulated) -> ClickModel:
    tally = ClickTally()
    events = by_search(simulated.events)
    half = len(simulated.shown) // 2
    tally.add(simulated.shown[:half], events)
    tally.add(simulated.shown[half:], events)
    return tally.fit()


def agreement(values: dict[tuple[str, str], float], grades: dict[str, dict[str, int]]) -> float:
    """Mean Kendall tau of values with the true grades, over queries."""
    taus = []
    for query, of in grades.items():
        there = [document for document in of if (query, document) in values]
        taus.append(kendalltau([of[d] for d in there], [values[query, d] for d in there]).statistic)
    return float(np.nanmean(taus))


def raw_rates(simulated: Simulated) -> dict[tuple[str, str], float]:
    clicked = {(event.search_id, event.document_id) for event in simulated.events}
    counts: dict[tuple[str, str], list[int]] = {}
    for one in simulated.shown:
        for document in one.shown:
            count = counts.setdefault((one.query, document), [0, 0])
            count[0] += 1
            count[1] += (one.search_id, document) in clicked
    return {pair: clicks / times for pair, (times, clicks) in counts.items()}


@pytest.fixture(scope="module")
def people() -> Simulated:
    return simulate()


@pytest.fixture(scope="module")
def model(people: Simulated) -> ClickModel:
    return fitted(people)


def test_what_is_recovered_ranks_like_the_truth_where_the_raw_rate_does_not(
    people: Simulated, model: ClickModel
) -> None:
    learnt = agreement(dict(zip(model.pairs, model.attraction.tolist(), strict=True)), people.grades)
    raw = agreement(raw_rates(people), people.grades)
    assert learnt > 0.7  # ties of the true grades keep it below about 0.85
    assert raw < 0.3


def test_attraction_and_examination_come_back_as_they_were(people: Simulated, model: ClickModel) -> None:
    assert model.examination == pytest.approx(people.examination, abs=0.08)
    errors = [
        abs(value - ATTRACTION[people.grades[query][document]])
        for (query, document), value, times in zip(model.pairs, model.attraction, model.examined, strict=True)
        if times > 50
    ]
    assert float(np.mean(errors)) < 0.06


def test_the_grades_rank_like_the_truth(people: Simulated, model: ClickModel) -> None:
    judgments = model.judgments()
    assert {one.grade for one in judgments} >= {1, 2, 3}
    assert {one.source for one in judgments} == {JudgmentSource.CLICKS}
    queries = [JudgedQuery(query, query, grades) for query, grades in people.grades.items()]
    by_grade: dict[str, list[tuple[int, str]]] = {}
    for one in judgments:
        by_grade.setdefault(one.query, []).append((-one.grade, one.document_id))
    learnt = [[document for _, document in sorted(by_grade.get(query.id, []))] for query in queries]
    rates = raw_rates(people)
    raw = [sorted(query.grades, key=lambda d, q=query.id: -rates.get((q, d), 0.0)) for query in queries]  # type: ignore[misc]
    assert ndcg(queries, learnt).mean() > 0.85
    assert ndcg(queries, learnt).mean() > ndcg(queries, raw).mean() + 0.1


def test_purchases_weigh_more_than_clicks() -> None:
    tally = ClickTally()
    shown = [Impression(f"s{n}", "tea", ("pot", "cup"), 0, False, 0) for n in range(40)]
    events = [Event(f"s{n}", name, EventKind.CLICK, 0) for n in range(20) for name in ("pot", "cup")]
    events += [Event(f"s{n}", "cup", EventKind.PURCHASE, 0) for n in range(10)]
    tally.add(shown, by_search(events))
    model = tally.fit()
    worth = dict(zip(model.pairs, model.worth.tolist(), strict=True))
    attraction = dict(zip(model.pairs, model.attraction.tolist(), strict=True))
    assert worth["tea", "cup"] > 2.5 * attraction["tea", "cup"]
    assert worth["tea", "pot"] == attraction["tea", "pot"]
    grades = {one.document_id: one.grade for one in model.judgments()}
    assert grades["cup"] == 3
    assert grades["pot"] < 3


def test_queries_that_differ_in_blanks_and_case_are_one() -> None:
    tally = ClickTally()
    for n, query in enumerate(("Green  Tea", " green tea", "GREEN TEA ") * 3):
        click = Event(f"s{n}", "a", EventKind.CLICK, 0)
        tally.add([Impression(f"s{n}", query, ("a",), 0, False, 0)], {f"s{n}": [click]})
    assert [(one.query, one.document_id, one.grade) for one in tally.fit().judgments()] == [("green tea", "a", 3)]


def test_what_was_hardly_looked_at_is_not_judged() -> None:
    tally = ClickTally()
    tally.add([Impression(f"s{n}", "tea", ("a",), 0, False, 0) for n in range(4)], {})
    tally.add([Impression("s9", "tea", ("deep",), 5_000, False, 0)], {})
    model = tally.fit()
    assert model.judgments() == []
    assert len(model.examination) == MAX_RANKS


def test_a_query_nobody_clicks_is_judged_in_nothing() -> None:
    tally = ClickTally()
    tally.add([Impression(f"s{n}", "tea", ("a", "b"), 0, False, 0) for n in range(40)], {})
    assert tally.fit().judgments() == []


def test_events_elsewhere_are_counted_and_change_nothing() -> None:
    tally = ClickTally()
    tally.add([Impression("s", "tea", ("a",), 0, False, 0)], {"s": [Event("s", "other", EventKind.CLICK, 0)]})
    assert (tally.searches, tally.clicks, tally.elsewhere) == (1, 0, 1)


def test_nothing_is_learnt_from_nothing() -> None:
    assert ClickTally().fit().judgments() == []
