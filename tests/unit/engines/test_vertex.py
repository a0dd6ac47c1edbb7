"""Vertex AI Vector Search against a stand-in that speaks by the vendor's messages: the suite, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.vendors.serving import Trouble
from tests.vendors.vertex import LOCATION, PARENT, PROJECT, VertexStub
from tests.vendors.vertex_messages import VERSION

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import (
    EngineUnavailable,
    IndexMissing,
    InvalidSetting,
    MissingDependency,
    UnsupportedByEngine,
)
from nearfield.domain.filters import ContainsAny, Eq, Exists, matches
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines import calls, vertex, vertex_collection, vertex_location, vertex_rest, waiting
from nearfield.engines.vertex import VertexEngine, VertexIndex
from nearfield.engines.vertex_auth import Tokens
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, plainest, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PLAIN = spec_of(plainest(VertexEngine))
INDEXED = spec_of(replace(plainest(VertexEngine), kind=IndexKind.IVF))
QUERY = bookshop.vectors(1, seed=2)[0]
BOOKS = f"{PARENT}/collections/shop-books"


@pytest.fixture(scope="session")
def running() -> Iterator[VertexStub]:
    with VertexStub() as stub:
        yield stub


@pytest.fixture
def stub(running: VertexStub) -> Iterator[VertexStub]:
    running.reset()
    yield running
    assert running.watched.wrong == []


@pytest.mark.heavy
@pytest.mark.servers
class TestVertexEngine(EngineSuite):
    engine_type = VertexEngine

    @pytest.fixture
    def address(self, stub: VertexStub) -> str:
        stub.lag = stub.index_lag = 1
        return stub.address

    @pytest.fixture
    def key(self, stub: VertexStub) -> str:
        return stub.key

    @pytest.fixture
    def against(self) -> str:
        return f"a stand-in, every exchange read and written by the messages of google-cloud-vectorsearch {VERSION}"


def engine_on(stub: VertexStub, *, key: str | None = None, patience_s: float = 10.0) -> VertexEngine:
    return VertexEngine(stub.url, PROJECT, LOCATION, "shop_", Tokens(key or stub.key), patience_s=patience_s)


@pytest.fixture
async def engine(stub: VertexStub) -> AsyncIterator[VertexEngine]:
    engine = engine_on(stub)
    yield engine
    await engine.close()


@pytest.fixture
async def books(engine: VertexEngine) -> VertexIndex:
    """A few of them: what goes wrong does so with few."""
    index = await engine.create(PLAIN)
    await bookshop.stock(index, stop=12)
    return index


@pytest.fixture
async def every_book(books: VertexIndex) -> VertexIndex:
    await bookshop.stock(books, start=12)
    return books


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_PAUSE_S", 0.001)
    for module in (vertex_rest, vertex_location):
        monkeypatch.setattr(module, "LONGEST_LOOK_S", 0.02)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE_S", 0.02)


def trouble(stub: VertexStub, *troubles: Trouble) -> None:
    stub.watched.troubles = list(troubles)


# -- where things are ------------------------------------------------------------------------------------------------
async def test_operations_that_take_long_are_waited_for(stub: VertexStub, engine: VertexEngine) -> None:
    stub.slow_making = 4
    index = await engine.create(PLAIN)
    assert set(stub.collections) == {BOOKS}
    assert await index.count() == 0
    await engine.drop("books")
    assert not stub.collections


async def test_an_operation_that_fails_or_never_ends_is_an_error(stub: VertexStub, monkeypatch: Any) -> None:
    monkeypatch.setattr(vertex, "MAKING_S", 0.2)
    engine = engine_on(stub, patience_s=0.2)
    stub.failing = ["no machine is free"]
    with pytest.raises(EngineUnavailable, match="making a collection: no machine is free"):
        await engine.create(PLAIN)
    stub.slow_making = 10_000
    with pytest.raises(EngineUnavailable, match=r"waited 0\.2 s until making a collection is done"):
        await engine.create(PLAIN)
    await engine.close()


async def test_names_are_labels(stub: VertexStub, engine: VertexEngine) -> None:
    for name in ("c1_g1", "UPPER", "x" * 70, "c1_"):
        await engine.create(spec_of(plainest(VertexEngine), name=name))
    plain, *hashed = (name.rpartition("/")[2] for name in stub.collections)
    assert plain == "shop-c1-g1"
    assert len(set(hashed)) == 3
    await engine.drop("UPPER")
    assert len(stub.collections) == 3


async def test_a_collection_whose_making_was_not_answered_is_found(stub: VertexStub, engine: VertexEngine) -> None:
    trouble(stub, Trouble(f"POST /v1/{PARENT}/collections", times=1, status=503, after=True))
    assert await (await engine.create(PLAIN)).count() == 0
    trouble(stub, Trouble("DELETE", times=1, cut=True, after=True))
    await engine.drop("books")
    assert not stub.collections


async def test_a_project_that_is_not_there_is_told(stub: VertexStub) -> None:
    elsewhere = VertexEngine(stub.url, PROJECT, "mars-west1", "shop_", Tokens(stub.key))
    with pytest.raises(InvalidSetting, match="mars-west1"):
        await elsewhere.create(PLAIN)
    await elsewhere.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("vertex+grpc://vectorsearch.googleapis.com?project=p&location=l", "vertex\\+https"),
        ("vertex+https://vectorsearch.googleapis.com?location=us-central1", "option project is ''"),
        ("vertex+https://vectorsearch.googleapis.com?project=a/b&location=us-central1", "option project is 'a/b'"),
        ("vertex+https://vectorsearch.googleapis.com?project=shop-1234&location=", "option location is ''"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        VertexEngine.reach(EngineAddress.parse(address), prefix="x_", key=None)


async def test_what_the_vendor_chooses_cannot_be_asked(engine: VertexEngine) -> None:
    with pytest.raises(UnsupportedByEngine) as refused:
        await engine.create(spec_of(IndexSettings(kind=IndexKind.IVF, probes=4)))
    assert refused.value.field == "index.probes"


# -- the index -------------------------------------------------------------------------------------------------------
async def test_an_index_is_asked_for_but_not_waited_for(stub: VertexStub, engine: VertexEngine) -> None:
    index = await engine.create(PLAIN)
    assert not stub.asked("/indexes")
    await engine.drop("books")
    stub.slow_making = 25
    index = await engine.create(INDEXED)
    await bookshop.stock(index, stop=60)
    assert stub.collections[BOOKS].building
    assert (await index.stats()).unindexed == 60
    assert len(await index.nearest(QUERY, limit=60)) == 60  # every row is compared meanwhile
    while stub.collections[BOOKS].building:
        await index.count()
    assert (await index.stats()).unindexed == 0
    stub.lag = stub.index_lag = 3
    await bookshop.stock(index, start=60, stop=90)
    assert len(await index.nearest(QUERY, limit=90)) == 90
    assert stub.asked("/indexes") == 1


async def test_an_index_whose_building_failed_is_asked_for_again(stub: VertexStub, engine: VertexEngine) -> None:
    index = await engine.create(INDEXED)
    stub.collections[BOOKS].index = stub.collections[BOOKS].indexed = None
    assert (await index.stats()).unindexed == 0  # of no rows
    await index.optimize()
    assert stub.collections[BOOKS].index is not None
    await index.optimize()


async def test_a_collection_that_cannot_be_indexed_yet_is_indexed_later(stub: VertexStub, engine: VertexEngine) -> None:
    stub.least_indexed = 10
    index = await engine.create(INDEXED)
    await bookshop.stock(index, stop=12)
    assert (await index.stats()).unindexed == 12
    await index.optimize()
    assert (await index.stats()).unindexed == 0
    assert len(await index.nearest(QUERY, limit=50)) == 12


async def test_a_collection_whose_index_is_being_built_is_deleted_after(stub: VertexStub, engine: VertexEngine) -> None:
    stub.slow_making = 12
    await engine.create(INDEXED)
    assert stub.collections[BOOKS].building
    await engine.drop("books")
    assert not stub.collections


async def test_lists_are_filtered_where_every_row_is_compared(engine: VertexEngine, books: VertexIndex) -> None:
    indexed = await engine.create(replace(INDEXED, name="indexed"))
    where = ContainsAny("tags", ("new",))
    assert indexed.unsupported(where)
    assert not indexed.unsupported(Exists("tags"))
    assert not books.unsupported(where)
    with pytest.raises(UnsupportedByEngine):
        await indexed.nearest(QUERY, limit=3, where=where)


async def test_more_rows_than_are_compared(
    stub: VertexStub, engine: VertexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_collection, "KNN_ROWS", 100)
    stub.knn_rows = 100
    flat, indexed = await engine.create(PLAIN), await engine.create(replace(INDEXED, name="indexed"))
    for index in (flat, indexed):
        await bookshop.stock(index)  # is taken all the same: a move reads it
        assert await index.count() == bookshop.ROWS
    with pytest.raises(UnsupportedByEngine, match="move to") as refused:
        await flat.nearest(QUERY, limit=3)
    assert refused.value.field == "index.kind"
    assert len(await indexed.nearest(QUERY, limit=3)) == 3
    with pytest.raises(UnsupportedByEngine) as refused:
        await indexed.nearest(QUERY, limit=3, exact=True)
    assert refused.value.field == "exact"
    stub.collections[f"{PARENT}/collections/shop-indexed"].indexed = None
    with pytest.raises(EngineUnavailable, match="still being built"):
        await indexed.nearest(QUERY, limit=3)


# -- writes ----------------------------------------------------------------------------------------------------------
async def test_a_write_returns_once_it_is_seen(stub: VertexStub, engine: VertexEngine) -> None:
    stub.lag, stub.index_lag = 4, 6
    for spec in (PLAIN, replace(INDEXED, name="indexed")):
        index = await engine.create(spec)
        await bookshop.stock(index, stop=20)
        assert len(await index.nearest(QUERY, limit=50)) == 20
        await index.upsert(bookshop.keys()[:1], bookshop.vectors(1, seed=5), [{"brand": "other"}], [""])
        assert await index.count(Eq("brand", "other")) == 1
        assert len(await index.nearest(QUERY, limit=50, where=Eq("brand", "other"))) == 1
        await index.delete(bookshop.keys()[:5])
        assert len(await index.nearest(QUERY, limit=50)) == 15


async def test_a_write_that_is_never_seen_is_an_error(stub: VertexStub) -> None:
    engine = engine_on(stub, patience_s=0.2)
    index = await engine.create(PLAIN)
    stub.lag = 10_000
    with pytest.raises(EngineUnavailable, match=r"waited 0\.2 s until what was written is seen"):
        await bookshop.stock(index, stop=3)
    await engine.close()


async def test_batches_stay_below_the_limits(stub: VertexStub, engine: VertexEngine) -> None:
    """The stand-in refuses more than 1,000 objects."""
    index = await engine.create(replace(PLAIN, dimension=2, fields={}))
    keys = np.arange(2_500, dtype=np.int64)
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (len(keys), 1))
    await index.upsert(keys, vectors, [{}] * len(keys), [""] * len(keys))
    assert stub.asked(":batchCreate") == 3
    assert await index.count() == 2_500
    assert sorted(await listed_keys(index)) == keys.tolist()
    with pytest.raises(UnsupportedByEngine, match="at most 1000 hits"):
        await index.nearest(vectors[0], limit=1_001)
    await index.delete(keys)
    assert await index.count() == 0


async def test_rows_that_are_there_are_changed_and_others_created(stub: VertexStub, engine: VertexEngine) -> None:
    index = await engine.create(PLAIN)
    await bookshop.stock(index, start=3, stop=9)
    await bookshop.stock(index, start=100, stop=130)
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS
    assert (stub.asked(":batchCreate"), stub.asked(":batchUpdate")) == (4, 2)  # all, none, those there, the others
    found, stored = await index.vectors(bookshop.keys())
    np.testing.assert_array_equal(stored, bookshop.vectors())
    assert found.tolist() == bookshop.keys().tolist()


async def test_what_is_there_is_found_out_though_reads_are_behind(stub: VertexStub, engine: VertexEngine) -> None:
    index = await engine.create(PLAIN)
    stub.lag = 5
    trouble(stub, Trouble(":batchCreate", times=1, cut=True, after=True))  # its answer is lost
    await bookshop.stock(index, stop=7)
    assert await index.count() == 7
    view = stub.collections[BOOKS].stored
    for gone, told in ((3, []), (5, list(view.rows))):  # what reads tell is none of them, or all
        stub.lag = 0
        await index.delete(bookshop.keys()[:gone])
        seen = dict(view.rows)
        view.rows = {one: view.rows[one] for one in told if one in view.rows}
        stub.lag = 3
        view.pending = [[lambda rows, seen=seen: rows.update(seen), 3]]
        await bookshop.stock(index, stop=7)
        stub.lag = 0
        assert await index.count() == 7


async def test_rows_that_are_not_there_are_passed_over_and_unseen_ones_deleted(
    stub: VertexStub, books: VertexIndex
) -> None:
    missing = np.array([7, 8], np.int64)
    await books.delete(np.concatenate([missing, bookshop.keys()[:2]]))
    assert await books.count() == 10
    view = stub.collections[BOOKS].stored
    seen, view.rows = view.rows, {}
    view.pending = [[lambda rows: rows.update(seen), 2]]  # what is read is as it was before they were written
    await books.delete(np.concatenate([missing, bookshop.keys()[2:5]]))
    assert await books.count() == 7
    assert set(stub.collections[BOOKS].truth) == {f"k{key}" for key in bookshop.keys()[5:12]}


async def test_a_batch_that_was_half_taken_is_finished(stub: VertexStub, engine: VertexEngine) -> None:
    index = await engine.create(PLAIN)
    stub.torn = [70, 10]
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS
    stub.torn = [11]
    await index.delete(bookshop.keys()[:90])
    assert await index.count() == bookshop.ROWS - 90


async def test_what_remains_of_a_write_is_told(
    stub: VertexStub, engine: VertexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_collection, "MAX_OBJECTS", 100)
    monkeypatch.setattr(vertex_collection, "_AT_ONCE", 1)
    index = await engine.create(PLAIN)
    trouble(stub, Trouble(":batchCreate", times=calls.TRIES, status=503, body=b"{}"))
    with pytest.raises(EngineUnavailable, match=r"100 of 240 rows failed: .*HTTP 503"):
        await bookshop.stock(index)
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS


# -- searches --------------------------------------------------------------------------------------------------------
async def test_filters_are_taken_as_the_documentation_has_them(every_book: VertexIndex) -> None:
    native = [where for where in bookshop.FILTER_EXAMPLES if not every_book.unsupported(where)]
    assert len(native) > 35
    for where in native:
        assert await every_book.count(where) == sum(matches(where, bookshop.row(n)) for n in range(bookshop.ROWS)), (
            where
        )


async def test_pages_of_one_search_are_put_together(stub: VertexStub, every_book: VertexIndex) -> None:
    whole = await every_book.nearest(QUERY, limit=100)
    stub.page = 7
    assert (await every_book.nearest(QUERY, limit=100)).keys.tolist() == whole.keys.tolist()


async def test_an_answer_the_wrong_way_round_is_told(stub: VertexStub, books: VertexIndex) -> None:
    stub.upside_down = True
    with pytest.raises(EngineUnavailable, match="begins with the farthest"):
        await books.nearest(QUERY, limit=10)


# -- tokens ----------------------------------------------------------------------------------------------------------
async def test_one_token_serves_until_it_is_refused(stub: VertexStub, books: VertexIndex) -> None:
    assert stub.issued == 1
    stub.tokens.clear()
    await asyncio.gather(*(books.nearest(QUERY, limit=3) for _ in range(5)))
    assert stub.issued == 2
    books._objects._rest._server._auth._found.expiry = None  # type: ignore[union-attr] # as good as never
    books._objects._rest._server._auth._found.token = None  # type: ignore[union-attr]
    assert len(await books.nearest(QUERY, limit=3)) == 3
    assert stub.issued == 3


async def test_a_key_in_a_file(stub: VertexStub, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(stub.key)
    engine = engine_on(stub, key=str(tmp_path / "key.json"))
    assert await (await engine.create(PLAIN)).count() == 0
    await engine.close()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("/nowhere/key.json", "is no file that can be read"),
        ("{", "holds no key"),
        ('{"type": "authorized_user", "refresh_token": "s3cret"}', "holds no key"),
        ('{"type": "service_account", "private_key": "s3cret"}', "holds no key"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(key: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as refused:
        Tokens(key)
    assert "s3cret" not in str(refused.value)
    assert "nowhere" not in str(refused.value)


def test_what_is_to_be_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(MissingDependency, match=r"nearfield\[vertex\]"):
        Tokens(None)


async def test_a_key_that_is_refused_is_told(stub: VertexStub) -> None:
    wrong = json.loads(stub.key) | {"client_email": "nobody@shop-1234.iam.gserviceaccount.com"}
    engine = engine_on(stub, key=json.dumps(wrong))
    with pytest.raises(EngineUnavailable, match=r"no access token: .*NEARFIELD_ENGINE_KEYS"):
        await engine.open(PLAIN)
    assert stub.asked("/token") == 1  # trying again would not help
    trouble(stub, Trouble("/v1/", status=403, body=b'{"error": {"status": "PERMISSION_DENIED", "message": "no!"}}'))
    trouble(stub, Trouble("GET", status=403, body=b'{"error": {"status": "PERMISSION_DENIED", "message": "no!"}}'))
    other = engine_on(stub)
    with pytest.raises(EngineUnavailable, match="no!; check the service account"):
        await other.open(PLAIN)
    for one in (engine, other):
        await one.close()


async def test_a_token_server_that_is_down_may_pass(stub: VertexStub) -> None:
    lost = json.loads(stub.key) | {"token_uri": "http://127.0.0.1:9/token"}
    engine = engine_on(stub, key=json.dumps(lost))
    with pytest.raises(EngineUnavailable, match="no access token: ConnectError"):
        await engine.open(PLAIN)
    await engine.close()


async def test_the_identity_of_the_machine_is_taken_where_no_key_is_given(
    stub: VertexStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text(stub.key)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "who-pays")
    engine = VertexEngine.reach(EngineAddress.parse(stub.address), prefix="shop_")
    assert await (await engine.create(PLAIN)).count() == 0
    assert {request.headers.get("x-goog-user-project") for request in stub.watched.seen[1:]} == {"who-pays"}
    await engine.close()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    engine = VertexEngine.reach(EngineAddress.parse(stub.address), prefix="shop_")
    with pytest.raises(InvalidSetting, match="no credentials of Google Cloud"):
        await engine.open(PLAIN)
    await engine.close()


# -- what goes wrong -------------------------------------------------------------------------------------------------
async def test_a_server_that_is_down_is_told(stub: VertexStub) -> None:
    engine = VertexEngine("http://127.0.0.1:9", PROJECT, LOCATION, "shop_", Tokens(stub.key))
    with pytest.raises(EngineUnavailable, match="engine vertex, describing a collection: ConnectError"):
        await engine.open(PLAIN)
    await engine.close()


async def test_a_connection_that_breaks_is_made_again(stub: VertexStub, books: VertexIndex) -> None:
    trouble(stub, Trouble(":search", times=1, cut=True))
    assert len(await books.nearest(QUERY, limit=3)) == 3


async def test_a_server_that_is_slow_is_not_waited_for(
    stub: VertexStub, books: VertexIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books._objects._rest._server.calls, "_timeout_s", 0.2)
    trouble(stub, Trouble(":search", delay_s=0.5))
    with pytest.raises(EngineUnavailable, match=r"searching: no answer within 0\.2 s"):
        await books.nearest(QUERY, limit=3)


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}
EXHAUSTED = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded", "details": [RETRY_INFO]}


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"retry-after": "0.3"}, b""), ({}, json.dumps({"error": EXHAUSTED}).encode())],
)
async def test_throttling_is_waited_out(
    stub: VertexStub, books: VertexIndex, headers: dict[str, str], body: bytes
) -> None:
    trouble(stub, Trouble(":search", times=1, status=429, headers=headers, body=body))
    started = asyncio.get_running_loop().time()
    assert len(await books.nearest(QUERY, limit=3)) == 3
    assert asyncio.get_running_loop().time() - started >= 0.3  # at least: never sooner than it asked
    trouble(stub, Trouble(":search", status=429, headers={"retry-after": "0"}, body=body))
    with pytest.raises(EngineUnavailable, match="HTTP 429"):
        await books.nearest(QUERY, limit=3)


async def test_a_write_that_lost_against_another_is_sent_again(stub: VertexStub, books: VertexIndex) -> None:
    aborted = b'{"error": {"code": 409, "status": "ABORTED", "message": "try again"}}'
    trouble(stub, Trouble(":batchUpdate", times=1, status=409, body=aborted))
    await bookshop.stock(books, stop=5)
    trouble(stub, Trouble(":batchCreate", status=409, body=aborted))
    with pytest.raises(EngineUnavailable, match="ABORTED: try again"):
        await bookshop.stock(books, stop=5)


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>",
        b"[]",
        b'{"results": [{"dataObject": {"name": "p/dataObjects/x"}, "distance": 1}]}',
        b'{"results": [{"dataObject": {"name": "p/dataObjects/k1"}}]}',
        b'{"results": 3}',
    ],
)
async def test_garbage_is_told(stub: VertexStub, books: VertexIndex, garbage: bytes) -> None:
    trouble(stub, Trouble(":search", times=calls.TRIES, status=200, body=garbage))
    with pytest.raises(EngineUnavailable, match="an answer that"):
        await books.nearest(QUERY, limit=3)
    assert len(await books.nearest(QUERY, limit=3)) == 3


async def test_garbage_for_an_operation_is_told(stub: VertexStub, engine: VertexEngine) -> None:
    trouble(stub, Trouble(f"POST /v1/{PARENT}/collections", status=200, body=b'{"name": "../../secrets"}'))
    with pytest.raises(EngineUnavailable, match="an operation called"):
        await engine.create(PLAIN)


async def test_a_request_that_is_refused_is_told(stub: VertexStub, books: VertexIndex) -> None:
    refused = b'{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no such operator"}}'
    trouble(stub, Trouble(":search", status=400, body=refused))
    with pytest.raises(EngineUnavailable, match="no such operator"):
        await books.nearest(QUERY, limit=3)


async def test_an_index_that_was_deleted_meanwhile_is_missing(stub: VertexStub, books: VertexIndex) -> None:
    stub.collections.clear()
    for call in (books.nearest(QUERY, limit=3), books.delete(bookshop.keys()[:3]), bookshop.stock(books, stop=3)):
        with pytest.raises(IndexMissing, match="rebuilt"):
            await call


async def test_a_server_that_failed_often_is_left_alone(stub: VertexStub, books: VertexIndex) -> None:
    trouble(stub, Trouble(":search", status=500))
    for _ in range(calls.FAILURES):
        with pytest.raises(EngineUnavailable, match="HTTP 500"):
            await books.nearest(QUERY, limit=3)
    before = len(stub.watched.seen)
    with pytest.raises(EngineUnavailable, match="left alone"):
        await books.nearest(QUERY, limit=3)
    assert len(stub.watched.seen) == before


# -- as a collection's engine ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["flat", pytest.param("ivf", marks=pytest.mark.heavy)])
def test_a_collection_on_vertex(stub: VertexStub, tmp_path: Path, kind: str) -> None:
    stub.lag = stub.index_lag = 1
    (tmp_path / "key.json").write_text(stub.key)
    rows: list[dict[str, Any]] = [
        {"id": str(n), "name": f"lamp {n}", "price": float(n), "tags": ["old" if n % 2 else "new"]} for n in range(30)
    ]
    asked = {"environment": "test", "embedder": "hashing", "engine_keys": {"vertex": str(tmp_path / "key.json")}}
    with nearfield.open(tmp_path / "data", engine=stub.address, **asked) as db:
        shop = db.collection(
            "lamps", embed="{name}", fields={"price": float, "tags": list[str], "name": str}, index={"kind": kind}
        )
        shop.upsert(rows)
        found = shop.search("lamp 7", limit=3)
        assert found.hits[0].id == "7"
        cheap = shop.search("lamp", limit=10, where={"price": {"$lt": 6}, "tags": "new"})
        assert {hit.id for hit in cheap.hits} == {"0", "2", "4"}
        beyond = shop.search("lamp", limit=50, where={"name": {"$gte": "lamp 8"}})  # decided by the plan
        assert {hit.id for hit in beyond.hits} == {"8", "9"}
        shop.delete(["7"])
        assert "7" not in {hit.id for hit in shop.search("lamp 7", limit=50).hits}
    with nearfield.open(tmp_path / "data", engine=stub.address, **asked) as db:
        assert len(db.collection("lamps").search("lamp", limit=50).hits) == 29
