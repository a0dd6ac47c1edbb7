from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.indexing.rig import FLAT, Rig, numbered, spec, until, words

from nearfield.domain.binding import bind
from nearfield.domain.errors import (
    CollectionNotFound,
    DocumentNotFound,
    IndexLagging,
    InvalidDocument,
    InvalidFilter,
    StoreUnavailable,
)
from nearfield.domain.filter_text import parse_text
from nearfield.domain.filters import matches
from nearfield.domain.rows import row_of
from nearfield.domain.schema import FieldType
from nearfield.indexing.documents import merge_patch

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.documents import Float32Array


# -- patches -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (  # the document and patch of section 3
            {
                "title": "Goodbye!",
                "author": {"givenName": "John", "familyName": "Doe"},
                "tags": ["example", "sample"],
                "content": "This will be unchanged",
            },
            {"title": "Hello!", "phoneNumber": "+01-123-456-7890", "author": {"familyName": None}, "tags": ["example"]},
            {
                "title": "Hello!",
                "author": {"givenName": "John"},
                "tags": ["example"],
                "content": "This will be unchanged",
                "phoneNumber": "+01-123-456-7890",
            },
        ),
    ],
)
def test_the_examples_of_rfc_7396(original: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = repr(original)
    assert merge_patch(original, patch) == result
    assert repr(original) == before


async def test_a_patch_changes_what_is_stored_and_what_is_found(rig: Rig) -> None:
    await rig.put({"id": "a", "text": words(30), "price": 5, "size": {"w": 1, "h": 2}})
    receipt = await rig.documents.patch("books", "a", {"text": "short", "price": None, "size": {"h": 3}})
    assert receipt.changed == 1
    assert (await rig.documents.get("books", "a")).body == {"id": "a", "text": "short", "size": {"w": 1, "h": 3}}
    await rig.assert_true()
    again = await rig.documents.patch("books", "a", {"text": "short"})
    assert (again.changed, again.unchanged, again.seq) == (0, 1, receipt.seq)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"text": None}, "nothing to embed"),
        ({"text": "x" * 100_001}, "has 100001 characters"),
        ({"price": "cheap"}, "field 'price'"),
        ({"price": float("nan")}, "field 'price'"),
        ({"id": "b"}, "the id of a document cannot be changed"),
        ({"id": None}, "the id of a document cannot be changed"),
    ],
)
async def test_a_patch_that_makes_a_document_invalid_changes_nothing(
    tmp_path: Path, changes: dict[str, Any], detail: str
) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(fields={"price": FieldType.FLOAT}))
    body = {"id": "a", "text": "t", "price": 5}
    await rig.put(body)
    with pytest.raises(InvalidDocument, match=detail):
        await rig.documents.patch("books", "a", changes)
    stored = await rig.documents.get("books", "a")
    assert (stored.body, stored.seq) == (body, 1)
    await rig.close()


async def test_patches_of_one_document_at_once_are_all_kept(rig: Rig) -> None:
    await rig.text("a", "t")
    await asyncio.gather(*(rig.documents.patch("books", "a", {f"field{n}": n}) for n in range(30)))
    assert (await rig.documents.get("books", "a")).body == {"id": "a", "text": "t"} | {
        f"field{n}": n for n in range(30)
    }


async def test_a_document_with_a_derived_id_keeps_it(rig: Rig) -> None:
    await rig.put({"text": "t"}, id_field=None)
    [before] = [document async for document in rig.documents.export("books")]
    await rig.documents.patch("books", before.id, {"text": "changed"})
    assert (await rig.documents.get("books", before.id)).body == {"text": "changed"}


async def test_what_is_not_there_is_told(rig: Rig) -> None:
    for call in (rig.documents.get("books", "a"), rig.documents.patch("books", "a", {})):
        with pytest.raises(DocumentNotFound, match="no document 'a' in books"):
            await call
    with pytest.raises(CollectionNotFound, match="there are: books"):
        await rig.documents.get("nowhere", "a")


