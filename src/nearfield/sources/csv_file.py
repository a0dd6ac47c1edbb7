"""CSV with any of four delimiters: one row wrong is one row rejected, whatever is wrong with it."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from typing import TYPE_CHECKING, Final

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidDocument, InvalidFile, TooLarge
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

MAX_ROW_LENGTH: Final = 16 * 1024 * 1024  # characters
DELIMITERS: Final = ",;\t|"
SNIFFED_ROWS: Final = 50
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_csv(stream: io.BufferedReader, name: str, *, delimiter: str | None = None) -> Iterator[SourceRow | Rejection]:
    """Rows of a CSV file whose first row names the columns; blank lines are passed over, names are stripped.

    delimiter: one of DELIMITERS; None finds the one that cuts the first rows most evenly.
    Rejected, with the line where it starts: a row with too many or too few cells, with bytes that are not UTF-8, with a
    quote that is never closed, or longer than MAX_ROW_LENGTH. Reading goes on with the next line.
    Raises InvalidFile for a header that is missing, holds an empty or doubled name, or is not UTF-8.
    """
    head = stream.peek()
    if head.startswith(_UTF16_MARKS):
        raise InvalidFile(f"file {name} is UTF-16; expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8")
    # A field as long as a row may be must pass; the limit is the interpreter's, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_LENGTH + 1))
    # surrogateescape: a bad byte becomes one character that no valid text holds, and is found in its own row later
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        lines = _Lines(text)
        cells = csv.reader(lines, delimiter=delimiter or sniff_delimiter(head))
        names = _header(cells, lines, name)
        yield from _rows(cells, lines, names)
    finally:
        text.detach()  # the stream is the caller's to close


def sniff_delimiter(head: bytes) -> str:
    """The delimiter that cuts most of the first rows into as many cells as the header; then the one that cuts more.

    head: the start of the file; a row that it cuts off is not counted. A comma when nothing cuts.
    """
    sample = head.decode("utf-8-sig", errors="replace")
    found, best = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        rows = []
        try:
            for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
                if row:
                    rows.append(len(row))
                if len(rows) > SNIFFED_ROWS:
                    break
        except csv.Error:
            continue
        if len(rows) > 2:
            rows.pop()
        if rows and rows[0] > 1:
            even = sum(width == rows[0] for width in rows) / len(rows)
            if (even, rows[0]) > best:
                found, best = delimiter, (even, rows[0])
    return found


class _Broken(Exception):
    """The row being read cannot be ended."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.rejection = (code, detail)


class _Lines:
    """The lines csv reads, counted. Those of the row being read are kept, so that a quote that is never closed
    costs one row, not the rest of the file: reading starts again at the line after it.

    Going back is linear in all: a line that leaves quotes open when it starts a row closes them when it is within one.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._length = 0
        self.row: list[str] = []
        self.start = 1

    def begin_row(self) -> None:
        self.start += len(self.row)
        self.row.clear()
        self._length = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(MAX_ROW_LENGTH + 1)
        if not line:
            if not self.row:
                raise StopIteration
            self._go_back()
            raise _Broken(InvalidDocument.code, "a quote opened in this row is never closed")
        self._length += len(line)
        self.row.append(line)
        if self._length > MAX_ROW_LENGTH:
            if len(self.row) == 1:
                self._skip_rest_of_line(line)
                raise _Broken(TooLarge.code, f"row is longer than {MAX_ROW_LENGTH} characters")
            self._go_back()
            raise _Broken(
                TooLarge.code, f"row is longer than {MAX_ROW_LENGTH} characters; perhaps a quote is never closed"
            )
        return line

    def _go_back(self) -> None:
        self._again.extendleft(reversed(self.row[1:]))
        del self.row[1:]

    def _skip_rest_of_line(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(MAX_ROW_LENGTH)


def _header(cells: Iterator[list[str]], lines: _Lines, name: str) -> list[str]:
    try:
        for row in cells:
            if not row:
                lines.begin_row()
                continue
            names = [cell.strip() for cell in row]
            if any(_UNDECODABLE.search(column) for column in names):
                raise InvalidFile(f"file {name}: the header is not UTF-8; convert the file with iconv -t UTF-8")
            if "" in names:
                raise InvalidFile(
                    f"file {name}: column {names.index('') + 1} of the header has no name; name every column"
                )
            doubled = next((column for i, column in enumerate(names) if column in names[:i]), None)
            if doubled is not None:
                raise InvalidFile(f"file {name}: the header names {doubled!r} twice; give each column its own name")
            return names
    except (_Broken, csv.Error) as exc:
        raise InvalidFile(f"file {name}: the header cannot be read: {exc}") from exc
    raise InvalidFile(f"file {name} is empty; expected a header that names the columns")


def _rows(cells: Iterator[list[str]], lines: _Lines, names: list[str]) -> Iterator[SourceRow | Rejection]:
    while True:
        lines.begin_row()
        try:
            row = next(cells)
        except StopIteration:
            return
        except _Broken as exc:
            yield Rejection(lines.start, *exc.rejection)
        except csv.Error as exc:
            yield Rejection(lines.start, InvalidDocument.code, f"row is not CSV: {exc}")
        else:
            if row:
                yield _row(row, lines, names)


def _row(row: list[str], lines: _Lines, names: list[str]) -> SourceRow | Rejection:
    if any(not line.isascii() and _UNDECODABLE.search(line) for line in lines.row):
        return Rejection(lines.start, InvalidDocument.code, "row holds bytes that are not UTF-8")
    if len(row) != len(names):
        return Rejection(
            lines.start,
            InvalidDocument.code,
            f"row has {_count(len(row), 'cell')}, the header names {_count(len(names), 'column')}; "
            "a cell that holds the delimiter needs quotes",
        )
    return SourceRow(lines.start, dict(zip(names, row, strict=True)), textual=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
