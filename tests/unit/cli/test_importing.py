"""Import: what is inferred, what is told, and that nothing is lost or done twice."""

from __future__ import annotations

import gzip
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import faiss
import numpy as np
import orjson
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Run, Start

    from nearfield.models.local import Weights

ROWS = 6_000


def test_a_collection_is_inferred_and_shown(nearfield: Run, products: Path) -> None:
    ran = nearfield("import", str(products), "--collection", "shop")
    assert ran.code == 0, ran.err
    lines = [line.split() for line in ran.err.splitlines()]
    assert ["price", "float", "50.00"] in lines
    assert ["in_stock", "bool", "true"] in lines
    assert 'embed "{name}: {description}" with hashing, engine exact, id id' in ran.err
    assert [line.split() for line in ran.out.splitlines()][1][:5] == ["shop", "4", "0", "0", "0"]
    assert not list(products.parent.glob("*.rejected.jsonl"))


def test_json_tells_what_became_of_every_row(nearfield: Run, products: Path) -> None:
    first = nearfield("import", str(products), "-c", "shop", "--json").json
    assert first.pop("seconds") > 0
    assert first.pop("documents_per_s") > 0
    fields = {"name": "keyword", "description": "keyword", "brand": "keyword", "price": "float", "in_stock": "bool"}
    assert first == {
        "collection": "shop",
        "created": True,
        "embed": "{name}: {description}",
        "fields": fields,
        "new": 4,
        "changed": 0,
        "unchanged": 0,
        "rejected": 0,
        "rejections": [],
        "rejected_file": None,
        "seq": first["seq"],
    }
    products.write_text(
        products.read_text(encoding="utf-8").replace("35.50", "36.50") + "5,Mug,For tea,Lumo,9.00,true\n",
        encoding="utf-8",
    )
    second = nearfield("import", str(products), "-c", "shop", "--json").json
    counts = {key: second[key] for key in ("created", "new", "changed", "unchanged", "rejected")}
    assert counts == {"created": False, "new": 1, "changed": 1, "unchanged": 3, "rejected": 0}


def test_rejected_rows_are_told_with_line_and_reason(nearfield: Run, products: Path, own_folder: Path) -> None:
    wrong = "5,Mug,For tea,Lumo,cheap,true\n6,Pan\n,Jug,For milk,Lumo,4.00,true\n" + "7\n" * 30
    products.write_text(products.read_text(encoding="utf-8") + wrong, encoding="utf-8")
    ran = nearfield("import", str(products), "-c", "shop", "--field", "price=float")
    assert ran.code == 0
    assert "rejected line 6: field 'price'" in ran.err
    assert "rejected line 7: row has 2 cells" in ran.err
    assert "rejected line 8: id has 0 characters" in ran.err
    assert ran.err.count("rejected line") == 20
    assert "and 13 more" in ran.err
    told = [orjson.loads(line) for line in (own_folder / "products.csv.rejected.jsonl").read_bytes().splitlines()]
    assert len(told) == 33
    assert told[1]["line"] == 7
    assert told[1]["file"] == "products.csv"
    assert "2 cells" in told[1]["detail"]
    asked = nearfield("import", str(products), "-c", "shop", "--rejected", "wrong.jsonl", "--json").json
    assert (asked["rejected"], len(asked["rejections"]), asked["rejected_file"]) == (33, 20, "wrong.jsonl")
    assert len((own_folder / "wrong.jsonl").read_bytes().splitlines()) == 33


def test_standard_input_packed_is_inferred_too(nearfield: Run) -> None:
    lines = b"".join(orjson.dumps({"sku": i, "title": f"thing {i}", "tags": ["a", "b"]}) + b"\n" for i in range(1500))
    ran = nearfield("import", "-", "-c", "things", "--id", "sku", "--json", stdin=gzip.compress(lines))
    assert ran.code == 0, ran.err
    assert (ran.json["new"], ran.json["embed"]) == (1500, "{title}")
    assert ran.json["fields"] == {"title": "keyword", "tags": "keyword[]"}
    hits = nearfield("search", "things", "thing 7", "--json").json["hits"]
    assert {hit["id"] for hit in hits} <= {str(i) for i in range(1500)}


