from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import InvalidFile
from nearfield.quality.judged_files import qrels_tsv, queries_jsonl, read_judged, read_qrels, read_queries

if TYPE_CHECKING:
    from pathlib import Path

QUERIES = '{"id": "1", "text": "moon"}\n{"id": "2", "text": "tea"}\n'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "query_id\tdoc_id\tgrade\n1\ta\t2\n1\tb\t0\n",
        "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n",
        "1\ta\t2\n1\tb\t0\n",
        "1 0 a 2\n1 0 b -2\n",
        "1 Q0 a 2.0\r\n\r\n1\tQ0\tb\t0",
        "\ufeff1\ta\t2\n1\tb\t0",
    ],
    ids=["header", "beir", "bare", "trec", "untidy", "bom"],
)
def test_the_forms_in_which_judgments_come(tmp_path: Path, text: str) -> None:
    assert read_qrels(write(tmp_path, "qrels.tsv", text)) == ({"1": {"a": 2, "b": 0}}, [])


@pytest.mark.parametrize(
    "text",
    [QUERIES, '{"_id": 1, "query": "moon"}\n{"qid": "2", "text": "tea", "more": []}\n', "1\tmoon\n2\ttea"],
    ids=["ours", "others", "tabs"],
)
def test_the_forms_in_which_queries_come(tmp_path: Path, text: str) -> None:
    assert read_queries(write(tmp_path, "queries.jsonl", text)) == ({"1": "moon", "2": "tea"}, [])


def test_ids_may_hold_blanks_where_tabs_part_the_columns(tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path, "q.tsv", "a b\tc d\t1\n"))[0] == {"a b": {"c d": 1}}


def test_bad_rows_are_told_with_their_line_and_the_others_used(tmp_path: Path) -> None:
    queries = write(
        tmp_path, "queries.jsonl", QUERIES + '\n{"id": "3"}\n{oops\n{"id": "1", "text": "again"}\nonly words\n'
    )
    qrels = write(
        tmp_path, "qrels.tsv", "1\ta\thigh\n1\ta\t1\n1\ta\t2\n2\tb\t1.5\n2\tb\n2\tc\t0\n9\tz\t1\n2\t\t1\n2\td\t101\n"
    )
    judged = read_judged(queries, qrels)
    assert [query.id for query in judged.queries] == ["1"]
    assert judged.queries[0].grades == {"a": 1}
    assert judged.without_relevant == ("2",)
    assert judged.without_text == ("9",)
    assert [(row.file, row.line) for row in judged.bad_rows] == [
        *(("queries.jsonl", line) for line in (4, 5, 6, 7)),
        *(("qrels.tsv", line) for line in (1, 3, 4, 5, 8, 9)),
    ]
    told = [row.detail for row in judged.bad_rows]
    assert "no text" in told[0]
    assert "not JSON" in told[1]
    assert "'1' is there already" in told[2]
    assert "expected a whole number" in told[4]
    assert "judged twice" in told[5]


def test_packed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl.gz"
    path.write_bytes(gzip.compress(QUERIES.encode()))
    assert read_queries(path)[0] == {"1": "moon", "2": "tea"}


def test_a_file_with_nothing_to_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no such file"):
        read_queries(tmp_path / "none.jsonl")
    with pytest.raises(InvalidFile, match="holds nothing to use, it is empty"):
        read_queries(write(tmp_path, "empty.jsonl", "\n"))
    with pytest.raises(InvalidFile, match=r"nothing to use; line 1: 1 columns"):
        read_qrels(write(tmp_path, "bad.tsv", "x\n"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(QUERIES.encode())[:-9])
    with pytest.raises(InvalidFile, match="damaged"):
        read_queries(tmp_path / "cut.gz")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    texts = {"1": 'a "moon"\n', "2": "tea"}
    (tmp_path / "q.jsonl").write_bytes(b"".join(queries_jsonl(texts)))
    assert read_queries(tmp_path / "q.jsonl")[0] == texts
    rows = [("1", "a b", 3), ("2", "c", 0)]
    (tmp_path / "q.tsv").write_text("".join(qrels_tsv(rows)))
    assert read_qrels(tmp_path / "q.tsv")[0] == {"1": {"a b": 3}, "2": {"c": 0}}


def test_every_judged_set_is_read_whole(shared_data: Path) -> None:
    found = {}
    for folder in shared_data.glob("*/qrels.tsv"):
        judged = read_judged(folder.parent / "queries.jsonl", folder)
        assert not judged.bad_rows
        assert not judged.without_text
        found[folder.parent.name] = len(judged.queries)
    assert found["er-walmart-amazon"] == 852
    assert found["scifact"] == 300
