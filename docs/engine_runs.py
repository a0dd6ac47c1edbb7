"""The record of the conformance suite's runs, and what of an engine's statements it shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearfield.testing.engine_claims import Statement, mark_of, statements, suite_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearfield.protocols.engine import EngineCapabilities

TOLD = 5
RECORD = Path(__file__).parent / "engines_runs.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One class of tests that ran whole. suite: its id. against: what it ran on. place: where that is.

    marks: of the suite and of the claims it was held against. skipped: why, by test.
    """

    suite: str
    engine: str
    against: str
    place: str
    marks: tuple[str, str]
    passed: frozenset[str]
    skipped: Mapping[str, str]

    @property
    def file(self) -> str:
        return self.suite.partition("::")[0]

    def shows(self, statement: Statement) -> bool:
        """Whether each of the statement's tests passed, where it has to."""
        return self.passed >= {*statement.tests} and statement.place in ("", self.place)


def recorded(path: Path = RECORD) -> list[Run]:
    """Every run on record, those in the process first."""
    held = json.loads(path.read_text(encoding="utf-8"))
    found = [
        Run(
            suite,
            one["engine"],
            one["against"],
            one["place"],
            (one["suite"], one["claims"]),
            frozenset(one["passed"]),
            one["skipped"],
        )
        for suite, one in held.items()
    ]
    return sorted(found, key=lambda run: (run.place, run.suite))


def wanting(engines: Mapping[str, EngineCapabilities], runs: Sequence[Run]) -> list[str]:
    """What the record does not show of what engines say, in words; empty where it shows all of it."""
    told = []
    for name, capabilities in engines.items():
        own = [run for run in runs if run.engine == name]
        now = (suite_mark(), mark_of(capabilities))
        stale = [run for run in own if run.marks != now]
        told += [f"{run.suite} ran when {_what(run.marks, now)} another: run it again" for run in stale]
        unshown = [one.about for one in statements(capabilities) if not any(run.shows(one) for run in own)]
        if unshown:
            more = f", and {len(unshown) - TOLD} more" if len(unshown) > TOLD else ""
            told.append(f"engine {name}: no test on record shows {'; '.join(unshown[:TOLD])}{more}")
    return told


def _what(then: tuple[str, str], now: tuple[str, str]) -> str:
    return "the suite was" if then[0] != now[0] else "the engine's claims were"


def letters(runs: Iterable[Run]) -> dict[str, str]:
    """A letter for each run of an engine, by its suite."""
    return {run.suite: chr(ord("a") + place) for place, run in enumerate(runs)}
