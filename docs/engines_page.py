"""The page of all engines: what each claims, and which run of the suite against what shows it. Written by generate.py.

Read from the entry points this project declares, from the classes behind them, and from the record of runs; no vendor's
library is imported.
"""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.engine_runs import Run, letters, recorded
from nearfield.domain.schema import Quantization
from nearfield.testing.engine_claims import FILTERS, Statement, statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.protocols.engine import EngineCapabilities

PROJECT = Path(__file__).parents[1]
GROUP = "nearfield.engines"
HEADER = """# Engines

Where the vectors of a collection live. Start with `local` and move when there is a reason ([moves](howto/moves.md));
the program, the API and the answers stay the same. Every claim below is a promise that the conformance suite tests
both ways: what is claimed works, and what is not claimed is refused. [The same by capability](reference/engines.md).

"""

TESTED = """## Tested against

From the record of real runs, [engines_runs.json](engines_runs.json), in which servers were asked for their version.
`make record` runs every suite and writes it; `make check` fails where a claim has no test on record that passed, or
where the suite or the claims have changed since.
"""

SHOWN = """## Which run shows what

The letters are those of the runs above. *refused*: the engine does not claim it, and a run shows that it says so.
"""

INSTEAD = """
## What is done where an engine does not claim it

| not claimed | done instead |
| --- | --- |
| a filter | the documents in the store decide it: more candidates are fetched, or every document is looked at |
| full text | meaning alone decides a hybrid search, and its plan says so; a lexical search is refused |
| exact search | refused where it is asked for; filters that few documents pass are decided on the store |
| effort per query | refused |
| a metric, an index kind, a quantization | refused when the collection is made or moved |
| sorting, facets, groups, pages | always done on the store's documents, the same way over every engine |

The plan of each answer (`plan` in HTTP, `answer.plan` in Python) tells what was done.
"""


def engines_table_page() -> str:
    """The whole page, ending in a line feed."""
    kinds, runs = engines(), recorded()
    columns = ("engine", "runs", "index kinds", "quantization", "metrics", "full text", "exact", "effort", "durable")
    lines = [f"| {' | '.join(columns)} | filters |", "|" + " --- |" * 10]
    for name, kind in kinds.items():
        claims: EngineCapabilities = kind.capabilities
        cells = (
            f"`{name}`",
            " or ".join([*(["in the process"] * claims.embedded), *(["on a server"] * claims.remote)]),
            ", ".join(sorted(claims.kinds)),
            _quantization(claims),
            ", ".join(sorted(claims.metrics)),
            *("yes" if claimed else "no" for claimed in (claims.lexical, claims.exact, claims.effort, claims.durable)),
            _filters(claims),
        )
        lines.append("| " + " | ".join(cells) + " |")
    tested, shown = tested_table(kinds, runs), shown_table(kinds, runs)
    return "\n".join([HEADER.rstrip(), "", *lines, "", TESTED, *tested, "", SHOWN, *shown, INSTEAD])


def engines() -> dict[str, Any]:
    """The class of each engine this project declares, by name."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    found = {}
    for name in sorted(declared):
        module, _, attribute = declared[name].partition(":")
        found[name] = getattr(import_module(module), attribute)
    return found


def tested_table(kinds: Mapping[str, Any], runs: Sequence[Run]) -> list[str]:
    """A row a run: what an engine was tested against, and how much of the suite passed."""
    lines = ["| engine | run | conformance suite | tested against | passed | left out |", "|" + " --- |" * 6]
    for name in kinds:
        own = [run for run in runs if run.engine == name]
        for run, letter in zip(own, letters(own).values(), strict=True):
            suite = f"[{Path(run.file).name}](../{run.file})"
            why = "; ".join(sorted({*run.skipped.values()})) or "nothing"
            cells = (f"`{name}`", letter, suite, f"{run.against}, {run.place}", str(len(run.passed)), f"{why}")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def shown_table(kinds: Mapping[str, Any], runs: Sequence[Run]) -> list[str]:
    """A row a statement, a column an engine: by which runs a claim was shown, or that it is refused."""
    said = {name: {one.about: one for one in statements(kind.capabilities)} for name, kind in kinds.items()}
    rows = dict.fromkeys(about for of in said.values() for about in of)
    lines = [f"| claim | {' | '.join(f'`{name}`' for name in kinds)} |", "|" + " --- |" * (1 + len(kinds))]
    for about in rows:
        cells = [_shown(said[name].get(about), [run for run in runs if run.engine == name]) for name in kinds]
        lines.append(f"| {about} | {' | '.join(cells)} |")
    return lines


def _shown(statement: Statement | None, runs: Sequence[Run]) -> str:
    if statement is None:
        return ""
    named = letters(runs)
    by = ", ".join(named[run.suite] for run in runs if run.shows(statement)) or "**not shown**"
    if not statement.claimed and by != "**not shown**":
        return "refused"
    return f"{statement.value} ({by})" if statement.value else by


def _quantization(claims: EngineCapabilities) -> str:
    known = {coded for of in claims.quantizations.values() for coded in of} - {Quantization.NONE}
    return ", ".join(sorted(known)) or "none"


def _filters(claims: EngineCapabilities) -> str:
    lacking = [node.__name__ for node in FILTERS if node not in claims.filters]
    if not lacking:
        return "all"
    return "none" if len(lacking) == len(FILTERS) else f"all but {', '.join(lacking)}"
