"""`make bench-quick`: Nearfield in proportion to its own floors, beside what was recorded on such a machine.

Two minutes. A ratio to a floor measured in the same minute hardly knows how fast the machine is. Nothing fails here:
what is printed is for a person to judge. `--record` keeps the figures as the recorded ones, to be committed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks import imports
from benchmarks.contenders.nearfield import Nearfield
from benchmarks.contest import MAX_PRICE
from benchmarks.floors import AT_ONCE, pipeline, route, settle
from benchmarks.listings import listings, queries
from benchmarks.report import commit, machine
from benchmarks.rounds import Figures
from benchmarks.server import stop_on_sigterm
from benchmarks.shop import data_dir, open_shop
from nearfield.domain.plans import Mode

RECORDED = Path(__file__).with_name("recorded.json")
ROWS = 3_000
IMPORTED = 1_000
ROUNDS = 3
SECONDS = 2.0
PER_POINT = 5_000  # queries given to one load
REPEATED = 96
SLACK = 0.1  # by which a ratio may leave the recorded range before it is called another

Ratios = Mapping[str, list[float]]
"""By name, one value a round. More is better in all of them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One ratio now and as it was recorded; recorded: least, median, most, None where it never was."""

    name: str
    now: float
    recorded: tuple[float, float, float] | None

    @property
    def verdict(self) -> str:
        if self.recorded is None:
            return "not recorded"
        least, _, most = self.recorded
        if self.now < least * (1 - SLACK):
            return "WORSE"
        return "better" if self.now > most * (1 + SLACK) else "as recorded"

    def line(self) -> str:
        """For a person."""
        was = "" if self.recorded is None else "{1:.2f} ({0:.2f} to {2:.2f})".format(*self.recorded)
        return f"{self.name:<56} {self.now:>7.2f}   {was:<22} {self.verdict}"


def compare(ratios: Ratios, recorded: Mapping[str, list[float]]) -> list[Compared]:
    """The medians of some rounds beside what was recorded."""
    return [
        Compared(name, statistics.median(values), _three(recorded[name]) if name in recorded else None)
        for name, values in ratios.items()
    ]


def _three(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def measure(rounds: int = ROUNDS) -> Ratios:
    """Measure all ratios, some rounds of them."""
    uvloop.run(_fill())
    ratios: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds):
        words = iter(queries(PER_POINT * 8))
        for name, value in _round(turn, words).items():
            ratios[name].append(value)
    return ratios


def _round(turn: int, words: Iterator[str]) -> Figures:
    documents = listings(IMPORTED, skip=turn * IMPORTED)
    ratios = {"import: of the bare embedder's documents/s": imports.embed(documents) / imports.take_in(documents)}
    inside = uvloop.run(_inside(words))
    over, repeated = _served(words)
    for mode in Nearfield.modes:
        alone, together = f"{mode}@1.p50_ms", f"{mode}@{AT_ONCE}.rate"
        ratios[f"{mode}, one client: in-process p50 / p50 over HTTP"] = inside[f"inside.{alone}"] / over[alone]
        ratios[f"{mode}, {AT_ONCE} clients: of the searches/s in process"] = (
            over[together] / inside[f"inside.{together}"]
        )
    ratios[f"repeated, {AT_ONCE} clients: of an empty route's requests/s"] = (
        repeated / route((AT_ONCE,))[f"route@{AT_ONCE}.rate"]
    )
    return ratios


async def _fill() -> None:
    await (await open_shop(ROWS)).close()


async def _inside(words: Iterator[str]) -> Figures:
    backend, figures = await open_shop(ROWS), dict[str, float]()
    try:
        await settle(backend)
        for mode in (Mode.SEMANTIC, Mode.HYBRID):
            for tasks in (1, AT_ONCE):
                figures.update(await pipeline(backend, words, mode, tasks=tasks, seconds=SECONDS))
    finally:
        await backend.close()
    return figures


def _served(words: Iterator[str]) -> tuple[Figures, float]:
    """What comes over HTTP, and how many repeated searches a second."""
    contender, figures = Nearfield(), dict[str, float]()
    contender.start(data_dir(ROWS))
    try:
        contender.wait(next(words))
        ask: dict[str, Any] = {"max_price": MAX_PRICE, "seconds": SECONDS}
        for mode in contender.modes:
            for clients in (1, AT_ONCE):
                asked = [next(words) for _ in range(PER_POINT)]
                load = contender.searches(asked, mode=mode, clients=clients, **ask)
                figures |= {f"{mode}@{clients}.rate": load.rate, f"{mode}@{clients}.p50_ms": load.p50_ms}
        few = [next(words) for _ in range(REPEATED)]
        repeated = contender.searches(few, mode=contender.modes[0], clients=AT_ONCE, **ask)
    finally:
        contender.stop()
    return figures, repeated.rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description="Nearfield beside its own floors")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RECORDED.name}")
    asked = parser.parse_args()
    stop_on_sigterm()
    started, kept = time.perf_counter(), orjson.loads(RECORDED.read_bytes()) if RECORDED.exists() else {}
    ratios = measure(asked.rounds)
    recorded = kept.get(machine(), {"commit": "", "ratios": {}})
    print(f"{machine()}: commit {commit()} beside {recorded['commit'] or 'nothing'}; more is better", flush=True)
    for each in compare(ratios, recorded["ratios"]):
        print(each.line())
    print(f"{asked.rounds} rounds in {time.perf_counter() - started:.0f} s")
    if asked.record:
        rounded = {name: [round(value, 4) for value in values] for name, values in ratios.items()}
        kept[machine()] = {"commit": commit(), "ratios": rounded}
        RECORDED.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


if __name__ == "__main__":
    main()
