"""JSON: lines and lists, cut anywhere, damaged anywhere."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidFile
from nearfield.protocols.source import SourceRow
from nearfield.sources import json_file
from nearfield.sources.json_file import read_json


def read(data: bytes) -> list[SourceRow | Rejection]:
    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(data), 64 * 1024)
    return list(read_json(stream, "products.json"))


def seen(rows: list[SourceRow | Rejection]) -> list[tuple[int, Any]]:
    return [(row.line, dict(row.body) if isinstance(row, SourceRow) else row.code) for row in rows]


def test_lines_are_numbered_and_blank_ones_passed_over() -> None:
    assert seen(read(b'\xef\xbb\xbf{"id":1}\n\n  \r\n{"id":2}\r\n{"id":3}')) == [
        (1, {"id": 1}),
        (4, {"id": 2}),
        (5, {"id": 3}),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{oops", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"[1, 2]", "not a list"),
        (b'"text"', "not a string"),
        (b"null", "not null"),
        (b"12", "not a number"),
        (b"true", "not true or false"),
        (b'{"a":' * 2000, "not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_rejected_and_reading_goes_on(line: bytes, said: str) -> None:
    rows = read(b'{"id":1}\n' + line + b'\n{"id":3}\n')
    assert [row.line for row in rows] == [1, 2, 3]
    assert isinstance(rows[1], Rejection)
    assert said in rows[1].detail


def test_a_line_beyond_the_limit_is_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_DOCUMENT_BYTES", 100)
    monkeypatch.setattr(json_file, "CHUNK_BYTES", 64)
    rows = read(b'{"id":1}\n{"a":"' + b"x" * 1000 + b'"}\n{"id":3}\n')
    assert seen(rows) == [(1, {"id": 1}), (2, "too_large"), (3, {"id": 3})]


def test_an_object_over_several_lines_is_refused_with_the_fix() -> None:
    with pytest.raises(InvalidFile, match="jq -c"):
        read(b'\n{\n  "id": 1\n}\n')


def test_blank_lines_alone_are_an_empty_file() -> None:
    with pytest.raises(InvalidFile, match="empty"):
        read(b"\n \n\n")


def test_an_empty_list_has_no_rows() -> None:
    assert read(b" [ \n ] \n") == []


def test_list_elements_carry_their_line_and_fail_alone() -> None:
    data = b'[\n  {"id": 1,\n   "t": "a ] } , \\" b"},\n\n  {"id": 2]\n ,\n  7, {"id": 3}, \n]\n'
    assert seen(read(data)) == [
        (2, {"id": 1, "t": 'a ] } , " b'}),
        (5, "invalid_document"),
        (7, "invalid_document"),
        (7, {"id": 3}),
        (8, "invalid_document"),
    ]


def test_a_list_cut_short_is_told_after_its_whole_elements() -> None:
    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(b'[{"id": 1},\n{"id": 2'))
    rows = read_json(stream, "products.json")
    assert seen([next(rows)]) == [(1, {"id": 1})]
    with pytest.raises(InvalidFile, match="starts on line 2"):
        next(rows)


def test_text_after_the_list_is_refused() -> None:
    with pytest.raises(InvalidFile, match="after the list"):
        read(b'[{"id": 1}] [{"id": 2}]')


def test_an_element_beyond_the_limit_is_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_DOCUMENT_BYTES", 100)
    monkeypatch.setattr(json_file, "CHUNK_BYTES", 64)
    rows = read(b'[{"id":1},\n{"a":"' + b"x" * 1000 + b'"},\n\n{"id":3}]')
    assert seen(rows) == [(1, {"id": 1}), (2, "too_large"), (4, {"id": 3})]


TEXT = st.text(st.sampled_from('a"\\[]{},: \né🎧'), max_size=8)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
NESTED = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(TEXT, VALUES | st.lists(TEXT, max_size=2), max_size=3)
OBJECTS = st.lists(st.dictionaries(TEXT, NESTED, max_size=4), max_size=6)


@given(OBJECTS, st.integers(1, 20), st.sampled_from([None, 1]), st.booleans())
def test_a_list_is_read_the_same_wherever_its_chunks_end(
    objects: list[dict[str, Any]], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "CHUNK_BYTES", chunk)
        rows = read(json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode())
    assert [dict(row.body) for row in rows if isinstance(row, SourceRow)] == objects
    assert len(rows) == len(objects)


@given(OBJECTS.filter(bool))
def test_lines_are_read_back(objects: list[dict[str, Any]]) -> None:
    rows = read("\n".join(json.dumps(item) for item in objects).encode())
    assert [(row.line, dict(row.body)) for row in rows if isinstance(row, SourceRow)] == list(enumerate(objects, 1))


@given(st.binary(max_size=300), st.sampled_from([b"", b"[", b'[{"a":', b'{"a":1}\n']))
def test_any_bytes_end_in_rows_rejections_or_one_clear_refusal(data: bytes, start: bytes) -> None:
    try:
        rows = read(start + data)
    except InvalidFile as exc:
        assert "products.json" in str(exc)
        return
    assert all(isinstance(row, SourceRow | Rejection) for row in rows)
    assert [row.line for row in rows] == sorted(row.line for row in rows)
