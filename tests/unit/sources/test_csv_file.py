"""CSV: dialects, hostile cells, and rows that are wrong in every way."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidFile
from nearfield.protocols.source import SourceRow
from nearfield.sources import csv_file
from nearfield.sources.csv_file import read_csv, sniff_delimiter

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(data: bytes, *, delimiter: str | None = None) -> list[SourceRow | Rejection]:
    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(data), 64 * 1024)
    return list(read_csv(stream, "products.csv", delimiter=delimiter))


def bodies(rows: Iterable[SourceRow | Rejection]) -> list[dict[str, str]]:
    return [dict(row.body) for row in rows if isinstance(row, SourceRow)]


def rejected(rows: Iterable[SourceRow | Rejection]) -> dict[int, str]:
    return {row.line: row.detail for row in rows if isinstance(row, Rejection)}


def test_rows_carry_the_line_where_they_start() -> None:
    rows = read(b'id,text\n1,"two\nlines"\n\n2,one\n')
    assert [(row.line, dict(row.body)) for row in rows if isinstance(row, SourceRow)] == [
        (2, {"id": "1", "text": "two\nlines"}),
        (5, {"id": "2", "text": "one"}),
    ]
    assert all(row.textual for row in rows if isinstance(row, SourceRow))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    table = [["id", "name", "note"], ["1", "a,b; c", "x|y\tz"], ["2", "plain", ""]]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(table)
    assert bodies(read(out.getvalue().encode())) == [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def test_one_column_is_read_by_commas() -> None:
    assert sniff_delimiter(b"name\nred shoes\nblue shoes\n") == ","


def test_a_row_cut_off_by_the_sample_does_not_count() -> None:
    assert sniff_delimiter(b"a;b,c;d\n1;2,3;4\n1;2,3;4\n1;2") == ";"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_is_read(ending: bytes) -> None:
    assert bodies(read(ending.join([b"id,name", b"1,a", b"2,b"]))) == [
        {"id": "1", "name": "a"},
        {"id": "2", "name": "b"},
    ]


def test_a_byte_order_mark_and_blanks_around_names_are_taken_off() -> None:
    assert bodies(read(b"\xef\xbb\xbfid, name \n1, a\n")) == [{"id": "1", "name": " a"}]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"id,name,id\n1,2,3\n", "'id' twice"),
        (b",name\n1,2\n", "column 1 of the header has no name"),
        (b"\n\n", "is empty"),
        (b"id,n\xe9e\n1,2\n", "not UTF-8"),
        (b'id,"name\n1,2\n', "never closed"),
        ("id,name\n1,a\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidFile, match=said):
        read(data)


def test_wrong_rows_are_rejected_one_by_one() -> None:
    rows = read(b"id,name\n1,a\n2\n3,c,d\n4,caf\xe9\n5,e\n")
    assert [body["id"] for body in bodies(rows)] == ["1", "5"]
    assert list(rejected(rows)) == [3, 4, 5]
    assert "1 cell, the header names 2 columns" in rejected(rows)[3]
    assert "3 cells" in rejected(rows)[4]
    assert "not UTF-8" in rejected(rows)[5]


def test_a_quote_never_closed_costs_one_row() -> None:
    rows = read(b'id,name\n1,"open\n2,b\n3,c\n')
    assert [body["id"] for body in bodies(rows)] == ["2", "3"]
    assert rejected(rows) == {2: "a quote opened in this row is never closed"}


def test_rows_longer_than_the_limit_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROW_LENGTH", 50)
    longest = b"2," + b"x" * 47 + b"\n"
    rows = read(b"id,name\n1," + b"x" * 500 + b"\n" + longest + b'3,"open\n' + b"4,d\n" * 30)
    assert [body["id"] for body in bodies(rows)] == ["2"] + ["4"] * 30
    assert list(rejected(rows)) == [2, 4]
    assert {row.code for row in rows if isinstance(row, Rejection)} == {"too_large"}


def test_a_cell_of_a_megabyte_is_read() -> None:
    assert bodies(read(b"id,name\n1," + b"x" * 1_000_000 + b"\n")) == [{"id": "1", "name": "x" * 1_000_000}]


CELLS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"', '""', "\n", "\r", "\r\n", "\x00", "\\", "',;|\t", "🎧", "\ufeff", "=1+1", "\u2028", " "]
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str, ending: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    back = read(out.getvalue().encode(), delimiter=delimiter)
    assert bodies(back) == [{"a": a, "b": b} for a, b in rows]


@given(st.binary(max_size=400), st.integers(min_value=1, max_value=40))
def test_any_bytes_end_in_rows_rejections_or_one_clear_refusal(data: bytes, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "MAX_ROW_LENGTH", limit + 10)
        try:
            rows = read(b"a,b\n" + data)
        except InvalidFile as exc:
            assert "products.csv" in str(exc)
            return
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines)), "each row starts on a line of its own, in order"
    text = (b"a,b\n" + data).decode("utf-8", "surrogateescape")
    assert not lines or lines[-1] <= len(io.StringIO(text, newline="").readlines())
