"""Figures into docs/benchmarks.md: one section a benchmark, each with the commit and the machine it was made on."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Section:
    """name: stable, names the section. lead: what was done, in a sentence or two. rows: the table, header first."""

    name: str
    title: str
    command: str
    lead: str
    rows: Sequence[Sequence[str]]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (least to most)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def write(section: Section) -> str:
    """Print a section and put it in the page, in place of its older self. Returns the text."""
    text = _render(section)
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    block = f"<!-- {section.name} -->\n{text}<!-- /{section.name} -->\n"
    pattern = re.compile(rf"<!-- {section.name} -->\n.*?<!-- /{section.name} -->\n", re.DOTALL)
    page = pattern.sub(lambda _: block, page) if pattern.search(page) else f"{page.rstrip()}\n\n{block}"
    PAGE.write_text(page, encoding="utf-8")
    return text


def _render(section: Section) -> str:
    header, *body = section.rows
    table = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in body)]
    table_text = "\n".join(table)
    return (
        f"## {section.title}\n\n{section.lead}\n\n{table_text}\n\n"
        f"`{section.command}` at commit {commit()}; {machine()}.\n"
    )


def commit() -> str:
    """The commit checked out, short."""
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def machine() -> str:
    """Cores, processor, system and Python, as figures are told to hold for."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
        wide = any("avx512_bf16" in line for line in lines if line.startswith("flags"))
        model += " with bfloat16" if wide else ""
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"
