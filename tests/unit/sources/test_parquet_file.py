"""Parquet: values of every kind become JSON's, or their row is rejected."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidFile
from nearfield.protocols.source import SourceRow
from nearfield.sources.files import open_source

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


def test_every_kind_of_value_becomes_json(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    path = write(
        tmp_path / "a.parquet",
        {
            "id": pa.array([1], pa.int32()),
            "big": pa.array([2**63], pa.uint64()),
            "price": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
            "whole": pa.array([Decimal(10**18)], pa.decimal128(30, 0)),
            "at": pa.array([moment], pa.timestamp("us", "UTC")),
            "nano": pa.array([1_700_000_000_000_000_001], pa.timestamp("ns")),
            "nanos": pa.array([[1_700_000_000_000_000_001]], pa.list_(pa.timestamp("ns"))),
            "day": pa.array([date(2024, 5, 1)]),
            "clock": pa.array([time(9, 30)]),
            "lasts": pa.array([timedelta(minutes=1.5)]),
            "tags": pa.array([["a", None]]),
            "none": pa.array([[]], pa.list_(pa.string())),
            "sizes": pa.array([[("s", 1), ("m", 2)]], pa.map_(pa.string(), pa.int64())),
            "maker": pa.array([{"name": "Acme", "since": date(1990, 1, 1)}]),
            "brand": pa.array(["Acme"]).dictionary_encode(),
            "raw": pa.array(["é".encode()], pa.binary()),
            "missing": pa.array([float("nan")]),
            "small": pa.array([1.5], pa.float32()),
        },
    )
    (row,) = open_source(path).rows()
    assert isinstance(row, SourceRow)
    assert (row.line, row.textual) == (1, False)
    body = dict(row.body)
    assert body == {
        "id": 1,
        "big": 2**63,
        "price": 12.5,
        "whole": 10**18,
        "at": "2024-05-01T12:30:00+00:00",
        "nano": "2023-11-14T22:13:20",
        "nanos": ["2023-11-14T22:13:20"],
        "day": "2024-05-01",
        "clock": "09:30:00",
        "lasts": 90.0,
        "tags": ["a", None],
        "none": [],
        "sizes": {"s": 1, "m": 2},
        "maker": {"name": "Acme", "since": "1990-01-01"},
        "brand": "Acme",
        "raw": "é",
        "missing": None,
        "small": 1.5,
    }
    assert orjson.loads(orjson.dumps(body)) == body


def test_rows_that_json_cannot_hold_are_rejected(tmp_path: Path) -> None:
    huge = pa.array([Decimal(1), Decimal(1), Decimal(1), Decimal(2**64)], pa.decimal128(30, 0))
    columns = {"x": [1.0, float("inf"), 2.0, 3.0], "raw": [b"a", b"b", b"\xff", b"d"], "huge": huge}
    path = write(tmp_path / "a.parquet", columns)
    rows = list(open_source(path).rows())
    assert [type(row) for row in rows] == [SourceRow, Rejection, Rejection, Rejection]
    assert [row.detail for row in rows if isinstance(row, Rejection)] == [
        "column 'x' holds an infinity; expected a finite number",
        "column 'raw' holds bytes that are not UTF-8 text",
        "column 'huge' holds 18446744073709551616; expected a whole number of at most 64 bits",
    ]
    assert [row.line for row in rows] == [1, 2, 3, 4]


def test_position_reaches_the_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": list(range(5000))}, row_group_size=700)
    source = open_source(path)
    positions = [source.position for _ in source.rows()]
    assert positions == sorted(positions)
    assert len(set(positions)) > 3
    assert source.position == source.size == path.stat().st_size


def test_a_packed_file_is_read_and_read_again(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.parquet", {"id": [1, 2, 3]})
    packed = tmp_path / "b.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    source = open_source(packed)
    for _ in range(2):
        assert [dict(row.body) for row in source.rows() if isinstance(row, SourceRow)] == [
            {"id": 1},
            {"id": 2},
            {"id": 3},
        ]
        assert source.position == source.size


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": list(range(100))})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidFile, match="cannot be read as Parquet from its start"):
        list(open_source(path).rows())


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InvalidFile, match="'id' twice"):
        list(open_source(tmp_path / "a.parquet").rows())
