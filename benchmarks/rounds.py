"""Rounds that can be interrupted: what each unit of a round measured is kept in a file until all are put together."""

from __future__ import annotations

import statistics
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.listings import PROJECT
from benchmarks.report import commit, spread

Figures = Mapping[str, float]
"""What a unit measured, by name: `semantic@32.rate`. Every round of a unit has the same names."""
FOLDER = PROJECT / "build" / "bench" / "rounds"


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of some units, in files under one folder.

    ours: the units that measure this checkout's own code. Theirs count only while that is what it was; a contender's
    stay until the folder is emptied.
    """

    folder: Path
    ours: frozenset[str]

    def missing(self, units: Mapping[str, object], rounds: int) -> list[tuple[str, int]]:
        """What is still to be measured, round by round, so that the units take turns."""
        return [(unit, turn) for turn in range(1, rounds + 1) for unit in units if not self._counts(unit, turn)]

    def measure(self, unit: str, turn: int, act: Callable[[], Figures], **beside: float) -> Figures:
        """Measure a unit once and keep it, with what else is known of this round."""
        figures = {**act(), **beside}
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._file(unit, turn).with_suffix(".unfinished")
        unfinished.write_bytes(orjson.dumps({"source": source(), "commit": commit(), "figures": figures}))
        unfinished.replace(self._file(unit, turn))
        return figures

    def figures(self, unit: str, rounds: int) -> Measured:
        """The rounds there are of a unit."""
        kept: dict[str, list[float]] = defaultdict(list)
        for turn in range(1, rounds + 1):
            if self._counts(unit, turn):
                for name, value in orjson.loads(self._file(unit, turn).read_bytes())["figures"].items():
                    kept[name].append(value)
        return Measured(dict(kept))

    def _counts(self, unit: str, turn: int) -> bool:
        file = self._file(unit, turn)
        return file.exists() and (unit not in self.ours or orjson.loads(file.read_bytes())["source"] == source())

    def _file(self, unit: str, turn: int) -> Path:
        return self.folder / f"{unit}-{turn}.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of each figure of a unit, one a round, in the rounds' order."""

    values: Mapping[str, list[float]]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def median(self, name: str) -> float:
        """Raises KeyError for a figure that was not measured."""
        return statistics.median(self.values[name])

    def told(self, name: str, digits: int = 1, *, scale: float = 1.0) -> str:
        """`median (least to most)`, a dash where the figure was not measured."""
        return spread([value * scale for value in self.values[name]], digits) if name in self.values else "–"  # noqa: RUF001 - a dash


def source() -> str:
    """The tree of `src/`, which changes when any of our code does; uncommitted changes count as another."""
    tree = _git("rev-parse", "HEAD:src")
    return f"{tree}{'+' if _git('status', '--porcelain', '--', 'src') else ''}"


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    return run.stdout.strip()