def test_without_an_id_the_content_is_the_id(nearfield: Run) -> None:
    lines = b'{"title":"one"}\n{"title":"two"}\n{"title":"one"}\n'
    ran = nearfield("import", "-", "-c", "things", stdin=lines)
    assert "ids are made from the content" in ran.err
    assert nearfield("status", "things", "--json").json["collections"][0]["documents"] == 2
    again = nearfield("import", "-", "-c", "things", "--json", stdin=lines).json
    assert (again["new"], again["unchanged"]) == (0, 3)


def test_several_files_are_one_collection(nearfield: Run, products: Path, own_folder: Path) -> None:
    (own_folder / "more.jsonl").write_bytes(b'{"id":"9","name":"Bell","description":"Rings","price":3}\n{"id":"10"}\n')
    ran = nearfield("import", str(products), "more.jsonl", "-c", "shop", "--json")
    assert (ran.json["new"], ran.json["rejected"], ran.json["rejected_file"]) == (5, 1, "shop.rejected.jsonl")


def test_a_file_that_cannot_be_read_stops_before_anything_is_stored(nearfield: Run, products: Path) -> None:
    ran = nearfield("import", str(products), "gone.csv", "-c", "shop")
    assert ran.code == 1
    assert "gone.csv does not exist" in ran.err
    assert nearfield("collections").code == 2, "no data directory was made"


def test_flags_that_agree_with_the_collection_are_taken(shop: Run, products: Path) -> None:
    agreeing = ["--embed", "{name}: {description}", "--engine", "exact", "--embedder", "hashing", "--field"]
    assert shop("import", str(products), "-c", "shop", *agreeing, "price=float", "--index", "kind=flat").code == 0
    ran = shop("import", str(products), "-c", "shop", *agreeing, "price=int")
    assert ran.code == 1
    assert "exists with another --field price: 'float', not 'int'" in ran.err


def test_flags_decide_over_what_is_inferred(nearfield: Run, products: Path) -> None:
    flags = ["--embed", "{brand}", "--field", "price=keyword", "--index", "kind=flat,metric=dot,ef_search=64", "--json"]
    ran = nearfield("import", str(products), "-c", "shop", *flags)
    assert ran.code == 0, ran.err
    assert (ran.json["embed"], ran.json["fields"]["price"]) == ("{brand}", "keyword")
    listed = nearfield("collections", "--json").json["collections"][0]
    assert (listed["index"]["metric"], listed["index"]["ef_search"]) == ("dot", 64)


def rows() -> list[bytes]:
    return [b'{"id":"%d","title":"thing number %d of a long list"}\n' % (i, i) for i in range(ROWS)]


def stored(folder: Path) -> int:
    """Documents that are durable, read beside the process that writes."""
    database = folder / "nearfield-data" / "nearfield.db"
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


