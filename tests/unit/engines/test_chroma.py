"""Chroma, in the process and as its own server: what it owes beyond the suite, and what is told when it fails."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import urllib.request
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.vendors.chroma_server import Proxy, binary, running
from tests.vendors.serving import Trouble, Watched, served

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import (
    EngineUnavailable,
    IndexDamaged,
    IndexMissing,
    InvalidSetting,
    MissingDependency,
    UnsupportedByEngine,
)
from nearfield.domain.filters import And, ContainsAny, Eq, In, Lt, Not, matches
from nearfield.domain.schema import IndexSettings, Metric
from nearfield.engines import chroma_embedded
from nearfield.engines.calls import TRIES
from nearfield.engines.chroma import ChromaEngine
from nearfield.engines.chroma_filters import MOST_TERMS, MOST_VALUES, compile_filter
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.vendors.chroma_server import ChromaRun

pytest.importorskip("chromadb", reason="chromadb is not installed")

HNSW = spec_of(IndexSettings())
SECRET = "ck-very-secret"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaRun]:
    if binary() is None:
        pytest.skip("the command `chroma` is not installed")
    with running(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture
def watched(server: ChromaRun) -> Watched:
    return Watched(Proxy(server.url), None)


@pytest.fixture
def proxied(watched: Watched) -> Iterator[str]:
    """The address of the server behind a watch."""
    with served(watched) as url:
        yield f"chroma+{url}"


def reached(address: str, *, prefix: str = "p_", key: str | None = None) -> ChromaEngine:
    return ChromaEngine.reach(EngineAddress.parse(address), prefix=prefix, key=key)


@pytest.mark.heavy
@pytest.mark.servers
class TestChromaFolder(EngineSuite):
    engine_type = ChromaEngine

    @pytest.fixture
    def against(self) -> str:
        return f"Chroma {version('chromadb')}"


@pytest.mark.heavy
@pytest.mark.servers
class TestChromaServer(EngineSuite):
    engine_type = ChromaEngine

    @pytest.fixture
    def address(self, server: ChromaRun) -> str:
        return f"chroma+{server.url}"

    @pytest.fixture
    def against(self, server: ChromaRun) -> str:
        with urllib.request.urlopen(f"{server.url}/api/v2/version", timeout=60) as answer:
            return f"`chroma run` of chromadb {version('chromadb')}, which calls itself {json.load(answer)}"


async def test_what_was_written_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip("the command `chroma` is not installed")
    with running(tmp_path / "chroma") as server:
        engine = reached(f"chroma+{server.url}")
        index = await engine.create(HNSW)
        await bookshop.stock(index)
        await index.delete(bookshop.keys()[:40])
        server.kill()
        server.start()
        assert sorted(await listed_keys(index)) == bookshop.keys()[40:].tolist()
        again = await engine.open(HNSW)
        found = await again.nearest(bookshop.vectors()[99], limit=1)
        assert found.keys.tolist() == [bookshop.keys()[99]]
        await engine.close()


async def test_many_rows_and_two_prefixes(server: ChromaRun) -> None:
    one, other = reached(f"chroma+{server.url}", prefix="one_"), reached(f"chroma+{server.url}", prefix="two_")
    index, beside = await one.create(HNSW), await other.create(HNSW)
    keys, vectors = np.arange(2_500, dtype=np.int64) << 12, bookshop.vectors(2_500, seed=5)
    await index.upsert(keys, vectors, [{"year": n} for n in range(2_500)], [""] * 2_500)
    assert (await index.count(), await beside.count()) == (2_500, 0)
    right = 0
    for query in bookshop.vectors(20, seed=6):
        true = keys[np.argsort(-(vectors @ query))[:10]]
        right += len({*true.tolist()} & {*(await index.nearest(query, limit=10)).keys.tolist()})
    assert right >= 190
    assert len(await index.nearest(vectors[0], limit=50, where=Lt("year", 30))) == 30
    found, stored = await index.vectors(keys[::-1][:1_200])
    assert found.tolist() == keys[::-1][:1_200].tolist()
    np.testing.assert_allclose(stored, vectors[::-1][:1_200], atol=1e-6)
    await one.drop("books")
    await other.drop("books")
    await one.close()
    await other.close()


async def test_a_row_that_the_graph_leaves_out_is_found(
    watched: Watched, proxied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reached(proxied)
    index = await engine.create(HNSW)
    await bookshop.stock(index, stop=20)
    real = index._read

    def without_one(answer: Any) -> tuple[Any, Any]:
        """As when the graph leads to all rows but one."""
        keys, scores = real(answer)
        return keys[keys != bookshop.keys()[6]], scores[keys != bookshop.keys()[6]]

    monkeypatch.setattr(index, "_read", without_one)
    query = bookshop.vectors()[6]
    assert (await index.nearest(query, limit=20)).keys[0] == bookshop.keys()[6]
    # a row deleted between the two questions: as many rows as were found, but others
    watched.troubles = [Trouble("/get", times=1, delay_s=0.5)]
    searching = asyncio.create_task(index.nearest(query, limit=20))
    await asyncio.sleep(0.2)
    await index.delete(bookshop.keys()[7:8])
    assert sorted((await searching).keys.tolist()) == bookshop.keys()[[*range(7), *range(8, 20)]].tolist()
    await engine.drop("books")
    await engine.close()


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
async def test_the_scores_of_other_metrics(tmp_path: Path, metric: Metric) -> None:
    engine = ChromaEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings(metric=metric)))
    await bookshop.stock(index, scale=2.5)
    query, stored = bookshop.vectors(1, seed=3)[0], bookshop.vectors() * np.float32(2.5)
    scores = stored @ query if metric is Metric.DOT else -np.linalg.norm(stored - query, axis=1)
    found = await index.nearest(query, limit=10)
    assert found.keys.tolist() == bookshop.keys()[np.argsort(-scores)[:10]].tolist()
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1][:10], atol=1e-4)
    await engine.close()


async def test_an_index_of_other_making_is_told(tmp_path: Path) -> None:
    engine = ChromaEngine.at(tmp_path)
    await engine.create(HNSW)
    with pytest.raises(IndexDamaged, match="settings"):
        await engine.open(spec_of(IndexSettings(m=32)))
    engine._chroma._open().create_collection("nearfield_others", embedding_function=None)  # type: ignore[attr-defined]
    with pytest.raises(IndexDamaged, match="does not tell"):
        await engine.open(spec_of(IndexSettings(), name="others"))
    await engine.close()


def test_what_chroma_does_not_say_is_left_to_the_plan() -> None:
    many = tuple(str(n) for n in range(MOST_VALUES + 1))
    for where in (
        Lt("brand", "x"),
        Not(Lt("brand", "x")),
        In("brand", many),
        ContainsAny("tags", many[: MOST_TERMS + 1]),
        And(tuple(Eq("year", n) for n in range(MOST_TERMS + 1))),
    ):
        with pytest.raises(UnsupportedByEngine):
            compile_filter(where, bookshop.FIELDS)


async def test_as_many_values_as_are_claimed_are_taken(tmp_path: Path) -> None:
    engine = ChromaEngine.at(tmp_path)
    index = await engine.create(HNSW)
    await bookshop.stock(index)
    words = tuple(f"t{n}" for n in range(MOST_TERMS))
    expected = sum("tags" in bookshop.row(n) for n in range(bookshop.ROWS))
    assert await index.count(ContainsAny("tags", words)) == expected
    years = In("year", (*range(MOST_VALUES - 1), 2**63 - 1))
    assert await index.count(years) == sum(matches(years, bookshop.row(n)) for n in range(bookshop.ROWS)) > 100
    await engine.close()


# -- a server that fails -----------------------------------------------------------------------------------------------
async def test_a_server_that_is_down_is_told() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        engine = reached(f"chroma+http://127.0.0.1:{place.getsockname()[1]}")
        with pytest.raises(EngineUnavailable, match="engine chroma, opening an index"):
            await engine.open(HNSW)
        await engine.close()


async def test_a_server_that_is_slow_is_not_waited_for(watched: Watched, proxied: str) -> None:
    engine = reached(f"{proxied}?timeout_s=0.3")
    watched.troubles = [Trouble("GET /api/v2", delay_s=1.0)]
    with pytest.raises(EngineUnavailable, match=r"no answer within 0\.3 s"):
        await engine.open(HNSW)
    await engine.close()


async def test_throttling_is_waited_out(watched: Watched, proxied: str) -> None:
    engine = reached(proxied)
    index = await engine.create(HNSW)
    await bookshop.stock(index)
    watched.troubles = [Trouble("/query", times=1, status=429, headers={"retry-after": "0.2"})]
    query = bookshop.vectors()[5]
    assert (await index.nearest(query, limit=1)).keys.tolist() == [bookshop.keys()[5]]
    watched.troubles = [Trouble("/query", status=429, headers={"retry-after": "0"})]
    with pytest.raises(EngineUnavailable, match="429"):
        await index.nearest(query, limit=1)
    watched.troubles = [Trouble("/upsert", times=1, cut=True, after=True)]  # taken, but not heard
    await bookshop.stock(index, stop=10)
    assert await index.count() == bookshop.ROWS
    await engine.drop("books")
    await engine.close()


@pytest.mark.parametrize(
    "garbage",
    [b"", b"<html>", b"{}", b"[]", b'{"ids": [["x"]], "distances": [[1]]}', b'{"ids": [["1"]], "distances": [[]]}'],
)
async def test_garbage_is_told(watched: Watched, proxied: str, garbage: bytes) -> None:
    engine = reached(proxied)
    index = await engine.create(HNSW)
    watched.troubles = [Trouble("/query", times=TRIES, status=200, body=garbage)]
    with pytest.raises(EngineUnavailable, match="makes no sense"):
        await index.nearest(bookshop.vectors()[5], limit=1)
    watched.troubles = []
    assert len(await index.nearest(bookshop.vectors()[5], limit=1)) == 0
    await engine.drop("books")
    await engine.close()


async def test_a_key_that_is_refused_is_told_but_never_shown(watched: Watched, proxied: str) -> None:
    engine = reached(proxied, key=SECRET)
    watched.troubles = [Trouble("GET", status=401, body=f"{SECRET} is wrong".encode())]
    with pytest.raises(EngineUnavailable, match="NEARFIELD_ENGINE_KEYS") as refused:
        await engine.open(HNSW)
    assert SECRET not in str(refused.value)
    assert [request.headers["x-chroma-token"] for request in watched.seen] == [SECRET]
    await engine.close()


async def test_an_index_that_was_removed_meanwhile_is_missing(server: ChromaRun) -> None:
    engine, other = reached(f"chroma+{server.url}"), reached(f"chroma+{server.url}")
    index = await engine.create(HNSW)
    await other.drop("books")
    with pytest.raises(IndexMissing):
        await index.count()
    await engine.close()
    await other.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("chroma+grpc://host:1", "http://"),
        ("chroma+http://host?tenant=a/b", "tenant"),
        ("chroma+http://host?timeout_s=soon", "timeout_s"),
        ("chroma+http://host?timeout_s=0", "timeout_s"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        reached(address)


def test_without_chromadb_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    chroma_embedded.sdk.cache_clear()
    with pytest.raises(MissingDependency, match=r"nearfield\[chroma\]"):
        ChromaEngine.at(tmp_path)
    monkeypatch.undo()
    chroma_embedded.sdk.cache_clear()


@pytest.mark.parametrize("place", ["folder", "server"])
def test_a_collection_on_chroma(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> None:
    engine = "chroma" if place == "folder" else f"chroma+{request.getfixturevalue('server').url}"
    with nearfield.open(tmp_path / "data", environment="test") as db:
        shop = db.collection(
            "shop", embed="{name}", fields={"price": float, "brand": str}, embedder="hashing", engine=engine
        )
        shop.upsert([{"id": f"p{n}", "name": f"lamp number{n}", "price": n + 0.5, "brand": "b"} for n in range(50)])
        found = shop.search("lamp number7", where="price < 20", limit=30, mode="semantic")
        assert (found.hits[0].id, len(found.hits)) == ("p7", 20)
        beyond = shop.search("lamp number7", where='price < 20 AND brand >= "a"', limit=30, mode="semantic")
        assert len(beyond.hits) == 20  # Chroma compares no words by <: the plan does
        shop.delete("p7")
    with nearfield.open(tmp_path / "data", environment="test") as db:
        hits = db.collection("shop").search("lamp number7", limit=50, mode="semantic").hits
        assert len(hits) == 49
        assert "p7" not in [hit.id for hit in hits]
        db.drop("shop")