# -- writing and deleting ----------------------------------------------------------------------------------------------
async def test_an_upsert_counts_what_it_did(rig: Rig) -> None:
    await rig.put({"id": "a", "text": "1"}, {"id": "b", "text": "1"})
    result = await rig.put(
        {"id": "a", "text": "1"}, {"id": "b", "text": "2"}, {"id": "c", "text": "1"}, {"id": "d"}, {"text": "no id"}
    )
    receipt = result.receipt
    assert (receipt.new, receipt.changed, receipt.unchanged, receipt.seq) == (1, 1, 1, 4)
    assert result.accepted == 3
    assert [(refusal.line, refusal.id) for refusal in result.rejected] == [(4, "d"), (5, None)]


async def test_unchanged_documents_cost_nothing(rig: Rig) -> None:
    await rig.put(*numbered(20))
    await rig.documents.wait("books")
    result = await rig.put(*numbered(20))
    assert (result.receipt.unchanged, result.receipt.seq) == (20, 20)
    assert await rig.documents.pending("books") == 0
    assert rig.exact.done == ["upsert"]


async def test_a_delete_counts_those_that_were_there(rig: Rig) -> None:
    await rig.put(*numbered(5))
    receipt = await rig.documents.delete("books", ["1", "3", "nobody", "1"])
    assert receipt.deleted == 2
    await rig.assert_true()
    assert len(await rig.held()) == 3


@pytest.mark.parametrize(
    "where",
    ["price <= 5", 'brand = "Acme" OR price > 8', 'NOT brand = "Acme"', "brand EXISTS", 'tags IN ["x"]', "price = -1"],
)
async def test_a_delete_by_filter_takes_those_the_oracle_says(tmp_path: Path, where: str) -> None:
    fields = {"price": FieldType.FLOAT, "brand": FieldType.KEYWORD, "tags": FieldType.KEYWORDS}
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(fields=fields))
    dice = random.Random(3)
    bodies = []
    for n in range(200):
        body: dict[str, Any] = {"id": str(n), "text": f"text {n}", "price": dice.randrange(10)}
        if dice.random() < 0.7:
            body["brand"] = dice.choice(["Acme", "Bolt"])
        body["tags"] = dice.sample(["x", "y", "z"], dice.randrange(3))
        bodies.append(body)
    await rig.put(*bodies)
    bound = bind(parse_text(where), fields)
    kept = {body["id"] for body in bodies if not matches(bound, row_of(body, fields))}
    receipt = await rig.documents.delete_where("books", parse_text(where))
    assert receipt.deleted == 200 - len(kept)
    assert {document.id async for document in rig.documents.export("books")} == kept
    await rig.assert_true()
    await rig.close()


async def test_a_delete_by_an_unknown_field_deletes_nothing(rig: Rig) -> None:
    await rig.put(*numbered(3))
    with pytest.raises(InvalidFilter, match="colour"):
        await rig.documents.delete_where("books", parse_text('colour = "red"'))
    assert len([document async for document in rig.documents.export("books")]) == 3


async def test_export_gives_every_document_in_the_order_first_stored(rig: Rig) -> None:
    await rig.put(*numbered(1_203))
    await rig.text("7", "changed")
    exported = [document.body async for document in rig.documents.export("books")]
    wanted = list(numbered(1_203))
    wanted[7] = {"id": "7", "text": "changed"}
    assert exported == wanted


