"""More like these, and less like those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.search.parts import assert_same

from nearfield.domain.documents import document_keys
from nearfield.domain.errors import DocumentNotFound, IndexLagging, InvalidRequest
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Similar
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    import numpy.typing as npt
    from tests.unit.search.conftest import Open
    from tests.unit.search.parts import World

    from nearfield.domain.documents import Float32Array

LONG = " ".join(f"chapter{i} {' '.join(f'word{i}{j}' for j in range(60))}." for i in range(12))


async def vector_of(world: World, name: str) -> Float32Array:
    """A document's mean passage, of unit length, from every vector the index holds."""
    key = (await world.backend.store.by_id(world.collection, [name]))[name].key
    every = [batch async for batch in world.index.inner.keys()]  # noqa: SIM118 - an index, not a dict
    keys, vectors = await world.index.inner.vectors(np.concatenate(every))
    mean: Float32Array = vectors[document_keys(keys) == key].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


async def embedded(world: World, text: str) -> Float32Array:
    vectors = await world.live.embedder.inner.embed([text], role="query")
    return np.asarray(vectors[0], dtype=np.float32)


async def oracle(world: World, vector: npt.NDArray[Any], *, without: tuple[str, ...], **given: Any) -> Any:
    unit = np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
    found = await world.expected("semantic", vector=unit, **given)
    return [pair for pair in found if pair[0] not in without]


async def test_like_documents(world: World) -> None:
    vector = (await vector_of(world, "p0001") + await vector_of(world, "p0007")) / 2
    answer = await world.similar(Similar(ids=("p0001", "p0007", "p0001"), limit=20, exact=True))
    assert_same(answer, await oracle(world, vector, without=("p0001", "p0007")), 20)
    assert answer.plan.mode is Mode.SEMANTIC
    assert answer.plan.access is Access.EXACT


async def test_like_texts_and_unlike_both(world: World) -> None:
    where = parse_text("price <= 150")
    likes = (await embedded(world, "a lamp") + await vector_of(world, "p0003")) / 2
    unlikes = (await embedded(world, "cotton hat") + await vector_of(world, "p0001")) / 2
    ask = Similar(
        ids=("p0003",), texts=("a lamp",), unlike_ids=("p0001",), unlike_texts=("cotton hat",), where=where, limit=150
    )
    answer = await world.similar(ask)
    wanted = await oracle(world, likes - 0.5 * unlikes, without=("p0003", "p0001"), where=where)
    assert_same(answer, wanted, 150)
    assert len(answer) == len(wanted)


async def test_pages_of_similar_documents(world: World) -> None:
    whole = await world.similar(Similar(ids=("p0005", "p0006"), limit=200))
    assert len(whole) == 148
    parts = [await world.similar(Similar(ids=("p0005", "p0006"), limit=20, offset=at)) for at in range(0, 160, 20)]
    assert [hit.id for part in parts for hit in part] == [hit.id for hit in whole]


async def test_a_document_of_many_passages_counts_once(open_one: Open) -> None:
    bodies = [{"id": "long", "name": LONG, "description": "the end"}]
    bodies += [{"id": f"chapter {i}", "name": f"chapter{i} word{i}5 word{i}6", "description": ""} for i in range(12)]
    bodies += [{"id": f"other {i}", "name": f"thing{i}", "description": "plain"} for i in range(12)]
    world = await open_one("exact", bodies=bodies)
    assert (await world.index.stats()).rows > len(bodies)
    vector = (await vector_of(world, "long") + await vector_of(world, "other 3")) / 2
    answer = await world.similar(Similar(ids=("long", "other 3"), limit=23))
    assert_same(answer, await oracle(world, vector, without=("long", "other 3")), 23)


@pytest.mark.parametrize("named", ["ids", "unlike_ids"])
async def test_an_unknown_id_is_named(world: World, named: str) -> None:
    given: dict[str, Any] = {"ids": ("p0001",), "unlike_ids": ("p0002",)}
    given[named] = (*given[named], "nobody")
    with pytest.raises(DocumentNotFound, match="'nobody'") as told:
        await world.similar(Similar(**given))
    assert told.value.field == named


async def test_examples_that_cancel_each_other_are_refused(open_one: Open) -> None:
    bodies = [{"id": str(i), "name": "", "description": "", "vector": [sign, 0.0]} for i, sign in enumerate((1, -1))]
    bodies.append({"id": "2", "name": "", "description": "", "vector": [0.0, 1.0]})
    world = await open_one("exact", embedder="vectors:2", bodies=bodies)
    with pytest.raises(InvalidRequest, match="cancel") as told:
        await world.similar(Similar(ids=("0", "1")))
    assert told.value.field == "unlike_ids"
    with pytest.raises(InvalidRequest, match="not text"):
        await world.similar(Similar(texts=("words",)))
    assert [hit.id for hit in await world.similar(Similar(ids=("0",), unlike_ids=("2",)))] == ["1"]


async def test_an_example_not_indexed_yet_is_waited_for(world: World) -> None:
    body = {"id": "new", "name": "Warm lamp", "description": "for late work"}
    await world.backend.documents.upsert(world.name, [SourceRow(1, body)])
    answer = await world.similar(Similar(ids=("new",), limit=3))
    assert_same(answer, await oracle(world, await vector_of(world, "new"), without=("new",)), 3)


async def test_an_example_that_stays_unindexed_is_told_as_lag(open_one: Open) -> None:
    world = await open_one("exact", count=5, wait_timeout_s=0.05, search_timeout_s=0.01)
    collection = world.collection
    task = world.live.real.indexer
    await task.close()  # from here on nothing is applied
    body = {"id": "new", "name": "Warm lamp", "description": "for late work"}
    await world.backend.documents.upsert(collection.name, [SourceRow(1, body)])
    with pytest.raises(IndexLagging):
        await world.similar(Similar(ids=("new",)))


async def test_an_example_deleted_from_the_index_meanwhile_is_told(world: World) -> None:
    key = (await world.backend.store.by_id(world.collection, ["p0004"]))["p0004"].key
    await world.index.delete(np.array([key << 12], dtype=np.int64))
    with pytest.raises(DocumentNotFound, match="deleted") as told:
        await world.similar(Similar(ids=("p0001",), unlike_ids=("p0004",)))
    assert told.value.field == "unlike_ids"
