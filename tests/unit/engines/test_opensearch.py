"""OpenSearch by a stand-in: the suite with every exchange held against the vendor's document, and what may go wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import numpy as np
import pytest
from tests.vendors.opensearch import DOCUMENT_ERRORS, OpenSearch
from tests.vendors.schema import Contract, Request
from tests.vendors.serving import Trouble, Watched, served

import nearfield
from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import DiskFull, EngineUnavailable, IndexMissing, InvalidSetting, UnsupportedByEngine
from nearfield.domain.filters import Eq
from nearfield.domain.schema import IndexKind, IndexSettings, Quantization
from nearfield.engines.calls import Calls
from nearfield.engines.opensearch import OpenSearchEngine
from nearfield.engines.opensearch_http import BULK_BYTES
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of, truly_nearest
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from nearfield.engines.opensearch import OpenSearchIndex
    from nearfield.protocols.engine import IndexSpec


@pytest.fixture(scope="module")
def stand_in(shared_schemas: Path) -> Iterator[tuple[OpenSearch, Watched, str]]:
    server = OpenSearch()
    watched = Watched(server, Contract.load(shared_schemas / "opensearch.openapi.yaml"), forgiven=DOCUMENT_ERRORS)
    with served(watched) as url:
        yield server, watched, url


@pytest.mark.heavy
@pytest.mark.servers
class TestOpenSearchEngine(EngineSuite):
    engine_type = OpenSearchEngine

    @pytest.fixture
    def address(self, stand_in: tuple[OpenSearch, Watched, str]) -> Iterator[str]:
        _, watched, url = stand_in
        yield f"opensearch+{url}?shards=3"
        assert watched.wrong[:3] == []

    @pytest.fixture
    def against(self, shared_schemas: Path) -> str:
        described = Contract.load(shared_schemas / "opensearch.openapi.yaml").version
        return f"a stand-in, every exchange held against the vendor's OpenAPI document {described}"


# -- what may go wrong ---------------------------------------------------------------------------------------------
FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))
GRAPH = spec_of(IndexSettings(kind=IndexKind.HNSW, ef_search=77))
QUERY = bookshop.vectors(1, seed=2)[0]


class Scene:
    """An engine of few, short tries before a server of its own. pauses: how long it would have waited between tries."""

    def __init__(self, server: OpenSearch, watched: Watched, url: str) -> None:
        self.server, self.watched, self.url = server, watched, url
        self.pauses: list[float] = []
        self._engines: list[OpenSearchEngine] = []

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()

    def engine(self, options: str = "", key: str | None = None) -> OpenSearchEngine:
        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        guard = partial(Calls, "opensearch", timeout_s=2.0, tries=3, pause=pause)
        address = EngineAddress.parse(f"opensearch+{self.url}{options}")
        self._engines.append(OpenSearchEngine(address, prefix="p_", key=key, guard=guard))
        return self._engines[-1]

    async def stocked(self, spec: IndexSpec = FLAT, options: str = "?shards=3") -> OpenSearchIndex:
        index = await self.engine(options).create(spec)
        await bookshop.stock(index)
        self.watched.seen.clear()
        return index

    def sent(self, path: str) -> list[dict[str, Any]]:
        """The bodies of the requests to a path that ends so."""
        return [json.loads(seen.body) for seen in self.watched.seen if seen.path.endswith(path) and seen.body]


@pytest.fixture
def place(shared_schemas: Path) -> Iterator[Scene]:
    server = OpenSearch()
    contract = Contract.load(shared_schemas / "opensearch.openapi.yaml")
    watched = Watched(server, contract, forgiven=DOCUMENT_ERRORS)
    with served(watched) as url:
        yield Scene(server, watched, url)
    assert watched.wrong[:3] == []


@pytest.fixture
async def scene(place: Scene) -> AsyncIterator[Scene]:
    yield place
    await place.close()


async def test_a_server_that_is_down_is_told() -> None:
    engine = Scene(OpenSearch(), Watched(OpenSearch(), None), "http://127.0.0.1:1").engine()
    with pytest.raises(EngineUnavailable, match="no connection"):
        await engine.open(FLAT)
    await engine.close()


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (Trouble(on="/_search", delay_s=30.0, times=1), None),
        (Trouble(on="/_search", delay_s=30.0), "no answer within 2 s"),
        (Trouble(on="/_search", status=429, headers={"retry-after": "3"}, times=2), None),
        (Trouble(on="/_search", status=429, headers={"retry-after": "3"}), "429"),
        (
            Trouble(on="/_search", status=503, body=b'{"error": {"type": "a", "reason": "b"}, "status": 503}', times=2),
            None,
        ),
        (Trouble(on="/_search", status=200, body=b"<html>welcome</html>", times=2), None),
        (Trouble(on="/_search", status=200, body=b"<html>welcome</html>"), "no JSON"),
        (Trouble(on="/_search", status=200, body=b"[1]"), "no object"),
        (Trouble(on="/_search", status=200, body=b'{"hits": 3}'), "cannot be read"),
        (Trouble(on="/_search", status=502, body=b"bad gateway"), "502"),
        (Trouble(on="/_search", cut=True, times=1), None),
        (Trouble(on="/_search", cut=True), "no connection"),
        (
            Trouble(on="/_search", status=400, body=b'{"error": {"type": "x", "reason": "odd"}, "status": 400}'),
            "x: odd",
        ),
        (Trouble(on="/_search", status=401, body=b"Unauthorized"), "refused the key"),
        (Trouble(on="/_search", status=403, body=b'{"Message": "no"}'), "refused the key"),
    ],
    ids=lambda value: "" if isinstance(value, Trouble) else str(value),
)
async def test_a_search_is_tried_again_or_told(scene: Scene, trouble: Trouble, told: str | None) -> None:
    index = await scene.stocked()
    scene.watched.troubles = [replace(trouble)]
    if told is None:
        assert (await index.nearest(QUERY, limit=5)).keys.tolist() == truly_nearest(QUERY, 5)
    else:
        with pytest.raises(EngineUnavailable, match=told):
            await index.nearest(QUERY, limit=5)
    passing = told not in ("x: odd", "refused the key")
    assert len(scene.sent("/_search")) == (1 if not passing else trouble.times + 1 if told is None else 3)
    if trouble.status == 429:
        assert len(scene.pauses) == 2
        assert min(scene.pauses) >= 3.0


@pytest.mark.parametrize(
    ("asked", "how"),
    [
        (asked, how)
        for asked in ("nearest", "graph", "lexical", "count", "keys")
        for how in ("told", "passed off", "timed out")
        if (asked, how) != ("count", "timed out")  # a count knows no such thing
    ],
)
async def test_a_part_of_an_answer_is_not_passed_for_the_whole(scene: Scene, asked: str, how: str) -> None:
    index = await scene.stocked(GRAPH if asked == "graph" else FLAT)
    scene.server.lost_shards, scene.server.passes_off = (0 if how == "timed out" else 1), how == "passed off"
    scene.server.slow = how == "timed out"
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "nearest": lambda: index.nearest(QUERY, limit=5),
        "graph": lambda: index.nearest(QUERY, limit=5),
        "lexical": lambda: index.lexical("lamp", limit=5),
        "count": index.count,
        "keys": lambda: listed_keys(index),
    }
    with pytest.raises(EngineUnavailable, match="shards"):
        await calls[asked]()
    scene.server.lost_shards, scene.server.slow = 0, False
    await calls[asked]()


async def test_rows_that_are_refused_for_now_are_sent_again_alone(scene: Scene) -> None:
    index = await scene.engine().create(FLAT)
    busy = {str(key): 2 for key in bookshop.keys()[10:13].tolist()}

    def fails(_: str, name: str) -> tuple[int, str, str] | None:
        busy[name] = busy.get(name, 0) - 1
        return (429, "rejected_execution_exception", "queue is full") if busy[name] >= 0 else None

    scene.server.fails = fails
    await bookshop.stock(index)
    rows = [seen.body.count(b'{"index"') for seen in scene.watched.seen if seen.path.endswith("/_bulk")]
    assert rows == [bookshop.ROWS, 3, 3]
    assert await index.count() == bookshop.ROWS
    busy.update(dict.fromkeys(busy, 0) | {str(bookshop.keys()[5]): 99, str(bookshop.keys()[6]): 99})
    with pytest.raises(EngineUnavailable, match=r"2 of the rows .* queue is full"):
        await bookshop.stock(index, stop=20)


async def test_rows_that_are_refused_for_good_are_counted_and_the_first_is_explained(scene: Scene) -> None:
    index = await scene.engine().create(FLAT)
    bad = {str(key) for key in bookshop.keys()[[4, 9]].tolist()}
    scene.server.fails = lambda _, name: (400, "mapper_parsing_exception", "no number") if name in bad else None
    with pytest.raises(EngineUnavailable, match=rf"2 of {bookshop.ROWS} failed; the first, {5 << 12}: mapper_parsing"):
        await bookshop.stock(index)
    full = "index [x] blocked by: [disk usage exceeded flood-stage watermark, index has read-only block];"
    scene.server.fails = lambda _, name: (403, "cluster_block_exception", full)
    with pytest.raises(DiskFull):
        await bookshop.stock(index)


async def test_a_server_without_disk_space_is_told(scene: Scene) -> None:
    index = await scene.stocked()
    reason = "index [p_books] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, ...];"
    error = {"error": {"type": "cluster_block_exception", "reason": reason}, "status": 429}
    scene.watched.troubles = [Trouble(on="/_bulk", status=429, body=json.dumps(error).encode())]
    with pytest.raises(DiskFull):
        await bookshop.stock(index, stop=1)


async def test_a_write_that_took_effect_and_was_not_answered_is_made_once(scene: Scene) -> None:
    scene.watched.troubles = [
        Trouble(on="PUT /p_books", status=504, after=True, times=1),
        Trouble(on="/_bulk", status=504, after=True, times=1),
    ]
    index = await scene.engine().create(FLAT)
    await bookshop.stock(index)
    assert await index.count() == bookshop.ROWS
    scene.watched.troubles = [Trouble(on="DELETE /p_books", status=504, after=True, times=1)]
    engine = scene.engine()
    await engine.drop("books")
    with pytest.raises(IndexMissing):
        await engine.open(FLAT)
    with pytest.raises(IndexMissing):
        await index.count()


async def test_large_writes_are_sent_in_parts(scene: Scene) -> None:
    wide = spec_of(IndexSettings(kind=IndexKind.FLAT), dimension=4_000)
    index = await scene.engine().create(wide)
    count = 400
    vectors = np.random.default_rng(0).normal(size=(count, 4_000)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    await index.upsert(np.arange(count), vectors, [{}] * count, [""] * count)
    sizes = [len(seen.body) for seen in scene.watched.seen if seen.path.endswith("/_bulk")]
    assert len(sizes) > 2
    assert max(sizes) <= BULK_BYTES
    assert await index.count() == count


async def test_the_graph_is_asked_with_its_filter_and_effort(scene: Scene) -> None:
    index = await scene.stocked(GRAPH)
    await index.nearest(QUERY, limit=5, where=Eq("used", True))
    await index.nearest(QUERY, limit=5, effort=300)
    default, asked = (body["query"]["knn"]["vector"] for body in scene.sent("/_search"))
    assert default["filter"] == {"term": {"f_used": {"value": True}}}
    assert (default["method_parameters"], asked["method_parameters"]) == ({"ef_search": 77}, {"ef_search": 300})
    for effort in (0, 10_001):
        with pytest.raises(UnsupportedByEngine, match="effort"):
            await index.nearest(QUERY, limit=5, effort=effort)
    for call in (index.nearest(QUERY, limit=10_001), index.lexical("lamp", limit=10_001)):
        with pytest.raises(UnsupportedByEngine, match="10000 hits"):
            await call
    with pytest.raises(UnsupportedByEngine, match="1000 different words"):
        await index.lexical(" ".join(f"w{n}" for n in range(1_001)), limit=5)


@pytest.mark.parametrize(
    ("options", "quantization", "graph"),
    [
        ("", Quantization.NONE, "lucene"),
        ("?engine=faiss", Quantization.NONE, "faiss"),
        ("", Quantization.FLOAT16, "faiss"),
        ("", Quantization.INT8, "lucene"),
        ("?engine=lucene", Quantization.FLOAT16, None),
        ("?engine=faiss", Quantization.INT8, None),
    ],
)
async def test_which_engine_builds_the_graph(
    scene: Scene, options: str, quantization: Quantization, graph: str | None
) -> None:
    spec = spec_of(IndexSettings(quantization=quantization))
    if graph is None:
        with pytest.raises(UnsupportedByEngine, match="engine="):
            await scene.engine(options).create(spec)
        return
    await scene.engine(options + ("&" if options else "?") + "shards=2&replicas=3").create(spec)
    (body,) = scene.sent("/p_books")[-1:]
    assert body["mappings"]["properties"]["vector"]["method"]["engine"] == graph
    assert (body["settings"]["index"]["number_of_shards"], body["settings"]["index"]["number_of_replicas"]) == (2, 3)


@pytest.mark.parametrize(
    "options", ["shards=0", "shards=many", "replicas=-1", "engine=nmslib", "region=a&service=aoss", "service=es"]
)
def test_wrong_options_are_refused(options: str) -> None:
    with pytest.raises(InvalidSetting):
        OpenSearchEngine.reach(EngineAddress.parse(f"opensearch+http://localhost?{options}"), prefix="p_")


# -- who is asking -------------------------------------------------------------------------------------------------
async def test_name_and_password_are_sent_and_never_told(scene: Scene) -> None:
    engine = scene.engine(key="reader:s3cret:with:colons")
    scene.watched.troubles = [Trouble(on="GET", status=401, body=b"Unauthorized")]
    with pytest.raises(EngineUnavailable) as refused:
        await engine.open(FLAT)
    assert "s3cret" not in str(refused.value)
    sent = scene.watched.seen[-1].headers["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"reader:s3cret:with:colons"
    with pytest.raises(InvalidSetting, match="user:password"):
        scene.engine(key="token")


def aws_signature(request: Request, access: str, secret: str, region: str) -> str:
    """What AWS would have a request signed with, written from its documentation of Signature Version 4."""

    def mac(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    sent = request.headers["authorization"]
    names = sent.split("SignedHeaders=")[1].split(",")[0].split(";")
    assert "host" in names
    moment = request.headers["x-amz-date"]
    pairs = sorted(
        (quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(request.query, keep_blank_values=True)
    )
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in pairs),
            *(f"{name}:{request.headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    scope = f"{moment[:8]}/{region}/es/aws4_request"
    assert f"Credential={access}/{scope}" in sent
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (moment[:8], region, "es", "aws4_request"):
        key = mac(key, part)
    return mac(key, text).hex()


@pytest.mark.parametrize("given", [True, False], ids=["as the key", "in the environment"])
async def test_requests_to_amazon_are_signed(scene: Scene, given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    access, secret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    if not given:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    index = await scene.engine("?region=eu-west-1", f"{access}:{secret}" if given else None).create(FLAT)
    await bookshop.stock(index)
    assert (await index.nearest(QUERY, limit=3)).keys.tolist() == truly_nearest(QUERY, 3)
    assert len(await listed_keys(index)) == bookshop.ROWS
    await index.optimize()
    for seen in scene.watched.seen:
        assert seen.headers["authorization"].endswith(f"Signature={aws_signature(seen, access, secret, 'eu-west-1')}")


def test_signing_needs_a_key_of_two_parts() -> None:
    with pytest.raises(InvalidSetting, match="ACCESS:SECRET"):
        OpenSearchEngine.reach(EngineAddress.parse("opensearch+https://x?region=eu-west-1"), prefix="p_", key="one")


# -- a collection --------------------------------------------------------------------------------------------------
def test_a_collection_lives_there(place: Scene, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "environment": "test",
        "embedder": "hashing",
        "engine": f"opensearch+{place.url}?shards=2",
        "engine_keys": {"opensearch": "user:password"},
    }
    rows = [
        {"id": str(n), "name": f"wireless speaker {n}", "price": float(n), "place": {"lat": n, "lon": n}}
        for n in range(30)
    ]
    with nearfield.open(tmp_path / "data", **options) as db:
        shop = db.collection("Shop", embed="{name}", fields={"price": float, "place": "geo"})
        shop.upsert(rows)
        found = shop.search("speaker", where="price < 3", limit=10)
        assert sorted(hit.id for hit in found) == ["0", "1", "2"]
        near = {"place": {"$geoRadius": {"center": {"lat": 5, "lon": 5}, "radius_m": 200_000}}}  # decided on the store
        assert {hit.id for hit in shop.search("speaker", where=near, limit=10)} == {"4", "5", "6"}
        shop.delete(["1"])
        assert sorted(hit.id for hit in shop.search("speaker 1", where="price < 3", limit=10)) == ["0", "2"]
    with nearfield.open(tmp_path / "data", **options) as db:
        assert {hit.id for hit in db.collection("Shop").search("speakers", mode="lexical", limit=30)} == {
            row["id"] for row in rows if row["id"] != "1"
        }
    assert all(seen.headers["authorization"].startswith("Basic ") for seen in place.watched.seen)
