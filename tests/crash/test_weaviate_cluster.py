"""A real Weaviate cluster of three nodes, three copies of everything: one node is killed, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.vendors.weaviate_server import KEY, Node, weaviate_nodes

from nearfield.domain.addresses import EngineAddress
from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.schema import IndexSettings
from nearfield.engines.weaviate import WeaviateEngine
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearfield.engines.weaviate import WeaviateIndex

SPEC = spec_of(IndexSettings())
BATCH = 20
QUIET_S, STRICKEN_S, HEALED_S = 4.0, 15.0, 180.0
GONE = 40  # rows that are deleted while the node is gone, which it still has when it comes back
FIRST = 100_000  # number of the first row written under load


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with weaviate_nodes(tmp_path_factory.mktemp("cluster"), nodes=3, build=True, key=KEY) as nodes:
        yield nodes


@dataclass
class Load:
    """Writes and searches that go on until told to stop, and what became of them."""

    index: WeaviateIndex
    acknowledged: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    repeated: int = 0
    searched: int = 0
    failed: list[str] = field(default_factory=list)
    stop: bool = False

    async def write(self) -> None:
        """Batches of new rows, each sent again until it is taken, as the indexer does; then one row of it deleted."""
        number = FIRST
        while not self.stop:
            numbers = np.arange(number, number + BATCH, dtype=np.int64)
            keys, vectors = numbers << 12, bookshop.vectors(BATCH, seed=number)
            rows = [{"used": bool(n % 2)} for n in numbers]
            self.unsure = {*keys.tolist()}
            while not self.stop:
                try:
                    await self.index.upsert(keys, vectors, rows, [f"lamp number{n}" for n in numbers])  # type: ignore[arg-type]
                    await self.index.delete(keys[:1])
                except EngineUnavailable:
                    self.repeated += 1
                    await asyncio.sleep(0.2)
                    continue
                self.acknowledged |= {*keys[1:].tolist()}
                self.deleted.add(int(keys[0]))
                self.unsure = set()
                break
            number += BATCH

    async def search(self) -> None:
        """The rows that were there before, each its own nearest."""
        while not self.stop:
            n = GONE + self.searched % (bookshop.ROWS - GONE)
            self.searched += 1
            try:
                found = await self.index.nearest(bookshop.vectors()[n], limit=5)
            except EngineUnavailable as exc:
                self.failed.append(str(exc))
                continue
            if found.keys[0] != bookshop.keys()[n]:
                self.failed.append(f"row {n} was not found, but {found.keys.tolist()}")


def reach(node: Node) -> WeaviateEngine:
    address = EngineAddress.parse(node.address(replication_factor=3, shards=1, consistency="quorum"))
    return WeaviateEngine.reach(address, prefix="crash_", key=KEY)


@pytest.mark.heavy
@pytest.mark.servers
@pytest.mark.parametrize("struck", [1, 2])
async def test_a_node_is_killed_and_no_acknowledged_write_is_lost(cluster: list[Node], struck: int) -> None:
    engine = reach(cluster[0])
    index = await engine.create(SPEC)
    await bookshop.stock(index)
    load = Load(index)
    tasks = [asyncio.create_task(work()) for work in (load.write, load.search, load.search)]
    await asyncio.sleep(QUIET_S)
    before = len(load.acknowledged), load.searched
    await asyncio.to_thread(cluster[struck].kill)
    await index.delete(bookshop.keys()[:GONE])
    load.deleted |= {*bookshop.keys()[:GONE].tolist()}
    await asyncio.sleep(STRICKEN_S)
    load.stop = True
    await asyncio.gather(*tasks)

    assert before[0] > 0
    assert len(load.acknowledged) > before[0], "no write went through while a node was gone"
    assert load.searched > before[1]
    assert load.failed == []
    promised = load.acknowledged | {*bookshop.keys()[GONE:].tolist()}
    for node in cluster:
        if node is not cluster[struck]:
            await check_holds(node, promised, load)

    await asyncio.to_thread(cluster[struck].start)
    await asyncio.to_thread(cluster[struck].wait)
    until = time.monotonic() + HEALED_S
    while True:  # what it missed is brought to it by the others
        try:
            await check_holds(cluster[struck], promised, load)
            break
        except (AssertionError, EngineUnavailable):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(2)
    await engine.close()
    print(f"{len(promised)} rows, {load.searched} searches, {load.repeated} batches sent again")


async def check_holds(node: Node, promised: set[int], load: Load) -> None:
    """All that was acknowledged is there and is found, by this node; nothing that was deleted is."""
    engine = reach(node)
    try:
        index = await engine.open(SPEC)
        held = {*await listed_keys(index)}
        assert promised - held == set()
        assert held & load.deleted == set()
        assert held - promised - load.unsure == set()
        written = np.array(sorted(load.acknowledged), np.int64)
        here, _ = await index.vectors(written)
        assert here.tolist() == written.tolist()
        found = await index.nearest(bookshop.vectors(1)[0], limit=len(held) + 10, exact=True)
        assert {*found.keys.tolist()} == held
    finally:
        await engine.close()
