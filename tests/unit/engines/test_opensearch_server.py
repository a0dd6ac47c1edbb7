"""OpenSearch as it is: the suite on a real server, what it answers held against the vendor's document, and kill -9."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tests.vendors.opensearch_server import Server, server

from nearfield.domain.filters import Eq, matches
from nearfield.domain.schema import IndexKind, IndexSettings, Metric
from nearfield.engines.opensearch import OpenSearchEngine
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import engine_of, listed_keys, spec_of, truly_nearest
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.heavy, pytest.mark.servers]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from server(tmp_path_factory.mktemp("opensearch"))


class TestOpenSearchServer(EngineSuite):
    engine_type = OpenSearchEngine

    @pytest.fixture
    def address(self, live: Server, request: pytest.FixtureRequest) -> str:
        if "hnsw-float16" in request.node.name:
            pytest.skip("half floats are Faiss's, whose native library is not among the parts published for Java")
        return f"opensearch+{live.url}?replicas=0&shards=2"

    @pytest.fixture
    def against(self, live: Server) -> str:
        with urllib.request.urlopen(live.url, timeout=60) as answer:
            return f"OpenSearch {json.load(answer)['version']['number']} with its k-NN plugin, one node"


@pytest.mark.parametrize("metric", list(Metric))
async def test_the_graph_gives_the_scores_that_comparing_gives(live: Server, tmp_path: Path, metric: Metric) -> None:
    engine = engine_of(OpenSearchEngine, tmp_path, f"opensearch+{live.url}?replicas=0", None)
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.HNSW, metric=metric)))
    await bookshop.stock(index, scale=1.0 if metric is Metric.COSINE else 2.5)
    for query in bookshop.vectors(5, seed=12):
        graph = await index.nearest(query, limit=20, effort=400)
        compared = await index.nearest(query, limit=20, exact=True)
        assert graph.keys.tolist() == compared.keys.tolist()
        assert graph.scores.tolist() == pytest.approx(compared.scores.tolist(), abs=1e-5)
    await engine.close()


async def test_no_acknowledged_row_is_lost_when_the_server_is_killed(live: Server, tmp_path: Path) -> None:
    address = f"opensearch+{live.url}?replicas=0"
    engine = engine_of(OpenSearchEngine, tmp_path, address, None)
    spec = spec_of(IndexSettings(kind=IndexKind.HNSW))
    index = await engine.create(spec)
    await bookshop.stock(index)
    await index.delete(bookshop.keys()[:40])
    live.kill()
    live.start()
    await engine.close()
    again = engine_of(OpenSearchEngine, tmp_path, address, None)
    index = await again.open(spec)
    assert sorted(await listed_keys(index)) == bookshop.keys()[40:].tolist()
    query, used = bookshop.vectors(1, seed=3)[0], Eq("used", True)
    numbers = [n for n in range(40, bookshop.ROWS) if matches(used, bookshop.row(n))]
    found = await index.nearest(query, limit=10, where=used, exact=True)
    assert found.keys.tolist() == truly_nearest(query, 10, numbers)
    await again.close()
