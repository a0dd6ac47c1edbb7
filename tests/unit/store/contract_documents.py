"""What every store owes: documents and patches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.store.samples import bodies, document, everything, spec

from nearfield.domain.documents import Document, StoredDocument, vector_hash
from nearfield.domain.errors import (
    DocumentNotFound,
    InvalidDocument,
)

if TYPE_CHECKING:
    from nearfield.store.sql_store import SqlStore

HOSTILE = (
    "'; DROP TABLE documents; --",
    "%",
    "_",
    "\\",
    '"',
    "ünïcödé 🦊",
    "a\x00b",
    " lead",
    "lead",
    "LEAD",
    "?",
    ":id",
)


class DocumentsContract:
    async def test_a_body_comes_back_value_for_value_and_in_its_order(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        body = {
            "z": None, "id": "1", "title": "ünïcödé 🦊 \x00", "n": 2**53 + 1, "f": 0.1,
            "deep": {"b": [1, {"a": True}], "a": []},
        }  # fmt: skip
        given = Document.of("1", body)
        await store.upsert(books, [given])
        stored = (await store.by_id(books, ["1"]))["1"]
        assert stored.body == body
        assert list(stored.body) == list(body)
        assert (stored.id, stored.content_hash, stored.vector_hash) == ("1", given.content_hash, None)

    async def test_new_changed_and_unchanged_are_told_apart(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        first = await store.upsert(books, [document("1"), document("2")])
        assert (first.new, first.changed, first.unchanged) == (2, 0, 0)
        second = await store.upsert(books, [document("1"), document("2", "other"), document("3")])
        assert (second.new, second.changed, second.unchanged) == (1, 1, 1)
        assert second.seq == await store.last_seq(books) == first.seq + 2
        assert await store.count(books) == 3

    async def test_unchanged_documents_write_nothing(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        batch = [document(str(n)) for n in range(1200)]
        first = await store.upsert(books, batch)
        before = await everything(store, books)
        again = await store.upsert(books, batch)
        assert (again.seq, again.new, again.changed, again.unchanged) == (first.seq, 0, 0, 1200)
        after = await everything(store, books)
        assert {name: one.seq for name, one in after.items()} == {name: one.seq for name, one in before.items()}

    async def test_of_an_id_given_twice_the_last_wins(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        receipt = await store.upsert(books, [document("1", "a"), document("2"), document("1", "b")])
        assert (receipt.new, receipt.changed, receipt.unchanged) == (2, 0, 1)
        assert (await store.by_id(books, ["1"]))["1"].body["title"] == "b"

    async def test_nothing_is_a_write_too(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1")])
        latest = await store.last_seq(books)
        assert (await store.upsert(books, [])).seq == latest
        assert (await store.delete(books, [])).seq == latest

    async def test_hostile_ids_are_only_ids(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document(name, title=name) for name in HOSTILE])
        found = await store.by_id(books, HOSTILE)
        assert {name: one.body["title"] for name, one in found.items()} == dict(zip(HOSTILE, HOSTILE, strict=True))
        assert (await store.delete(books, ["%", "lea_"])).deleted == 1
        assert await store.count(books) == len(HOSTILE) - 1

    async def test_ids_and_keys_that_cannot_exist_are_just_not_there(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1")])
        assert await store.by_id(books, ["2", "\ud800"]) == {}
        assert (await store.delete(books, ["\ud800"])).deleted == 0
        assert await store.by_key(books, [-1, 0, 10**6, 2**63, 2**80]) == {}

    async def test_keys_may_be_numpy_integers_repeated_and_many(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document(str(n)) for n in range(1300)])
        keys = [one.key for one in (await everything(store, books)).values()]
        found = await store.by_key(books, list(np.asarray(keys * 2, np.int64)))
        assert sorted(found) == sorted(keys)
        assert all(found[key].key == key for key in keys)
        assert len(await store.by_id(books, [str(n) for n in range(2000)])) == 1300

    async def test_one_collection_never_shows_the_documents_of_another(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        await store.upsert(books, [document("1", "book")])
        await store.upsert(films, [document("1", "film")])
        key = (await store.by_id(films, ["1"]))["1"].key
        assert await store.by_key(books, [key]) == {}
        assert await bodies(store, books) == {"1": {"id": "1", "title": "book"}}
        await store.delete(books, ["1"])
        assert await bodies(store, films) == {"1": {"id": "1", "title": "film"}}

    async def test_a_scan_pages_in_order_of_key(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        for n in range(10):
            await store.upsert(books if n % 2 else films, [document(str(n))])
        first = await store.scan(books, limit=3)
        second = await store.scan(books, after_key=first[-1].key, limit=3)
        assert [one.id for one in first + second] == ["1", "3", "5", "7", "9"]
        assert await store.scan(books, after_key=second[-1].key) == []

    async def test_a_key_is_never_used_again(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1"), document("2")])
        old = (await store.by_id(books, ["2"]))["2"].key
        await store.delete(books, ["1", "2"])
        await store.upsert(books, [document("2")])
        assert (await store.by_id(books, ["2"]))["2"].key > old

    async def test_delete_counts_those_that_were_there(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document(str(n)) for n in range(5)])
        receipt = await store.delete(books, ["1", "3", "3", "nine"])
        assert receipt.deleted == 2
        assert receipt.seq == await store.last_seq(books)
        assert list(await everything(store, books)) == ["0", "2", "4"]
        assert (await store.delete(books, ["1"])).seq == receipt.seq

    async def test_delete_where_spares_what_keep_keeps_over_many_pages(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document(str(n), n=n) for n in range(2500)])
        receipt = await store.delete_where(books, lambda one: one.body["n"] % 3 == 0)
        assert receipt.deleted == 2500 - 834
        assert receipt.seq == await store.last_seq(books)
        left = [one.body["n"] for one in await store.scan(books, limit=5000)]
        assert left == [n for n in range(2500) if n % 3 == 0]
        assert await store.count(books) == 834

    async def test_delete_where_that_matches_nothing_still_names_the_latest_seq(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        written = await store.upsert(books, [document("1")])
        receipt = await store.delete_where(books, lambda one: True)
        assert (receipt.deleted, receipt.seq) == (0, written.seq)


class PatchContract:
    async def test_a_patch_sees_what_is_stored_and_replaces_it(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1", pages=1)])
        receipt = await store.patch(books, "1", lambda one: Document.of("1", {**one.body, "pages": 2}))
        assert (receipt.changed, receipt.seq) == (1, await store.last_seq(books))
        assert (await store.by_id(books, ["1"]))["1"].body["pages"] == 2

    async def test_patches_at_the_same_time_lose_none(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1", pages=0)])

        def one_more(one: StoredDocument) -> Document:
            return Document.of("1", {**one.body, "pages": one.body["pages"] + 1})

        await asyncio.gather(*(store.patch(books, "1", one_more) for _ in range(40)))
        assert (await store.by_id(books, ["1"]))["1"].body["pages"] == 40

    async def test_a_patch_that_changes_nothing_writes_nothing(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        written = await store.upsert(books, [document("1")])
        receipt = await store.patch(books, "1", lambda one: Document.of("1", one.body))
        assert (receipt.unchanged, receipt.changed, receipt.seq) == (1, 0, written.seq)

    async def test_what_a_patch_refuses_is_told_and_nothing_is_written(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        written = await store.upsert(books, [document("1")])

        def refuse(one: StoredDocument) -> Document:
            raise InvalidDocument("price is 'x', expected a number", field="price")

        with pytest.raises(InvalidDocument, match="price is 'x'"):
            await store.patch(books, "1", refuse)
        with pytest.raises(InvalidDocument, match="an id cannot be changed"):
            await store.patch(books, "1", lambda one: document("2"))
        with pytest.raises(DocumentNotFound, match="no document 'nine' in collection 'books'"):
            await store.patch(books, "nine", lambda one: document("nine"))
        assert await store.last_seq(books) == written.seq

    async def test_a_patch_without_a_vector_keeps_the_one_that_was_brought(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        vector = np.asarray([0.1, 0.2, 0.3], np.float32)
        await store.upsert(books, [document("1", vector=vector)])
        await store.patch(books, "1", lambda one: Document.of("1", {**one.body, "title": "new"}))
        stored = (await store.by_id(books, ["1"]))["1"]
        assert stored.vector_hash == vector_hash(vector)
        assert stored.content_hash == document("1", "new", vector=vector).content_hash
