"""What goes where: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

NARROW: Final = 24  # characters
PIPED_WIDTH: Final = 160  # columns, where nobody says how wide the other end is


class Terminal:
    """as_json: standard output carries JSON and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def say(self, message: str) -> None:
        """A message for people, on standard error."""
        self.err.print(Text(printable(message)), soft_wrap=True)

    def show(self, result: RenderableType) -> None:
        """A result for people, on standard output; not called where JSON was asked for."""
        self._out.print(result, soft_wrap=isinstance(result, Text))

    def give(self, result: Any) -> None:
        """A result for programs: one JSON value, indented where a person reads it. Dataclasses are objects."""
        write_json(sys.stdout, result, indent=sys.stdout.isatty())


def _console(stream: TextIO) -> Console:
    wide = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(file=stream, highlight=False, width=wide)


def write_json(stream: TextIO, value: Any, *, indent: bool = False) -> None:
    """One JSON value and a line feed, as UTF-8 whatever the locale says."""
    stream.flush()
    stream.buffer.write(json_bytes(value, indent=indent))
    stream.buffer.flush()


def json_bytes(value: Any, *, indent: bool = False) -> bytes:
    """JSON as UTF-8, ending in a line feed. Dataclasses and mappings are objects, sets are sorted lists."""
    option = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=_plain, option=option)


def _plain(value: object) -> Any:
    match value:
        case frozenset() | set():
            return sorted(value)
        case Mapping():
            return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table of plain values. Narrow columns keep their width, wide ones are wrapped into what is left.

    numbers: columns set to the right.
    """
    cells = [[cell(value) for value in row] for row in rows]
    made = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        widest = max((len(row[number]) for row in cells), default=0)
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            no_wrap=widest <= NARROW,
            overflow="ellipsis" if widest <= NARROW else "fold",
        )
    for row in cells:
        made.add_row(*map(Text, row))
    return made


def cell(value: object) -> str:
    """A value as people read it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case list() | tuple():
            return ", ".join(cell(item) for item in value)
        case _:
            return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Without control characters: a document must not be able to steer the terminal that shows it."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def size(count: float) -> str:
    """Bytes as people read them: `12.3 MB`, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as people read them: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