# -- waiting -----------------------------------------------------------------------------------------------------------
async def test_waiting_tells_for_how_many_changes(rig: Rig) -> None:
    await rig.live()
    rig.exact.gate = asyncio.Event()
    await rig.put(*numbered(7))
    waiting = asyncio.create_task(rig.documents.wait("books"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    rig.exact.gate.set()
    assert await waiting == 7
    assert await rig.documents.wait("books") == 0
    assert await rig.documents.wait("books", 3) == 0


async def test_waiting_for_a_change_to_come_ends(rig: Rig) -> None:
    with pytest.raises(IndexLagging, match=r"change 5 .* after 0\.05 s; it has applied 0"):
        await rig.documents.wait("books", 5, timeout_s=0.05)


async def test_a_write_whose_caller_gives_up_is_indexed(rig: Rig) -> None:
    """The write may be stored all the same; nobody else would wake the indexer."""
    await rig.documents.wait("books")
    await asyncio.sleep(0.3)  # the indexer is asleep
    for n in range(20):
        writing = asyncio.create_task(rig.text(str(n), f"text {n}"))
        for _ in range(n % 7):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait({writing})
    collection = await rig.catalog.get("books")
    await asyncio.sleep(0.3)
    live = await rig.live()
    seq = await rig.store.last_seq(collection)
    await until(lambda: live.applied_seq >= seq, seconds=5)
    await rig.assert_true()


async def test_a_write_that_fails_is_told(rig: Rig) -> None:
    await rig.store.close()
    with pytest.raises(StoreUnavailable):
        await rig.text("a", "t")


# -- brought vectors ---------------------------------------------------------------------------------------------------
def vector(seed: int) -> Float32Array:
    return np.random.default_rng(seed).normal(size=8).astype(np.float32) * 7


async def stored_vector(rig: Rig, id: str) -> list[float]:
    live = await rig.live("own")
    key = (await rig.documents.get("own", id)).key << 12
    _, vectors = await live.index.vectors(np.array([key]))
    return list(vectors[0].tolist())


async def own(folder: Path) -> Rig:
    rig = await Rig.open(folder)
    await rig.catalog.create(spec("own", embedder="vectors:8", index=FLAT))
    return rig


async def test_brought_vectors_are_indexed_as_brought(tmp_path: Path) -> None:
    rig = await own(tmp_path)
    result = await rig.put(
        {"id": "a", "text": "anything", "vector": vector(1).tolist()},
        {"id": "b", "vector": vector(2).tolist()},
        {"id": "c", "vector": [0] * 8},
        {"id": "d", "vector": [1] * 7},
        {"id": "e"},
        name="own",
    )
    assert [refusal.code for refusal in result.rejected] == ["invalid_vector", "dimension_mismatch", "invalid_vector"]
    await rig.documents.wait("own")
    unit = vector(1) / np.linalg.norm(vector(1))
    assert await stored_vector(rig, "a") == pytest.approx(unit.tolist(), abs=1e-7)  # float32 all the way
    assert (await rig.documents.get("own", "a")).body == {"id": "a", "text": "anything"}
    assert (await rig.catalog.check("own")).clean
    await rig.close()


async def test_a_patch_keeps_the_vector_or_brings_another(tmp_path: Path) -> None:
    rig = await own(tmp_path)
    await rig.put({"id": "a", "vector": vector(1).tolist(), "n": 1}, name="own")
    await rig.documents.wait("own")
    first = await stored_vector(rig, "a")
    await rig.documents.patch("own", "a", {"n": 2})
    await rig.documents.wait("own")
    assert await stored_vector(rig, "a") == first
    unchanged = await rig.put({"id": "a", "vector": vector(1).tolist(), "n": 2}, name="own")
    assert unchanged.receipt.unchanged == 1  # a patch and an upsert of the same content are the same
    await rig.documents.patch("own", "a", {"vector": vector(2).tolist()})
    await rig.documents.wait("own")
    assert await stored_vector(rig, "a") != first
    stored = await rig.documents.get("own", "a")
    assert stored.body == {"id": "a", "n": 2}
    with pytest.raises(InvalidDocument):
        await rig.documents.patch("own", "a", {"id": "b"})
    await rig.close()


async def test_a_rebuilt_index_has_the_brought_vectors(tmp_path: Path) -> None:
    rig = await own(tmp_path)
    await rig.put(*({"id": str(n), "vector": vector(n).tolist()} for n in range(30)), name="own")
    await rig.documents.wait("own")
    before = [await stored_vector(rig, str(n)) for n in range(30)]
    await rig.generations.rebuild(await rig.catalog.get("own"))
    await rig.documents.wait("own")
    assert [await stored_vector(rig, str(n)) for n in range(30)] == before
    await rig.close()
