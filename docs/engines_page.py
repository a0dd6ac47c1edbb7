"""The page of all engines: what each claims, and what that was tested against. Written by generate.py.

Read from the entry points this project declares and from the classes behind them; no vendor's library is imported.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfield.domain import filters
from nearfield.domain.schema import Quantization

if TYPE_CHECKING:
    from nearfield.protocols.engine import EngineCapabilities

PROJECT = Path(__file__).parents[1]
GROUP = "nearfield.engines"
NODES = [
    node
    for node in vars(filters).values()
    if isinstance(node, type) and issubclass(node, filters.Filter) and node is not filters.Filter
]

HEADER = """# Engines

Where the vectors of a collection live. Start with `local` and move when there is a reason ([moves](howto/moves.md));
the program, the API and the answers stay the same. Every claim below is a promise that the conformance suite tests
both ways: what is claimed works, and what is not claimed is refused. [The same by capability](reference/engines.md).

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
    columns = ("engine", "runs", "index kinds", "quantization", "metrics", "full text", "exact", "effort", "durable")
    lines = [f"| {' | '.join(columns)} | filters |", "|" + " --- |" * 10]
    tested = ["| engine | conformance suite | tested against |", "| --- | --- | --- |"]
    for name, kind in engines().items():
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
        tested.append(f"| `{name}` | {suite_of(name)} | {tested_against(kind)} |")
    return "\n".join([HEADER.rstrip(), "", *lines, "", "## Tested against", "", *tested, INSTEAD])


def engines() -> dict[str, Any]:
    """The class of each engine this project declares, by name."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    found = {}
    for name in sorted(declared):
        module, _, attribute = declared[name].partition(":")
        found[name] = getattr(import_module(module), attribute)
    return found


def suite_of(name: str) -> str:
    """The file in which the conformance suite runs on an engine. Raises LookupError where there is none."""
    for path in sorted((PROJECT / "tests/unit/engines").glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if path.stem == f"test_{name.replace('-', '_')}" and re.search(r"^class \w+\(.*EngineSuite.*\):", text, re.M):
            return f"[{path.name}](../{path.relative_to(PROJECT).as_posix()})"
    raise LookupError(f"no conformance suite runs on engine {name}")


def tested_against(kind: type) -> str:
    """What the class says of it: the sentence that begins with "Tested". Raises LookupError where it says nothing."""
    told = " ".join((inspect.getdoc(kind) or "").split())
    begin = re.search(r"\btested (?:against|on|as|with) ", told, re.IGNORECASE)
    if begin is None:
        raise LookupError(f"{kind.__name__} does not say what it was tested against")
    sentence = re.split(r"(?<=[a-z)0-9])\.(?= |$)", told[begin.end() :])[0]
    return sentence.replace("|", "\\|").rstrip(".")


def _quantization(claims: EngineCapabilities) -> str:
    known = {coded for of in claims.quantizations.values() for coded in of} - {Quantization.NONE}
    return ", ".join(sorted(known)) or "none"


def _filters(claims: EngineCapabilities) -> str:
    lacking = [node.__name__ for node in NODES if node not in claims.filters]
    if not lacking:
        return "all"
    return "none" if len(lacking) == len(NODES) else f"all but {', '.join(lacking)}"
