"""Other stores, the real ones, read as sources: every row, as it is, and what cannot be read is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import chromadb
import chromadb.config
import faiss
import numpy as np
import orjson
import pytest
from qdrant_client import QdrantClient, models
from tests.vendors.chroma_server import binary, running
from tests.vendors.postgres_server import PASSWORD
from tests.vendors.qdrant_process import QDRANT_KEY

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import EngineUnavailable, InvalidFile, InvalidRequest, InvalidSetting
from nearfield.domain.schema import Metric
from nearfield.protocols.source import VECTOR, SourceRow, Told
from nearfield.sources import chroma_store, faiss_store, pgvector_store, qdrant_store, web
from nearfield.sources.store_rows import StoreRow, body_of
from nearfield.sources.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.vendors.chroma_server import ChromaRun
    from tests.vendors.postgres_server import PostgresServer
    from tests.vendors.qdrant_process import QdrantProcess

ROWS = 25
VECTORS = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chroma_store, qdrant_store, pgvector_store, faiss_store):
        monkeypatch.setattr(module, "PAGE", 10)
    for module in (web, qdrant_store):
        monkeypatch.setattr(module, "TRIES", 1)


def source(address: str, key: str | None = None) -> Any:
    return open_store(address, lambda _: key)


def read(address: str, key: str | None = None) -> tuple[Told, list[dict[str, Any]]]:
    """What a store tells, and the bodies of its rows, which must all be readable."""
    opened = source(address, key)
    told = opened.told()
    rows = list(opened.rows())
    assert all(isinstance(row, SourceRow) for row in rows), rows
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))
    assert opened.size is None or opened.position == opened.size
    return told, [dict(row.body) for row in rows if isinstance(row, SourceRow)]


def same_vectors(bodies: list[dict[str, Any]], expected: np.ndarray[Any, Any] = VECTORS) -> None:
    assert np.allclose(np.stack([body.pop(VECTOR) for body in bodies]), expected, atol=1e-6)


# -- Chroma ------------------------------------------------------------------------------------------------------------
def fill(client: Any, name: str, space: str) -> None:
    made = client.create_collection(name, configuration={"hnsw": {"space": space}}, embedding_function=None)
    made.add(
        ids=[f"r{i}" for i in range(ROWS)],
        embeddings=VECTORS,
        documents=[f"text {i}" for i in range(ROWS)],
        metadatas=[{"n": i, "text": "mine", "even": i % 2 == 0} for i in range(ROWS)],
    )


@pytest.fixture(scope="module")
def chroma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chroma")
    client = chromadb.PersistentClient(str(folder), settings=chromadb.config.Settings(anonymized_telemetry=False))
    fill(client, "books", "l2")
    client.close()
    return folder


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaRun]:
    if binary() is None:
        pytest.skip("the command `chroma` is not installed")
    with running(tmp_path_factory.mktemp("chroma-server")) as server:
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        client = chromadb.HttpClient("127.0.0.1", server.port, settings=settings)
        fill(client, "books", "cosine")
        client.create_collection("bare", embedding_function=None)
        yield server


@pytest.mark.parametrize(("place", "metric"), [("folder", Metric.EUCLIDEAN), ("server", Metric.COSINE)])
def test_chroma(place: str, metric: Metric, request: pytest.FixtureRequest) -> None:
    if place == "folder":
        address = f"chroma+file:{request.getfixturevalue('chroma_folder')}?collection="
    else:
        address = f"chroma+{request.getfixturevalue('chroma_server').url}?collection="
    told, bodies = read(address + "books")
    assert (told.dimension, told.metric) == (4, metric)
    bodies.sort(key=lambda body: body["n"])
    same_vectors(bodies)
    assert bodies[3] == {"id": "r3", "text": "text 3", "n": 3, "text_": "mine", "even": False}
    with pytest.raises(InvalidRequest, match=r"it has .*books"):
        source(address + "gone").told()
    if place == "server":
        assert read(address + "bare") == (Told(None, Metric.EUCLIDEAN), [])


def test_a_folder_that_is_not_chromas(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"chroma\.sqlite3"):
        source(f"chroma+file:{tmp_path}?collection=a")
    assert not list(tmp_path.iterdir()), "nothing was made there"


# -- Qdrant ------------------------------------------------------------------------------------------------------------
def points(name: str | None = None) -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=i if i % 2 else str(UUID(int=i)),
            vector=VECTORS[i].tolist() if name is None else {name: VECTORS[i].tolist()},
            payload={"n": i, "metadata": {"brand": "Acme", "n": -1}},
        )
        for i in range(ROWS)
    ]


def test_qdrant_on_a_server(qdrant_server: QdrantProcess, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(qdrant_server.reset)
    url = f"http://127.0.0.1:{qdrant_server.port}"
    client = QdrantClient(url=url, headers={"api-key": QDRANT_KEY}, check_compatibility=False)
    config = models.VectorParams(size=4, distance=models.Distance.EUCLID)
    client.create_collection("books", vectors_config={"dense": config})
    client.upsert("books", points("dense"), wait=True)
    client.close()
    told, bodies = read(f"qdrant+{url}?collection=books&lift=metadata", QDRANT_KEY)
    assert (told.dimension, told.metric) == (4, Metric.EUCLIDEAN)
    bodies.sort(key=lambda body: body["n"])
    same_vectors(bodies)
    assert bodies[3] == {"id": 3, "n": 3, "brand": "Acme"}
    assert bodies[4]["id"] == str(UUID(int=4))
    with pytest.raises(InvalidRequest, match="it has books"):
        source(f"qdrant+{url}?collection=gone", QDRANT_KEY).told()
    with pytest.raises(InvalidRequest, match="have the vectors dense"):
        source(f"qdrant+{url}?collection=books&vector=sparse", QDRANT_KEY).told()
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS"):
        source(f"qdrant+{url}?collection=books", "wrong").told()


def test_qdrant_in_a_folder(tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path / "points"))
    client.create_collection("books", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    client.upsert("books", points())
    client.close()
    told, bodies = read(f"qdrant+file:{tmp_path / 'points'}?collection=books")
    assert (told.dimension, told.metric) == (4, Metric.DOT)
    bodies.sort(key=lambda body: body["n"])
    same_vectors(bodies)
    assert bodies[3] == {"id": 3, "n": 3, "metadata": {"brand": "Acme", "n": -1}}
    with pytest.raises(InvalidFile, match=r"meta\.json"):
        source(f"qdrant+file:{tmp_path}?collection=books")


# -- pgvector ----------------------------------------------------------------------------------------------------------
def test_pgvector(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE shop_in")
    values = ", ".join(
        f"('s{i}', {i}, 'Lamp {i}', 9.50, '{{a,b}}', '{{\"brand\": \"Acme\"}}', '2024-05-01 12:00+00', 'x', "
        f"'\\x00', '{VECTORS[i].tolist()}')"
        for i in range(ROWS)
    )
    postgres.sql(
        'CREATE TABLE "Items" (sku text PRIMARY KEY, n int, name text, price numeric, tags text[], meta jsonb, '
        f'at timestamptz, words tsvector, raw bytea, "an Embedding" vector(4)); INSERT INTO "Items" VALUES {values}; '
        "INSERT INTO \"Items\" (sku, n) VALUES ('bare', 99); "
        'CREATE INDEX ON "Items" USING hnsw ("an Embedding" vector_ip_ops); ANALYZE "Items"; '
        "CREATE TABLE loose (a vector, b halfvec(4), id int PRIMARY KEY)",
        "shop_in",
    )
    address = postgres.address("shop_in", table="Items", lift="meta")
    told, bodies = read(address, PASSWORD)
    assert (told.dimension, told.metric) == (4, Metric.DOT)
    assert "words, raw" in told.notes[0]
    bodies.sort(key=lambda body: body["n"])
    assert VECTOR not in bodies.pop()
    same_vectors(bodies)
    moment = bodies[3].pop("at")
    assert moment.isoformat() == "2024-05-01T12:00:00+00:00"
    assert {**bodies[3], "price": float(bodies[3]["price"])} == {
        "id": "s3", "sku": "s3", "n": 3, "name": "Lamp 3", "price": 9.5, "tags": ["a", "b"], "brand": "Acme",
    }  # fmt: skip
    with pytest.raises(InvalidRequest, match="a, b; none is named"):
        source(postgres.address("shop_in", table="loose"), PASSWORD).told()
    chosen = source(postgres.address("shop_in", table="public.loose", vector="b"), PASSWORD)
    assert (chosen.told().dimension, chosen.told().metric) == (4, None)
    assert "cosine is taken" in chosen.told().notes[-1]
    assert list(chosen.rows()) == []
    with pytest.raises(InvalidRequest, match="table=NAME"):
        source(postgres.address("shop_in", table="gone"), PASSWORD).told()
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS"):
        source(address, "wrong").told()


# -- FAISS -------------------------------------------------------------------------------------------------------------
def saved(index: Any, folder: Path) -> str:
    faiss.write_index(index, str(folder / "a.index"))
    return f"faiss+file:{folder / 'a.index'}"


@pytest.mark.parametrize(
    "kind", ["Flat", "HNSW8", "IVF2,Flat", "IDMap,Flat", "IDMap2,HNSW8", "IDMap,IVF2,Flat", "Flat,RFlat"]
)
def test_faiss(kind: str, tmp_path: Path) -> None:
    index = faiss.index_factory(4, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    ids = np.arange(ROWS) * 7 + 1 if kind.startswith("IDMap") else np.arange(ROWS)
    if kind.startswith("IDMap"):
        index.add_with_ids(VECTORS, ids)
    else:
        index.add(VECTORS)
    address = saved(index, tmp_path)
    told, bodies = read(address)
    assert (told.dimension, told.metric) == (4, Metric.DOT)
    same_vectors(bodies)
    assert [body["id"] for body in bodies] == ids.tolist()
    lines = [orjson.dumps({"name": f"n{i}"}) for i in range(ROWS)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    _, bodies = read(f"{address}?rows={tmp_path / 'rows.jsonl'}")
    same_vectors(bodies)
    assert bodies[3] == {"id": int(ids[3]), "name": "n3"}


def test_faiss_with_a_file_that_is_too_short_or_too_long(tmp_path: Path) -> None:
    index = faiss.IndexFlatL2(4)
    index.add(VECTORS[:12])
    rows = tmp_path / "rows.csv"
    for count in (11, 14):
        rows.write_text("id,name\n" + "".join(f"k{i},n{i}\n" for i in range(count)))
        found = list(source(f"{saved(index, tmp_path)}?rows={rows}").rows())
        assert [row.body["id"] for row in found if isinstance(row, SourceRow)] == [
            f"k{i}" for i in range(min(count, 12))
        ]
        refused = [row for row in found if isinstance(row, Rejection)]
        assert len(refused) == abs(12 - count)


def test_faiss_gives_codes_back_only_when_asked(tmp_path: Path) -> None:
    many = np.random.default_rng(4).normal(size=(300, 4)).astype(np.float32)
    index = faiss.index_factory(4, "IVF4,PQ2x4")
    index.train(many)
    index.add(many)
    address = saved(index, tmp_path)
    with pytest.raises(InvalidRequest, match="approximate=true"):
        source(address).told()
    told, bodies = read(address + "?approximate=true")
    assert "approximate" in told.notes[0]
    found = np.stack([body[VECTOR] for body in bodies])
    assert not np.allclose(found, many, atol=1e-3)
    assert np.linalg.norm(found - many) < np.linalg.norm(many)


def test_faiss_with_ids_and_no_order_takes_no_file_beside(tmp_path: Path) -> None:
    index = faiss.index_factory(4, "IVF2,Flat")
    index.train(VECTORS)
    index.add_with_ids(VECTORS, np.arange(ROWS) * 3)
    address = saved(index, tmp_path)
    _, bodies = read(address)
    same_vectors(bodies)
    assert [body["id"] for body in bodies] == (np.arange(ROWS) * 3).tolist()
    (tmp_path / "rows.jsonl").write_bytes(b'{"name":"a"}')
    with pytest.raises(InvalidRequest, match="order"):
        source(f"{address}?rows={tmp_path / 'rows.jsonl'}").told()
    (tmp_path / "b.index").write_bytes(os.urandom(100))
    with pytest.raises(InvalidFile, match="FAISS cannot read"):
        source(f"faiss+file:{tmp_path / 'b.index'}").told()


# -- all of them -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["chroma+http", "qdrant+http", "pgvector+postgresql"])
def test_a_store_that_is_down_is_told(kind: str) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        address = f"{kind}://127.0.0.1:{place.getsockname()[1]}?collection=a"
    with pytest.raises(EngineUnavailable, match=r"does not answer|cannot be read"):
        source(address.replace("collection", "table") if "pgvector" in kind else address).told()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("milvus+http://host?collection=a", "known are chroma, faiss, pgvector, qdrant"),
        ("chroma+http://host", "which collection"),
        ("chroma+ftp://host?collection=a", "not ftp:"),
        ("chroma+http://host?collection=a&key=b", "no option 'key'"),
        ("chroma+http://host?collection=a%2Fb", "no name of a collection"),
        ("qdrant+http://me:secret@host?collection=a", "ENGINE_KEYS"),
        ("faiss+file:a.index?approximate=yes", "expected true or false"),
        ("pgvector+postgresql://host/db?table=a&sslmode=no", "sslmode"),
        ("https://host/a.csv", "NAME\\+URL"),
        ("postgresql://host/db", "NAME\\+URL"),
        ("faiss+file:a?rows=b&rows=c", "twice"),
    ],
)
def test_an_address_that_cannot_be_meant(address: str, told: str) -> None:
    with pytest.raises((InvalidSetting, InvalidFile), match=told) as refused:
        source(address)
    assert "secret" not in str(refused.value)


def test_no_field_of_a_store_is_lost_to_a_name() -> None:
    row = StoreRow("a", {"id": "other", "id_": 1, "vector": "v", "text": "t"}, None, text="t")
    assert body_of(row) == {"id": "a", "id__": "other", "id_": 1, "vector_": "v", "text": "t"}
