"""Opening: formats told by name, by content, packed or not; and files that are no files."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.errors import InvalidFile
from nearfield.protocols.source import SourceRow
from nearfield.sources.ahead import Ahead
from nearfield.sources.files import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.protocols.source import Source

CSV = b"id,name\n1,a\n2,b\n"
LINES = b'{"id":"1","name":"a"}\n{"id":"2","name":"b"}\n'
LIST = b'[{"id":"1","name":"a"},{"id":"2","name":"b"}]'
BOTH = [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]


def bodies(source: Source) -> list[dict[str, Any]]:
    return [dict(row.body) for row in source.rows() if isinstance(row, SourceRow)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("a.TSV", CSV.replace(b",", b"\t")),
        ("a.tab", b"id\tname\n1\ta\n2\tb\n"),
        ("a.jsonl", LINES),
        ("a.ndjson", LINES),
        ("a.json", LINES),
        ("a.json", LIST),
        ("a.b.csv", CSV),
        ("dump.gz", LINES),
        ("dump.gz", CSV),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_by_its_name_packed_or_not(tmp_path: Path, name: str, data: bytes, packed: bool) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if packed else data)
    source = open_source(path)
    assert source.name == name
    assert bodies(source) == BOTH
    assert source.position == source.size == path.stat().st_size
    assert bodies(source) == BOTH, "a file can be read again"


def test_a_gz_name_may_hold_plain_text_and_a_plain_name_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(CSV)
    (tmp_path / "b.csv").write_bytes(gzip.compress(CSV[:8]) + gzip.compress(CSV[8:]))
    assert bodies(open_source(tmp_path / "a.csv.gz")) == BOTH
    assert bodies(open_source(tmp_path / "b.csv")) == BOTH


@pytest.mark.parametrize(
    "data",
    [CSV, LINES, LIST, gzip.compress(LINES), b"\xef\xbb\xbf\n " + LIST],
    ids=["csv", "lines", "list", "packed", "marked"],
)
def test_standard_input_is_told_by_its_content(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    source = open_source("-")
    assert (source.name, source.size) == ("-", None)
    assert bodies(source) == BOTH
    assert source.position == len(data)
    with pytest.raises(InvalidFile, match="only once"):
        next(iter(source.rows()))


def test_a_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(LINES,))
    writer.start()
    source = open_source(pipe)
    assert source.size is None
    assert bodies(source) == BOTH
    writer.join()


def test_paths_that_cannot_be_read_are_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "notes.xlsx").write_bytes(b"PK")
    (tmp_path / "notes").write_bytes(b"PK")
    for name, said in [
        ("gone.csv", "does not exist"),
        ("", "is a folder; name the files"),
        ("empty.csv", "is empty"),
        ("notes.xlsx", "extension '.xlsx'; expected one of .csv"),
        ("notes", "no extension"),
    ]:
        with pytest.raises(InvalidFile, match=said):
            open_source(tmp_path / name)


def test_gzip_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(b""))
    with pytest.raises(InvalidFile, match=r"a\.csv is empty"):
        bodies(open_source(tmp_path / "a.csv"))


@pytest.mark.parametrize("cut", [12, 2000, -1])
def test_gzip_that_was_not_copied_to_the_end_is_told(tmp_path: Path, cut: int) -> None:
    data = b"id,name\n" + b"".join(b"%d,%s\n" % (i, os.urandom(8).hex().encode()) for i in range(20_000))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(data)[:cut])
    with pytest.raises(InvalidFile, match="damaged gzip"):
        bodies(open_source(tmp_path / "a.csv.gz"))


def test_reading_is_bounded_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for i in range(20_000):
            out.write(b'{"id":"%d","text":"%s"}\n' % (i, b"lorem ipsum " * 80))
    source = open_source(path)
    tracemalloc.start()
    count = sum(1 for _ in source.rows())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 4_000_000, "20 MB were read"


def test_the_first_rows_are_seen_and_read_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES)))
    source = Ahead(open_source("-"))
    assert [row.line for row in source.first(1)] == [1]
    assert [row.line for row in source.first(9)] == [1, 2]
    assert bodies(source) == BOTH
    assert (source.name, source.size, source.position) == ("-", None, len(LINES))


def test_real_listings_are_read_whole(shared_data: Path) -> None:
    source = open_source(shared_data / "mercari-100k" / "corpus.jsonl.gz")
    rows = list(Ahead(source).rows())
    assert len(rows) == 100_000
    assert all(isinstance(row, SourceRow) for row in rows)
    assert source.position == source.size
