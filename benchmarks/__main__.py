"""`python -m benchmarks [NAME...]`: all but the longest when none is named."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import comparison, filtered, imports, latency, million, moving_round, path
from benchmarks.report import Section, write
from benchmarks.server import stop_on_sigterm

BENCHMARKS: dict[str, Callable[..., Section]] = {
    "imports": imports.run,
    "imports-whole": imports.whole,
    "filtered": filtered.run,
    "latency": latency.run,
    "path": path.run,
    "million": million.run,
    "moving-round": moving_round.run,
    "moving-model": moving_round.other_model,
}
COMPARISON = "comparison"
MINUTES = {
    "imports": 4,
    "filtered": 2,
    "latency": 2,
    "path": 1,
    COMPARISON: 27,
    "imports-whole": 12,
    "million": 90,
    "moving-round": 60,
    "moving-model": 15,
}
"""On two cores, five rounds, once everything is installed and the listings are taken in (some 6 minutes more)."""

LONG = frozenset({"imports-whole", "million", "moving-round", "moving-model"})
"""Run only when named."""


def main() -> None:
    """Run, print, and write docs/benchmarks.md."""
    known = [*BENCHMARKS, COMPARISON]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="measure Nearfield, its parts, and others"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(known)}")
    parser.add_argument("--rows", type=int, default=100_000, help="listings in the collection searched (default all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--most", type=int, help="of the comparison: measure so many units now and keep them")
    asked = parser.parse_args()
    stop_on_sigterm()
    names = asked.names or [name for name in known if name not in LONG]
    for name in names:
        if name not in known:
            parser.error(f"no benchmark {name}; there are {', '.join(known)}")
    print(f"{', '.join(f'{name} {MINUTES[name]}' for name in names)}: minutes, about", flush=True)
    for name in names:
        if name == COMPARISON:
            sections = comparison.run(rows=asked.rows, rounds=asked.rounds, most=asked.most)
        else:
            sections = [BENCHMARKS[name](rows=asked.rows, rounds=asked.rounds)]
        for section in sections:
            print(write(section), flush=True)


if __name__ == "__main__":
    main()
