"""`python -m benchmarks [NAME...]`: all but the longest when none is named."""

from __future__ import annotations

import argparse

from benchmarks import filtered, imports, latency
from benchmarks.report import write

BENCHMARKS = {"imports": imports.run, "imports-whole": imports.whole, "filtered": filtered.run, "latency": latency.run}

LONG = frozenset({"imports-whole"})
"""Run only when named."""


def main() -> None:
    """Run, print, and write docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="measure Nearfield beside its bare parts")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}")
    parser.add_argument("--rows", type=int, default=100_000, help="listings in the collection searched (default all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison")
    asked = parser.parse_args()
    for name in asked.names or [name for name in BENCHMARKS if name not in LONG]:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name}; there are {', '.join(BENCHMARKS)}")
        print(write(BENCHMARKS[name](rows=asked.rows, rounds=asked.rounds)), flush=True)


if __name__ == "__main__":
    main()
