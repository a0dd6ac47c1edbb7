"""In from other stores and out to Parquet: the same documents, the same vectors, the same answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import chromadb
import chromadb.config
import numpy as np
import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

import nearfield
from nearfield.domain.errors import DimensionMismatch, InvalidRequest
from nearfield.embedders.hashing import HashingEmbedder
from nearfield.sources import store_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TEST = {"environment": "test", "embedder": "hashing", "engine": "exact"}
LONG = " ".join(f"word{i}" for i in range(600))
BODIES: list[dict[str, Any]] = [
    {"id": str(i), "name": f"lamp number {i}", "price": i / 2, "tags": ["a", str(i % 3)], "note": {"deep": [i, None]}}
    for i in range(60)
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[nearfield.Database]:
    with nearfield.open(tmp_path / "data", **TEST) as opened:
        yield opened


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents' texts that were embedded, as they come."""
    texts: list[str] = []
    real = HashingEmbedder.embed

    async def embed(self: HashingEmbedder, given: Sequence[str], *, role: Any) -> Any:
        texts.extend(given if role == "document" else ())
        return await real(self, given, role=role)

    monkeypatch.setattr(HashingEmbedder, "embed", embed)
    return texts


def answers(handle: nearfield.CollectionHandle, **options: Any) -> list[tuple[str, float]]:
    found = handle.search(limit=20, where="price >= 3", **options)
    return [(hit.id, round(hit.score, 4)) for hit in found.hits]


def content(handle: nearfield.CollectionHandle) -> dict[str, dict[str, Any]]:
    return {str(body["id"]): body for body in handle.export()}


def test_out_and_in_again_by_the_same_model(db: nearfield.Database, tmp_path: Path, embedded: list[str]) -> None:
    first = db.collection("lamps", embed="{name}", fields={"price": float, "tags": list[str]})
    first.upsert([*BODIES, {"id": "long", "name": LONG, "price": 9.0}])
    seen: list[tuple[int, int]] = []
    assert first.export_parquet(tmp_path / "lamps.parquet", on_progress=lambda *done: seen.append(done)) == 61
    assert seen[-1] == (61, 61)
    table = parquet.read_table(tmp_path / "lamps.parquet")
    assert [len(vectors or ()) > 1 for vectors in table["passages"].to_pylist()] == [False] * 60 + [True]

    with nearfield.open(tmp_path / "other", **TEST) as other:
        embedded.clear()
        report = other.import_from("lamps", tmp_path / "lamps.parquet", vectors_by="hashing")
        assert (report.new, report.rejected_total) == (61, 0)
        assert len(embedded) <= 21, "only the samples were embedded"
        second = other.collection("lamps")
        assert content(second) == content(first)
        assert answers(second, query="lamp 7") == answers(first, query="lamp 7")
        assert answers(second, query="word3 word500") == answers(first, query="word3 word500")
        again = other.import_from("lamps", tmp_path / "lamps.parquet", vectors_by="hashing")
        assert (again.new, again.unchanged) == (0, 61)


def test_out_and_in_again_as_ones_own_vectors(db: nearfield.Database, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    first = db.collection(
        "lamps", embed="{name}", fields={"price": float}, embedder="vectors:8", index={"metric": "dot"}
    )
    first.upsert([{**body, "vector": vector.tolist()} for body, vector in zip(BODIES, vectors, strict=True)])
    first.export_parquet(tmp_path / "lamps.parquet")
    table = parquet.read_table(tmp_path / "lamps.parquet")
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors), "brought vectors are float32"
    db.import_from("again", tmp_path / "lamps.parquet", vector_field="vector")
    again = db.collection("again")
    assert content(again) == content(first)
    assert again.configure()["index"]["metric"] == "dot"
    assert answers(again, vector=vectors[5]) == answers(first, vector=vectors[5])
    again.export_parquet(tmp_path / "again.parquet")
    assert parquet.read_table(tmp_path / "again.parquet").equals(table)


def test_vectors_of_texts_are_those_of_the_cache(db: nearfield.Database, tmp_path: Path) -> None:
    first = db.collection("lamps", embed="{name}", fields={"price": float})
    first.upsert(BODIES)
    first.export_parquet(tmp_path / "lamps.parquet")
    db.import_from("own", tmp_path / "lamps.parquet", vector_field="vector")
    found = parquet.read_table(tmp_path / "lamps.parquet")["vector"].to_pylist()
    vector = np.array(found[7], np.float32)
    assert np.array_equal(vector, vector.astype(np.float16)), "the cache keeps float16"
    assert answers(db.collection("own"), vector=vector) == answers(first, vector=vector)


