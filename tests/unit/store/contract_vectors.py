"""What every store owes: the change log, its compaction, and vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.store.samples import document, everything, new_generation, spec

from nearfield.domain.documents import Change, ChangeKind, text_hash, vector_hash
from nearfield.domain.errors import (
    DimensionMismatch,
    InvalidVector,
)
from nearfield.protocols.store import brought

if TYPE_CHECKING:
    from nearfield.store.sql_store import SqlStore


class LogContract:
    async def test_each_change_is_logged_once_in_order(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1"), document("2")])
        await store.upsert(books, [document("1", "new")])
        keys = {name: one.key for name, one in (await everything(store, books)).items()}
        await store.delete(books, ["2"])
        upsert, deleted = ChangeKind.UPSERT, ChangeKind.DELETE
        assert await store.changes(books, after=0, limit=10) == [
            Change(1, keys["1"], upsert),
            Change(2, keys["2"], upsert),
            Change(3, keys["1"], upsert),
            Change(4, keys["2"], deleted),
        ]

    async def test_the_log_is_read_in_pages_after_a_seq(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        for n in range(5):
            await store.upsert(books, [document(str(n))])
            await store.upsert(films, [document(str(n))])
        page = await store.changes(books, after=0, limit=2)
        assert [change.seq for change in page] == [1, 3]
        assert [change.seq for change in await store.changes(books, after=3, limit=9)] == [5, 7, 9]
        assert await store.changes(books, after=9, limit=9) == []
        assert [await store.pending(books, after=seq) for seq in (0, 1, 4, 9, 100)] == [5, 4, 3, 0, 0]

    async def test_a_document_knows_the_seq_of_its_last_change(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1"), document("2")])
        receipt = await store.upsert(books, [document("1", "new")])
        assert {name: one.seq for name, one in (await everything(store, books)).items()} == {"1": receipt.seq, "2": 2}

    async def test_last_seq_is_zero_before_anything_was_written(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        await store.upsert(films, [document("1")])
        assert await store.last_seq(books) == 0
        assert await store.pending(books, after=0) == 0

    async def test_compaction_keeps_what_a_new_generation_needs(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        for title in ("a", "b", "c"):
            await store.upsert(books, [document("1", title), document("2", title)])
        await store.delete(books, ["2"])
        key = (await store.by_id(books, ["1"]))["1"].key
        assert await store.compact_log(books, await store.last_seq(books)) == 6
        assert await store.changes(books, after=0, limit=10) == [Change(5, key, ChangeKind.UPSERT)]
        assert await store.last_seq(books) == 7

    async def test_compaction_keeps_deletes_that_a_generation_has_not_applied(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        ahead, behind = [await store.create_generation(books, new_generation()) for _ in range(2)]
        await store.upsert(books, [document("1"), document("2")])
        await store.delete(books, ["1"])
        await store.delete(books, ["2"])
        await store.set_watermark(ahead, 4)
        await store.set_watermark(behind, 3)
        await store.compact_log(books, 4)
        assert [(c.seq, c.kind) for c in await store.changes(books, after=0, limit=9)] == [(4, ChangeKind.DELETE)]
        await store.set_watermark(behind, 4)
        await store.compact_log(books, 4)
        assert await store.changes(books, after=0, limit=9) == []
        assert await store.last_seq(books) == 4
        assert (await store.upsert(books, [document("3")])).seq == 5

    async def test_compaction_stops_where_it_was_told(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        for title in "abcd":
            await store.upsert(books, [document("1", title)])
        await store.compact_log(books, 2)
        assert [change.seq for change in await store.changes(books, after=0, limit=9)] == [3, 4]


class VectorsContract:
    async def test_cached_vectors_come_back_in_half_precision(self, store: SqlStore) -> None:
        rng = np.random.default_rng(7)
        vectors = rng.normal(size=(1200, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        hashes = [text_hash(str(n)) for n in range(1200)]
        await store.put_vectors("model@1", hashes, vectors)
        found = await store.vectors("model@1", [*hashes, text_hash("none")])
        assert set(found) == set(hashes)
        again = np.stack([found[key] for key in hashes])
        assert again.dtype == np.float32
        assert np.array_equal(again, vectors.astype(np.float16).astype(np.float32))

    async def test_a_hash_that_is_there_is_passed_over(self, store: SqlStore) -> None:
        one, two = text_hash("one"), text_hash("two")
        await store.put_vectors("model@1", [one], np.full((1, 2), 1, np.float32))
        await store.put_vectors("model@1", [one, two, two], np.full((3, 2), 2, np.float32))
        found = await store.vectors("model@1", [one, two])
        assert found[one].tolist() == [1, 1]
        assert found[two].tolist() == [2, 2]

    async def test_embedders_do_not_mix(self, store: SqlStore) -> None:
        await store.put_vectors("model@1", [text_hash("a")], np.ones((1, 2), np.float32))
        await store.put_vectors("model@2", [text_hash("a")], np.ones((1, 3), np.float32))
        assert (await store.vectors("model@1", [text_hash("a")]))[text_hash("a")].shape == (2,)
        assert (await store.vectors("model@2", [text_hash("a")]))[text_hash("a")].shape == (3,)
        assert await store.vectors("model@3", [text_hash("a")]) == {}
        assert await store.vectors("model@1", []) == {}
        await store.put_vectors("model@1", [], np.empty((0, 2), np.float32))

    async def test_vectors_that_cannot_be_kept_are_refused(self, store: SqlStore) -> None:
        await store.put_vectors("model@1", [text_hash("a")], np.ones((1, 2), np.float32))
        with pytest.raises(DimensionMismatch, match="vector of 3 components; those of 'model@1' have 2"):
            await store.put_vectors("model@1", [text_hash("b")], np.ones((1, 3), np.float32))
        with pytest.raises(InvalidVector, match="not a finite float16"):
            await store.put_vectors("model@1", [text_hash("b")], np.full((1, 2), 1e6, np.float32))
        with pytest.raises(InvalidVector, match="expected one row for each"):
            await store.put_vectors("model@1", [text_hash("b")], np.ones((2, 2), np.float32))
        assert await store.vectors("model@1", [text_hash("b")]) == {}

    async def test_brought_vectors_are_kept_in_full_precision(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        vectors = np.random.default_rng(7).normal(size=(20, 3)).astype(np.float32) * 1e6
        await store.upsert(books, [document(str(n), vector=vectors[n]) for n in range(20)])
        stored = await everything(store, books)
        hashes = [stored[str(n)].vector_hash or b"" for n in range(20)]
        found = await store.vectors(brought(books), hashes)
        assert np.array_equal(np.stack([found[key] for key in hashes]), vectors)

    async def test_another_vector_is_a_change_and_another_dimension_is_refused_whole(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1", vector=np.ones(3, np.float32))])
        receipt = await store.upsert(books, [document("1", vector=np.zeros(3, np.float32))])
        assert receipt.changed == 1
        with pytest.raises(DimensionMismatch):
            await store.upsert(books, [document("2"), document("3", vector=np.ones(4, np.float32))])
        with pytest.raises(DimensionMismatch, match="vector of document '3'"):
            await store.upsert(books, [document(n, vector=np.ones(int(n), np.float32)) for n in ("2", "3")])
        assert list(await everything(store, books)) == ["1"]
        assert await store.last_seq(books) == receipt.seq

    async def test_unused_brought_vectors_are_swept_once_nothing_lags(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        old, new = np.ones(3, np.float32), np.zeros(3, np.float32)
        await store.upsert(films, [document("1", vector=old)])
        await store.upsert(books, [document("1", vector=old)])
        receipt = await store.upsert(books, [document("1", vector=new)])
        generation = await store.create_generation(books, new_generation())
        assert await store.sweep_vectors(books) == 0
        await store.set_watermark(generation, receipt.seq)
        assert await store.sweep_vectors(books) == 1
        assert set(await store.vectors(brought(books), [vector_hash(old), vector_hash(new)])) == {vector_hash(new)}
        assert len(await store.vectors(brought(films), [vector_hash(old)])) == 1
