"""Documents with their vectors to Parquet, and back to the letter."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import nearfield.sources.parquet_export as module
from nearfield.domain.documents import StoredDocument
from nearfield.domain.errors import DiskFull, InvalidDocument, InvalidFile
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.sink import VectorRow
from nearfield.protocols.source import PASSAGES, VECTOR, SourceRow
from nearfield.sources.files import open_source
from nearfield.sources.parquet_export import ParquetExport
from nearfield.sources.parquet_file import _restored
from nearfield.sources.parquet_layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array

FIELDS = {
    "price": "float",
    "stock": "int",
    "new": "bool",
    "brand": "keyword",
    "tags": "keyword[]",
    "at": "datetime",
    "days": "datetime[]",
    "place": "geo",
    "places": "geo[]",
}
SPEC = spec_from_json(
    "shop", {"embed": "{name}: {brand}", "fields": FIELDS, "embedder": "vectors:3", "engine": "exact"}
)
FULL = {
    "id": "a",
    "name": "Lamp",
    "price": 12.5,
    "stock": 3,
    "new": True,
    "brand": "Acme",
    "tags": ["x", "y"],
    "at": "2024-05-01T12:30:00+00:00",
    "days": ["2024-05-01"],
    "place": {"lat": 1.0, "lon": 2.0},
    "places": [{"lat": 1.0, "lon": 2.0}],
}


def stored(key: int, id: str, body: Mapping[str, Any]) -> StoredDocument:
    return StoredDocument(key, id, body, b"", key)


def written(path: Path, bodies: Sequence[Mapping[str, Any]], vectors: Sequence[Float32Array] | None = None) -> Path:
    vectors = vectors or [np.array([[place, 1, 0.5]], np.float32) for place in range(len(bodies))]
    sink = ParquetExport(path, SPEC, dimension=3, fingerprint="f")
    sink.write(
        [
            VectorRow(stored(i, str(body.get("id", i)), body), v)
            for i, (body, v) in enumerate(zip(bodies, vectors, strict=True))
        ]
    )
    sink.finish()
    return path


def read(path: Path) -> list[dict[str, Any]]:
    rows = list(open_source(path).rows())
    assert all(isinstance(row, SourceRow) for row in rows)
    return [dict(row.body) for row in rows if isinstance(row, SourceRow)]


def test_columns_have_the_types_of_the_schema(tmp_path: Path) -> None:
    table = parquet.read_table(written(tmp_path / "shop.parquet", [FULL, {"id": "b", "name": "Jug"}]))
    assert table.schema.names == ["id", *FIELDS, "name", "rest", "vector", "passages"]
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["vector"].startswith("fixed_size_list<")
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert (kinds["price"], kinds["stock"], kinds["at"]) == ("double", "int64", "timestamp[us, tz=UTC]")
    assert table["id"].to_pylist() == ["a", "b"]
    assert table["vector"].to_pylist() == [[0.0, 1.0, 0.5], [1.0, 1.0, 0.5]]
    assert table["passages"].to_pylist() == [None, None]
    assert table["rest"].to_pylist() == ['{"days":["2024-05-01"]}', None]
    assert parquet.ParquetFile(tmp_path / "shop.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_body_comes_back_to_the_letter(tmp_path: Path) -> None:
    bodies = [
        FULL,
        {"id": 7, "name": "Jug", "price": 5, "stock": 3.0, "brand": None, "tags": [], "at": "2024-05-01"},
        {"id": "c", "name": 5, "extra": {"deep": [1, None]}, "place": [1, 2], "tags": ["x", None], "rest": "mine"},
    ]
    back = read(written(tmp_path / "shop.parquet", bodies))
    assert [body.pop(VECTOR) for body in back] == [[0, 1, 0.5], [1, 1, 0.5], [2, 1, 0.5]]
    assert [repr(sorted(body.items())) for body in back] == [repr(sorted(body.items())) for body in bodies]
    told = open_source(tmp_path / "shop.parquet").told()
    assert (told.dimension, told.metric, told.embed, told.id_field) == (3, "cosine", "{name}: {brand}", "id")
    assert told.fields == SPEC.fields


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(-2, 2), st.text(max_size=3), st.just("2024-05-01")
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "name", "rest", "vector", "passages", "x"]), VALUES))
def test_any_body_comes_back(body: dict[str, Any]) -> None:
    layout = Layout.of(SPEC, [stored(1, "a", {"id": "a"})], dimension=3, fingerprint="f")
    document = stored(1, "a", {"id": "a", **body})
    try:
        columns = layout.columns_of(document)
    except InvalidDocument:
        return  # which the store never held
    arrow = module._schema(layout)
    for field in arrow:
        if field.name in columns and field.name not in ("vector", "passages"):
            columns[field.name] = pa.array([columns[field.name]], field.type).to_pylist()[0]
    row = _restored(1, columns, layout)
    assert isinstance(row, SourceRow)
    assert repr(sorted(row.body.items())) == repr(sorted(document.body.items()))


def test_ids_in_another_field_are_found(tmp_path: Path) -> None:
    sink = ParquetExport(tmp_path / "a.parquet", SPEC, dimension=3, fingerprint="f")
    body = {"sku": "s1", "name": "Lamp"}
    sink.write([VectorRow(stored(1, "s1", body), np.ones((1, 3), np.float32))])
    sink.finish()
    assert open_source(tmp_path / "a.parquet").told().id_field == "sku"
    assert {**read(tmp_path / "a.parquet")[0], VECTOR: None} == {**body, VECTOR: None}
    sink = ParquetExport(tmp_path / "b.parquet", SPEC, dimension=3, fingerprint="f")
    sink.write([VectorRow(stored(1, "row-1", {"name": "Lamp"}), np.ones((1, 3), np.float32))])
    sink.finish()
    assert read(tmp_path / "b.parquet")[0]["id"] == "row-1"


def test_passages_are_told_each_and_as_one(tmp_path: Path) -> None:
    several = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    path = written(tmp_path / "a.parquet", [{"id": "a"}, {"id": "b"}], [several, np.array([[0, 0, 1]], np.float32)])
    first, second = read(path)
    assert first[PASSAGES] == several.tolist()
    assert np.allclose(first[VECTOR], [0.5**0.5, 0.5**0.5, 0])
    assert PASSAGES not in second


def test_memory_holds_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_ROWS", 4)
    sink = ParquetExport(tmp_path / "a.parquet", SPEC, dimension=3, fingerprint="f")
    for i in range(11):
        sink.write([VectorRow(stored(i, str(i), {"id": str(i)}), np.ones((1, 3), np.float32))])
        assert len(sink._rows) < 4
    sink.finish()
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 3]


def test_an_empty_collection_is_a_file_without_rows(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.parquet", [])) == []


def test_what_is_given_up_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", [{"id": "old"}])
    monkeypatch.setattr(module, "GROUP_ROWS", 1)
    sink = ParquetExport(path, SPEC, dimension=3, fingerprint="f")
    sink.write([VectorRow(stored(1, "new", {"id": "new"}), np.ones((1, 3), np.float32))])
    assert len(list(tmp_path.iterdir())) == 2
    sink.abandon()
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]
    assert read(path)[0]["id"] == "old"
    with pytest.raises(InvalidFile, match="does not exist"):
        ParquetExport(tmp_path / "no" / "a.parquet", SPEC, dimension=3, fingerprint="f")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    sink = ParquetExport(tmp_path / "a.parquet", SPEC, dimension=3, fingerprint="f")
    sink.write([VectorRow(stored(1, "a", {"id": "a"}), np.ones((1, 3), np.float32))])
    with pytest.raises(DiskFull, match="nothing was put there"):
        sink.finish()
    sink.abandon()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be asked after")
def test_what_a_killed_export_left_goes_with_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, running, another = (
        tmp_path / f"a.parquet.{platform.node()}-{gone.pid}.partial",
        tmp_path / f"a.parquet.{platform.node()}-{os.getppid()}.partial",
        tmp_path / f"b.parquet.{platform.node()}-{gone.pid}.partial",
    )
    for path in (left, running, another):
        path.write_bytes(b"half")
    ParquetExport(tmp_path / "a.parquet", SPEC, dimension=3, fingerprint="f")
    assert [path.exists() for path in (left, running, another)] == [False, True, True]