def test_files_of_others_bring_vectors_too(db: nearfield.Database, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    names = ["red", "green", "blue"]
    parquet.write_table(pa.table({"id": names, "name": names, "emb": vectors.tolist()}), tmp_path / "a.parquet")
    assert db.import_from("a", tmp_path / "a.parquet", vector_field="emb").new == 3
    assert db.collection("a").search(vector=vectors[1], limit=1).hits[0].id == "green"
    assert "emb" not in db.collection("a").get("red")
    lines = [
        {"id": "x", "name": "x", "v": [1, 2, 3, 4]},
        {"id": "y", "name": "y", "v": [1, 2]},
        {"id": "z", "name": "z"},
    ]
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    report = db.import_from("b", tmp_path / "b.jsonl", vector_field="v", index={"metric": "euclidean"})
    assert [(refusal.id, refusal.code) for refusal in report.rejected] == [
        ("y", "dimension_mismatch"),
        ("z", "invalid_vector"),
    ]
    with pytest.raises(DimensionMismatch, match="bring vectors of 4"):
        db.collection("wide", embed="{name}", embedder="vectors:5")
        db.import_from("wide", tmp_path / "b.jsonl", vector_field="v")
    with pytest.raises(InvalidRequest, match="field 'w'"):
        db.import_from("c", tmp_path / "b.jsonl", vector_field="w")


@pytest.fixture
def chroma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of Chroma, whose vectors the fake model made of the texts, but for one in `odd`."""
    texts = [str(body["name"]) for body in BODIES]
    monkeypatch.setattr(store_rows, "PAGE", 7)
    vectors = asyncio.run(HashingEmbedder().embed(texts, role="document"))
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path / "chroma"), settings=settings)
    for name, shown in (("lamps", vectors), ("odd", np.roll(vectors, 1, axis=0))):
        made = client.create_collection(name, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
        made.add(
            ids=[str(body["id"]) for body in BODIES],
            embeddings=shown,
            documents=texts,
            metadatas=[{"price": body["price"]} for body in BODIES],
        )
    client.close()
    return f"chroma+file:{tmp_path / 'chroma'}?collection="


def test_a_store_is_taken_as_it_is(db: nearfield.Database, chroma: str, embedded: list[str]) -> None:
    report = db.import_from("lamps", chroma + "lamps")
    assert (report.new, report.rejected_total) == (60, 0)
    assert not embedded
    lamps = db.collection("lamps")
    assert lamps.get("7") == {"id": "7", "text": "lamp number 7", "price": 3.5}
    settings = lamps.configure()
    assert (settings["embedder"], settings["embed"]) == ("vectors:256", "{text}")
    assert settings["fields"] == {"text": "keyword", "price": "float"}
    assert lamps.search("number 7", mode="lexical", limit=1).hits[0].id == "7"
    again = db.import_from("lamps", chroma + "lamps")
    assert (again.new, again.unchanged) == (0, 60)


def test_a_stores_texts_can_be_embedded_anew(db: nearfield.Database, chroma: str, embedded: list[str]) -> None:
    db.import_from("lamps", chroma + "odd", embedder="hashing")
    assert len(embedded) == 60
    assert db.collection("lamps").search("lamp number 7", limit=1).hits[0].id == "7"
    assert "vector" not in db.collection("lamps").get("7")


def test_a_stores_vectors_become_the_models_own(db: nearfield.Database, chroma: str, embedded: list[str]) -> None:
    db.import_from("lamps", chroma + "lamps", vectors_by="hashing")
    assert len(embedded) <= 22, "the samples alone"
    embedded.clear()
    same = db.collection("same", embed="{text}", fields={"price": float})
    same.upsert([db.collection("lamps").get(str(body["id"])) for body in BODIES])
    lamps = db.collection("lamps")
    assert answers(lamps, query="lamp number 7") == answers(same, query="lamp number 7")
    assert not embedded, "the other collection found them in the cache"


def test_a_model_that_did_not_make_them_is_refused(db: nearfield.Database, chroma: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cosine with the vector that came is 0\.\d{3} at least.*expected 0\.99"):
        db.import_from("lamps", chroma + "odd", vectors_by="hashing")
    assert db.collections() == [], "nothing was made"
    with pytest.raises(InvalidRequest, match="do not compare"):
        db.import_from("lamps", chroma + "lamps", vectors_by="hashing", embedder="vectors:256")
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "a", "name": "b"}')
    with pytest.raises(InvalidRequest, match="bring none"):
        db.import_from("lamps", tmp_path / "a.jsonl", vectors_by="hashing")
