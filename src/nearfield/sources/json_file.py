"""JSON documents: one object per line, or one list of objects, read element by element."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidDocument, InvalidFile, TooLarge
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
BOM: Final = b"\xef\xbb\xbf"
_OUTSIDE_STRING = re.compile(rb'["\[\]{},]')
_INSIDE_STRING = re.compile(rb'["\\]')


def read_json(stream: io.BufferedReader, name: str) -> Iterator[SourceRow | Rejection]:
    """Rows of a file of JSON objects: a list when the first character is `[`, else one object per line.

    Blank lines are passed over. Rejected with the line where it starts: what is not JSON, not an object, not UTF-8, or
    longer than MAX_DOCUMENT_BYTES (it is never held in memory whole). Reading goes on after it.
    Raises InvalidFile for a list that is not closed, and for a file that is one object spread over lines.
    """
    if stream.peek().startswith(BOM):
        stream.read(len(BOM))
    if stream.peek().lstrip()[:1] == b"[":
        return _read_list(stream, name)
    return _read_lines(stream, name)


def _read_lines(stream: io.BufferedReader, name: str) -> Iterator[SourceRow | Rejection]:
    number, first = 0, True
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if len(line) > MAX_DOCUMENT_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(CHUNK_BYTES)
            yield _too_long(number)
            continue
        text = line.strip()
        if first and text == b"{":
            raise InvalidFile(
                f"file {name} holds an object spread over lines; expected one object per line, or a list of objects: "
                "`jq -c .` writes one object per line"
            )
        if text:
            first = False
            yield _row(number, text)
    if first:
        raise InvalidFile(f"file {name} is empty; expected one JSON object per line")


def _row(line: int, text: bytes) -> SourceRow | Rejection:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        return Rejection(line, InvalidDocument.code, f"not JSON: {exc.msg} (column {exc.colno})")
    if not isinstance(value, dict):
        return Rejection(line, InvalidDocument.code, f"expected a JSON object, not {_kind(value)}")
    return SourceRow(line, value)


def _too_long(line: int) -> Rejection:
    return Rejection(line, TooLarge.code, f"document is longer than {MAX_DOCUMENT_BYTES} bytes")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a number"


def _read_list(stream: io.BufferedReader, name: str) -> Iterator[SourceRow | Rejection]:
    first = True
    for line, text, last in _elements(stream, name):
        if text is None:
            yield _too_long(line)
        elif text:
            yield _row(line, text)
        elif not (first and last):
            yield Rejection(line, InvalidDocument.code, "nothing between two commas, or after the last one")
        first = False


def _elements(stream: io.BufferedReader, name: str) -> Iterator[tuple[int, bytes | None, bool]]:
    """Cut a list into its elements without parsing them, so that a bad one costs itself alone.

    Yields the line where an element starts, its text (None when too long), and whether it is the last.
    """
    element = _Element()
    depth, in_string, pos = 0, False, 0
    while chunk := stream.read(CHUNK_BYTES):
        start = 0
        while token := (_INSIDE_STRING if in_string else _OUTSIDE_STRING).search(chunk, pos):
            pos = token.end()
            mark = token.group()
            if mark == b'"':
                in_string = not in_string
            elif mark == b"\\":
                pos += 1  # what is escaped is passed over, in the next chunk if need be
            elif mark in b"[{":
                depth += 1
                if depth == 1:
                    element.pass_over(chunk[:pos])
                    start = pos
            elif mark in b"]}":
                depth -= 1
            if depth == 0 or (depth == 1 and mark == b","):
                element.add(chunk[start : pos - 1])
                yield (*element.taken(), depth == 0)
                start = pos
            if depth == 0:
                _expect_nothing(chunk[pos:], stream, name)
                return
        element.add(chunk[start:])
        pos = max(0, pos - len(chunk))
    raise InvalidFile(
        f"file {name} ends within the list, in the element that starts on line {element.line}; "
        "it was perhaps not copied to the end: fetch it again"
    )


class _Element:
    """The element being collected, and the line where it starts."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._too_long = False
        self._newlines = 0  # in all that was taken or passed over
        self.line = 1

    def pass_over(self, data: bytes) -> None:
        self._newlines += data.count(b"\n")
        self.line = self._newlines + 1

    def add(self, data: bytes) -> None:
        if not self._text and not self._too_long:
            text = data.lstrip()
            self.pass_over(data[: len(data) - len(text)])
            data = text
        self._newlines += data.count(b"\n")
        if self._too_long or len(self._text) + len(data) > MAX_DOCUMENT_BYTES:
            self._too_long = True
            self._text.clear()
        else:
            self._text += data

    def taken(self) -> tuple[int, bytes | None]:
        line, text = self.line, None if self._too_long else bytes(self._text).rstrip()
        self._text.clear()
        self._too_long = False
        self.line = self._newlines + 1
        return line, text


def _expect_nothing(rest: bytes, stream: io.BufferedReader, name: str) -> None:
    while not rest.strip():
        rest = stream.read(CHUNK_BYTES)
        if not rest:
            return
    raise InvalidFile(f"file {name} goes on after the list is closed; expected one list of objects")