def half_way(start: Start, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """An import that has stored some of its rows and waits for the others on standard input."""
    process = start("import", "-", "-c", "things", "--json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"".join(rows()[: ROWS // 2]))
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not (there := stored(folder)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process, there


def test_killed_and_run_again_loses_nothing(nearfield: Run, start: Start, own_folder: Path) -> None:
    for _ in range(2):
        process, _ = half_way(start, own_folder)
        process.kill()
        process.communicate()
    there = stored(own_folder)
    assert 0 < there < ROWS
    ran = nearfield("import", "-", "-c", "things", "--json", stdin=b"".join(rows()))
    assert ran.code == 0, ran.err
    counts = [ran.json[key] for key in ("created", "new", "changed", "unchanged", "rejected")]
    assert counts == [False, ROWS - there, 0, there, 0]
    checked = nearfield("check", "things", "--json")
    assert checked.json["checks"][0]["documents"] == checked.json["checks"][0]["rows"] == ROWS
    assert checked.code == 0


def test_interrupted_says_what_is_durable(nearfield: Run, start: Start, own_folder: Path) -> None:
    process, there = half_way(start, own_folder)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()  # closes standard input, as the end of a pipeline does
    assert process.returncode == 130, err
    problem = orjson.loads(out)
    assert problem["code"] == "interrupted"
    assert there <= stored(own_folder)
    assert problem["stored"] <= stored(own_folder)
    assert "run the same command again" in problem["detail"]
    ran = nearfield("import", "-", "-c", "things", "--json", stdin=b"".join(rows()))
    assert ran.json["new"] + ran.json["unchanged"] == ROWS


def test_another_process_has_the_data(nearfield: Run, start: Start, own_folder: Path) -> None:
    process, _ = half_way(start, own_folder)
    ran = nearfield("status", "--json")
    assert (ran.code, ran.json["code"]) == (1, "data_dir_in_use")
    assert str(process.pid) in ran.json["detail"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written_is_told(nearfield: Run, products: Path, own_folder: Path) -> None:
    (own_folder / "file").touch()
    ran = nearfield("import", str(products), "-c", "shop", "--data", "file/data")
    assert ran.code == 2
    assert "cannot be used" in ran.err


def test_a_store_is_named_where_a_file_would_be(nearfield: Run, own_folder: Path) -> None:
    index = faiss.IndexFlatL2(4)
    vectors = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    index.add(vectors)
    faiss.write_index(index, "a.index")
    rows = [b'{"name": "lamp %d", "price": %d}' % (i, i) for i in range(5)]
    (own_folder / "rows.jsonl").write_bytes(b"\n".join(rows))
    ran = nearfield("import", "faiss+file:a.index?rows=rows.jsonl", "-c", "lamps")
    assert ran.code == 0, ran.err
    assert "vectors are taken as they are, compared by euclidean" in ran.err
    assert "rejected line 6: the file of rows ends before this vector" in ran.err
    assert "(invalid_document, id 5)" in ran.err
    assert 'embed "{name}" with vectors:4, engine exact, id id' in ran.err
    told = (own_folder / "a.index.rejected.jsonl").read_bytes()
    assert orjson.loads(told)["id"] == "5"
    ran = nearfield("import", "faiss+file:a.index?rows=rows.jsonl", "-c", "dots", "--metric", "dot", "--json")
    assert (ran.json["new"], ran.json["rejected"]) == (5, 1)
    wrong = nearfield("import", "qdrant+http://127.0.0.1", "-c", "lamps")
    assert (wrong.code, "which collection" in wrong.err) == (2, True)


def test_a_collection_goes_out_as_parquet_and_comes_back(shop: Run, own_folder: Path) -> None:
    ran = shop("export", "shop", "--to", "shop.parquet")
    assert ran.code == 0, ran.err
    assert "4 documents in shop.parquet" in ran.out
    assert "ends in .parquet" in shop("export", "shop", "--to", "shop.csv").err
    ran = shop("import", "shop.parquet", "-c", "own", "--vector-field", "vector")
    assert "with vectors:256" in ran.err, ran.err
    ran = shop("import", "shop.parquet", "-c", "same", "--vectors-by", "hashing")
    assert "hashing gives the vectors that came: cosine 1.0000" in ran.err
    anew = shop("import", "shop.parquet", "-c", "anew", "--json").json
    assert (anew["new"], anew["embed"]) == (4, "{name}: {description}")
    lines = [shop("export", name).out.splitlines() for name in ("shop", "same", "anew")]
    documents = [sorted(map(orjson.loads, one), key=lambda body: str(body["id"])) for one in lines]
    assert documents[1] == documents[2] == documents[0]
    assert [each.name for each in own_folder.glob("*.partial")] == []


def test_int8_is_not_mixed_into_a_collection_that_is_there(nearfield: Run, products: Path) -> None:
    assert nearfield("import", str(products), "-c", "shop").code == 0
    ran = nearfield("import", str(products), "-c", "shop", "--precision", "int8")
    assert ran.code == 1
    assert "another --embedder: 'hashing', not 'hashing:int8'" in " ".join(ran.err.split())
    ran = nearfield("import", str(products), "-c", "shop", "--precision", "int4")
    assert ran.code == 2
    assert all(choice in ran.err for choice in ("int4", "native", "float32", "int8"))


@pytest.mark.heavy
def test_int8_is_a_model_of_its_own_that_a_collection_moves_from_and_to(
    nearfield: Run, products: Path, weights: Callable[[str], Weights]
) -> None:
    model = weights("all-MiniLM-L6-v2").name
    ran = nearfield("import", str(products), "-c", "shop", "--embedder", model, "--precision", "int8", "--json")
    assert ran.code == 0, ran.err
    assert nearfield("collections", "--json").json["collections"][0]["embedder"] == f"{model}:int8"
    for other in (model, f"{model}:int8"):
        moved = nearfield("move", "shop", "--embedder", other, "--yes", "--json")
        assert moved.code == 0, moved.err
        assert moved.json["switched"]
        found = nearfield("search", "shop", "something to listen to music", "--mode", "semantic", "--json").json
        assert found["hits"][0]["id"] == "1"
        assert found["plan"]["embedder"] == other
