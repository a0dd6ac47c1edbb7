"""Keeps docs/engines_runs.json, the record of the conformance suite's runs, from the outcomes of a run of tests.

    python -m pytest --record-engines -m "" tests/unit/engines/test_faiss.py

One entry per class of tests: what it ran against, and which of the suite's tests passed. An entry is replaced where
its class has run whole and nothing failed; nothing in it tells when or where.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfield.testing.engine_claims import mark_of, suite_mark, suite_tests
from nearfield.wiring import engine_capabilities

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass(slots=True)
class Run:
    """One class of tests. told: what its fixtures said. passed, failed: names of tests. skipped: why, by name."""

    told: dict[str, Any] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether each of the suite's tests ran or said why not."""
        seen = {name.partition("[")[0] for name in (*self.passed, *self.skipped)}
        return bool(self.passed) and not self.failed and seen >= {*suite_tests()}


class EngineRecord:
    """A plugin of pytest; `Run`s by the id of their class."""

    def __init__(self, path: Path) -> None:
        """path: of the record, which need not exist."""
        self._path = path
        self._runs: dict[str, Run] = defaultdict(Run)
        self._said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        suite, _, name = report.nodeid.rpartition("::")
        if "::" not in suite:
            return
        run = self._runs[suite]
        run.told |= dict(report.user_properties)
        if report.failed:
            run.failed.add(name)
        elif report.skipped:
            run.skipped[name] = _reason(report)
        elif report.when == "call":
            run.passed.add(name)

    def pytest_sessionfinish(self) -> None:
        held = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        claims, own = engine_capabilities(), {*suite_tests()}
        for suite, run in sorted(self._runs.items()):
            engine = run.told.get("engine")
            if engine not in claims or run.told.get("against") is None:
                continue
            if not run.whole:
                self._said.append(f"left as it was: {suite} (failed: {sorted(run.failed)[:3]}, or not run whole)")
                continue
            held[suite] = {
                "engine": engine,
                "against": run.told["against"],
                "place": run.told["place"],
                "suite": suite_mark(),
                "claims": mark_of(claims[engine]),
                "passed": sorted(name for name in run.passed if name.partition("[")[0] in own),
                "skipped": {name: run.skipped[name] for name in sorted(run.skipped) if name.partition("[")[0] in own},
            }
            self._said.append(f"recorded: {suite} against {run.told['against']}")
        kept = {suite: held[suite] for suite in sorted(held)}
        self._path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self._said:
            terminalreporter.write_line(line)


def _reason(report: pytest.TestReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
