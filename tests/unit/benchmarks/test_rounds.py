"""Rounds that are kept, and figures put together from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import rounds
from benchmarks.goals import Goal
from benchmarks.quick import Compared, compare
from benchmarks.report import percentile, spread
from benchmarks.rounds import Measured, Rounds

UNITS = {"theirs": None, "ours": None}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    monkeypatch.setattr(rounds, "source", lambda: "tree 1")
    return Rounds(tmp_path / "rounds", ours=frozenset({"ours"}))


def test_units_take_turns_and_go_on_where_they_were(kept: Rounds) -> None:
    assert kept.missing(UNITS, 2) == [("theirs", 1), ("ours", 1), ("theirs", 2), ("ours", 2)]

    kept.measure("theirs", 1, lambda: {"rate": 3.0})

    assert kept.missing(UNITS, 2) == [("ours", 1), ("theirs", 2), ("ours", 2)]


def test_our_rounds_count_while_our_code_is_what_it_was(kept: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    for unit in UNITS:
        kept.measure(unit, 1, lambda: {"rate": 3.0})
    monkeypatch.setattr(rounds, "source", lambda: "tree 2")

    assert kept.missing(UNITS, 1) == [("ours", 1)]
    assert "rate" in kept.figures("theirs", 1)
    assert "rate" not in kept.figures("ours", 1)


def test_a_round_that_failed_leaves_nothing(kept: Rounds) -> None:
    def fail() -> dict[str, float]:
        raise RuntimeError("the server ended")

    with pytest.raises(RuntimeError):
        kept.measure("ours", 1, fail)

    assert ("ours", 1) in kept.missing(UNITS, 1)


def test_medians_come_with_least_and_most(kept: Rounds) -> None:
    for turn, rate in enumerate((40.0, 51.0, 43.0), start=1):
        kept.measure("theirs", turn, dict, rate=rate)

    figures = kept.figures("theirs", 3)

    assert figures.median("rate") == 43.0
    assert figures.told("rate") == "43.0 (40.0 to 51.0)"
    assert figures.told("rate", 2, scale=0.1) == "4.30 (4.00 to 5.10)"
    assert figures.told("never measured") == "–"  # noqa: RUF001 - a dash


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (51.0, 100.0, 100.0)
    assert spread([2.0], 0) == "2 (2 to 2)"


@pytest.mark.parametrize(
    ("now", "verdict"), [(0.60, "WORSE"), (0.64, "as recorded"), (0.85, "as recorded"), (0.95, "better")]
)
def test_a_ratio_is_judged_by_the_range_recorded(now: float, verdict: str) -> None:
    assert Compared("hybrid", now, (0.7, 0.75, 0.8)).verdict == verdict


def test_ratios_never_recorded_are_said_to_be() -> None:
    hybrid, imports = compare({"hybrid": [0.5, 0.9, 0.7], "import": [0.8]}, {"hybrid": [0.6, 0.8, 0.7]})

    assert (hybrid.now, hybrid.recorded, hybrid.verdict) == (0.7, (0.6, 0.7, 0.8), "as recorded")
    assert "0.70 (0.60 to 0.80)" in hybrid.line()
    assert imports.verdict == "not recorded"


def test_a_goal_may_be_a_ceiling() -> None:
    assert Goal("searches/s", 16.0, 15.0).row() == ["searches/s", "≥ 15.00", "16.00", "yes"]
    assert Goal("p99 ms", 151.0, 150.0, most=True, digits=0).row() == ["p99 ms", "≤ 150", "151", "no"]


def test_a_measured_figure_is_named() -> None:
    with pytest.raises(KeyError, match="rate"):
        Measured({}).median("rate")
