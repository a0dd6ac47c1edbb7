"""The record of the conformance suite's runs: what is kept of a run, and what is told where it shows too little."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from docs.engine_runs import recorded, wanting
from tests.engine_record import EngineRecord

from nearfield.testing.engine_claims import suite_tests
from nearfield.wiring import engine_capabilities

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "tests/unit/engines/test_exact.py::TestExactEngine"
EXACT = {"exact": engine_capabilities()["exact"]}


def report(name: str, outcome: Literal["passed", "failed", "skipped"] = "passed") -> pytest.TestReport:
    told = [("engine", "exact"), ("against", "itself 1.2"), ("place", "in the process")]
    why = ("file", 1, "Skipped: not here") if outcome == "skipped" else None
    return pytest.TestReport(f"{SUITE}::{name}", ("file", 1, name), {}, outcome, why, "call", user_properties=told)


def kept(path: Path, *reports: pytest.TestReport) -> dict[str, object]:
    record = EngineRecord(path)
    for one in reports:
        record.pytest_runtest_logreport(one)
    record.pytest_sessionfinish()
    held: dict[str, object] = json.loads(path.read_text())
    return held


def test_a_run_is_kept_where_it_was_whole_and_nothing_failed(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    first, *others = suite_tests()
    assert kept(path, *map(report, others)) == {}  # one was not run
    whole = kept(path, *map(report, others), report(first, "skipped"))
    assert list(whole) == [SUITE]
    assert kept(path, *map(report, others), report(first, "failed")) == whole
    (run,) = recorded(path)
    assert (run.against, run.place, run.file) == ("itself 1.2", "in the process", SUITE.partition("::")[0])
    assert run.passed == {*others}
    assert run.skipped == {first: "not here"}


def test_what_no_run_shows_is_told() -> None:
    runs = [run for run in recorded() if run.engine == "exact"]
    assert wanting(EXACT, runs) == []
    without = [replace(run, passed=run.passed - {"test_metric[dot]"}) for run in runs]
    assert wanting(EXACT, without) == ["engine exact: no test on record shows metric dot"]
    assert "no test on record shows metric cosine" in wanting(EXACT, [])[0]
    (claims,) = EXACT.values()
    assert "the engine's claims were another" in wanting({"exact": replace(claims, max_dimension=7)}, runs)[0]
    older = [replace(run, marks=("another", run.marks[1])) for run in runs]
    assert "the suite was another" in wanting(EXACT, older)[0]


def test_every_claim_is_shown_by_a_run_on_record() -> None:
    assert wanting(engine_capabilities(), recorded()) == []
