"""What every store owes, whatever the database. Subclass `StoreContract`, supply a fixture `store`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.store.contract_documents import DocumentsContract, PatchContract
from tests.unit.store.contract_judgments import JudgmentsContract
from tests.unit.store.contract_rules import RulesContract
from tests.unit.store.contract_vectors import LogContract, VectorsContract
from tests.unit.store.samples import document, everything, new_generation, spec

from nearfield.domain.collections import GenerationState
from nearfield.domain.documents import Document, StoredDocument, text_hash, vector_hash
from nearfield.domain.errors import (
    CollectionConflict,
    CollectionNotFound,
    IndexMissing,
    InvalidDocument,
    InvalidSchema,
    StoreUnavailable,
)
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.schema import FieldType, IndexKind, IndexSettings, Metric, Quantization, SearchSettings
from nearfield.protocols.store import NewGeneration, brought

if TYPE_CHECKING:
    from nearfield.domain.schema import CollectionSpec
    from nearfield.store.sql_store import SqlStore


class CollectionsContract:
    async def test_a_collection_comes_back_as_it_was_given(self, store: SqlStore) -> None:
        given = spec(
            fields=dict(zip("abcdefghijklmn", FieldType, strict=True)),
            embedder="vectors:3",
            engine="exact",
            index=IndexSettings(IndexKind.IVF, Metric.DOT, m=8, lists=7, quantization=Quantization.INT8),
        )
        made = await store.create_collection(given)
        assert made.spec == given
        assert await store.collection("books") == made

    async def test_creating_it_again_changes_nothing(self, store: SqlStore) -> None:
        first = await store.create_collection(spec(fields={"a": FieldType.INT, "b": FieldType.TEXT}))
        await store.upsert(first, [document("1")])
        again = await store.create_collection(spec(fields={"b": FieldType.TEXT, "a": FieldType.INT}))
        assert again == first
        assert await store.count(again) == 1

    async def test_other_settings_are_a_conflict_that_names_them(self, store: SqlStore) -> None:
        await store.create_collection(spec())
        with pytest.raises(CollectionConflict, match="engine is 'local', not 'exact'") as caught:
            await store.create_collection(spec(engine="exact"))
        assert caught.value.field == "engine"

    async def test_an_unknown_name_is_told_with_those_that_exist(self, store: SqlStore) -> None:
        with pytest.raises(CollectionNotFound, match="there is none yet"):
            await store.collection("boks")
        await store.create_collection(spec("books"))
        await store.create_collection(spec("albums"))
        with pytest.raises(CollectionNotFound, match="no collection 'boks'; there are: albums, books"):
            await store.collection("boks")

    async def test_collections_come_in_order_of_name(self, store: SqlStore) -> None:
        for name in ("b", "a", "c"):
            await store.create_collection(spec(name))
        assert [collection.name for collection in await store.collections()] == ["a", "b", "c"]

    async def test_what_is_changed_of_a_spec_is_read_again(self, store: SqlStore) -> None:
        made = await store.create_collection(spec())
        changed = await store.respec(made, lambda there: replace(there, fusion=Fusion(FusionMethod.RRF, 0.25)))
        assert changed == replace(made, spec=replace(made.spec, fusion=Fusion(FusionMethod.RRF, 0.25)))
        assert await store.collection("books") == changed
        assert await store.create_collection(changed.spec) == changed

    async def test_a_change_that_fails_changes_nothing(self, store: SqlStore) -> None:
        made = await store.create_collection(spec())

        def fail(_: CollectionSpec) -> CollectionSpec:
            raise InvalidSchema("no")

        with pytest.raises(InvalidSchema):
            await store.respec(made, fail)
        assert await store.collection("books") == made
        await store.drop_collection(made)
        anew = await store.create_collection(spec())
        with pytest.raises(CollectionNotFound, match="made anew"):
            await store.respec(made, lambda there: replace(there, fusion=Fusion(FusionMethod.RRF)))
        assert await store.collection("books") == anew

    async def test_a_dropped_collection_takes_its_own_and_nothing_else(self, store: SqlStore) -> None:
        kept, gone = [await store.create_collection(spec(name)) for name in ("kept", "gone")]
        vector = np.ones(3, np.float32)
        for collection in (kept, gone):
            await store.upsert(collection, [document(str(n), vector=vector) for n in range(20)])
            generation = await store.create_generation(collection, new_generation())
            await store.put_spans(generation, {1: 3})
        await store.put_vectors("model@1", [text_hash("a text")], np.ones((1, 4), np.float32))

        await store.drop_collection(gone)
        assert [collection.name for collection in await store.collections()] == ["kept"]
        with pytest.raises(CollectionNotFound):
            await store.collection("gone")
        assert await store.scan(gone) == []
        assert await store.changes(gone, after=0, limit=10) == []
        assert await store.generations(gone) == []
        assert await store.vectors(brought(gone), [vector_hash(vector)]) == {}
        assert len(await everything(store, kept)) == 20
        assert len(await store.vectors(brought(kept), [vector_hash(vector)])) == 1
        assert len(await store.vectors("model@1", [text_hash("a text")])) == 1

    async def test_a_dropped_collection_takes_no_writes_and_its_id_is_not_used_again(self, store: SqlStore) -> None:
        gone = await store.create_collection(spec())
        await store.upsert(gone, [document("1")])
        await store.drop_collection(gone)
        with pytest.raises(CollectionNotFound, match="'books' was dropped"):
            await store.upsert(gone, [document("1")])
        with pytest.raises(CollectionNotFound):
            await store.create_generation(gone, new_generation())
        with pytest.raises(CollectionNotFound):
            await store.last_seq(gone)
        again = await store.create_collection(spec())
        assert again.id != gone.id
        assert await store.count(again) == 0


class GenerationsContract:
    async def test_a_new_generation_is_building_at_watermark_zero(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        index = IndexSettings(IndexKind.FLAT, Metric.EUCLIDEAN, quantization=Quantization.FLOAT16)
        search = SearchSettings({"title": 3}, "german")
        made = await store.create_generation(books, NewGeneration("local", index, "model@1", 384, "model", search))
        assert (made.number, made.state, made.applied_seq) == (1, GenerationState.BUILDING, 0)
        assert (made.engine, made.index, made.fingerprint, made.dimension) == ("local", index, "model@1", 384)
        assert (made.embedder, made.search, made.unattended) == ("model", search, False)
        assert await store.generations(books) == [made]

    async def test_numbers_rise_and_are_never_used_again(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        made = [await store.create_generation(books, new_generation()) for _ in range(3)]
        await store.drop_generation(made[2])
        await store.drop_generation(made[0])
        again = await store.create_generation(books, new_generation())
        assert [one.number for one in await store.generations(books)] == [2, 4]
        assert again.id not in {one.id for one in made}
        assert (await store.create_generation(films, new_generation())).number == 1

    async def test_one_generation_is_live_at_a_time(self, store: SqlStore) -> None:
        books, films = [await store.create_collection(spec(name)) for name in ("books", "films")]
        elsewhere = await store.set_state(await store.create_generation(films, new_generation()), GenerationState.LIVE)
        old, new = [await store.create_generation(books, new_generation()) for _ in range(2)]
        assert (await store.set_state(old, GenerationState.LIVE)).state is GenerationState.LIVE
        assert (await store.set_state(new, GenerationState.LIVE)).number == 2
        states = [one.state for one in await store.generations(books)]
        assert states == [GenerationState.RETIRED, GenerationState.LIVE]
        assert await store.generations(films) == [elsewhere]

    async def test_a_switch_takes_the_settings_of_the_collection_with_it_and_back(self, store: SqlStore) -> None:
        books = await store.create_collection(spec(engine="exact", embedder="old", events=True))
        other = await store.create_collection(spec("other"))
        index = IndexSettings(m=32)
        first = await store.create_generation(books, NewGeneration("exact", books.spec.index, "old@1", 4, "old"))
        await store.switch(first)
        search = SearchSettings({"title": 3}, "german")
        second = await store.create_generation(books, NewGeneration("local", index, "new@1", 8, "new", search, True))
        assert (await store.collection("books")).spec == books.spec

        moved = await store.switch(second)
        assert moved == await store.collection("books")
        assert moved.spec == replace(books.spec, engine="local", embedder="new", index=index, search=search)
        states = [one.state for one in await store.generations(books)]
        assert states == [GenerationState.RETIRED, GenerationState.LIVE]

        assert (await store.switch(first)).spec == books.spec
        states = [one.state for one in await store.generations(books)]
        assert states == [GenerationState.LIVE, GenerationState.RETIRED]
        assert await store.collection("other") == other

    async def test_what_a_verification_found_is_kept_until_the_next(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        generation = await store.create_generation(books, new_generation())
        assert await store.report(generation) is None
        for report in ('{"passed": false}', '{"passed": true}'):
            await store.put_report(generation, report)
            assert await store.report(generation) == report
        assert await store.generations(books) == [generation]
        await store.drop_generation(generation)
        assert await store.report(generation) is None

    async def test_watermark_and_spans_are_set_together(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        generation = await store.create_generation(books, new_generation())
        await store.put_spans(generation, {1: 2, 2: 5, 3: 4})
        await store.set_watermark(generation, 9, spans={1: 3, 2: 1, 3: 0, 4: 7})
        assert (await store.generations(books))[0].applied_seq == 9
        assert await store.spans(generation, [1, 2, 3, 4, 5]) == {1: 3, 4: 7}

    async def test_spans_of_many_documents_and_of_other_generations(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        one, two = [await store.create_generation(books, new_generation()) for _ in range(2)]
        await store.put_spans(one, {key: 2 + key % 5 for key in range(1, 1300)})
        assert await store.spans(one, range(2000)) == {key: 2 + key % 5 for key in range(1, 1300)}
        assert await store.spans(two, range(2000)) == {}

    async def test_a_dropped_generation_is_gone_with_its_spans_and_takes_no_writes(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        generation = await store.create_generation(books, new_generation())
        await store.put_spans(generation, {1: 2})
        await store.drop_generation(generation)
        await store.drop_generation(generation)
        assert await store.spans(generation, [1]) == {}
        for write in (
            store.set_watermark(generation, 1),
            store.put_spans(generation, {1: 2}),
            store.set_state(generation, GenerationState.LIVE),
            store.switch(generation),
            store.put_report(generation, "{}"),
        ):
            with pytest.raises(IndexMissing, match=r"generation 1 \(c1_g1\) is not recorded"):
                await write


class LifetimeContract:
    async def test_writes_that_come_together_share_their_commits(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        before = store.commits
        receipts = await asyncio.gather(*(store.upsert(books, [document(str(n))]) for n in range(50)))
        assert store.commits - before <= 10
        assert sorted(receipt.seq for receipt in receipts) == list(range(1, 51))
        assert await store.count(books) == 50

    async def test_a_write_that_is_refused_does_not_touch_its_neighbours(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())

        def refuse(one: StoredDocument) -> Document:
            raise InvalidDocument("no")

        await store.upsert(books, [document("patched")])
        calls: list[Any] = [store.upsert(books, [document(str(n))]) for n in range(10)]
        calls.insert(5, store.patch(books, "patched", refuse))
        vector = np.ones(2, np.float32)
        half = [document("x", vector=vector), Document("y", {"id": "y", "title": object()}, b"16 bytes of hash")]
        calls.insert(3, store.upsert(books, half))  # fails when its vector is already written
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one).__name__ for one in outcomes if isinstance(one, Exception)] == [
            "InvalidDocument",
            "InvalidDocument",
        ]
        assert set(await everything(store, books)) == {"patched", *map(str, range(10))}
        assert await store.vectors(brought(books), [vector_hash(vector)]) == {}
        seqs = [change.seq for change in await store.changes(books, after=0, limit=99)]
        assert seqs == sorted(set(seqs))
        assert len(seqs) == 11

    async def test_a_cancelled_write_is_whole_or_absent_and_the_next_goes_on(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        batches = [[document(f"{n}-{i}") for i in range(30)] for n in range(30)]
        tasks = [asyncio.create_task(store.upsert(books, batch)) for batch in batches]
        for n, task in enumerate(tasks):
            if n % 3 == 0:
                await asyncio.sleep(0)
            if n % 2:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert (await store.upsert(books, [document("after")])).new == 1
        there = set(await everything(store, books))
        for batch, outcome in zip(batches, outcomes, strict=True):
            ids = {one.id for one in batch}
            assert ids <= there or (isinstance(outcome, asyncio.CancelledError) and not ids & there)
        assert await store.count(books) == len(there)

    async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.ping()
        tasks = [asyncio.create_task(store.upsert(books, [document(str(n))])) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(store.close(), store.close())
        await store.close()
        assert [(await task).new for task in tasks] == [1] * 20
        for call in (store.ping(), store.upsert(books, [document("1")]), store.scan(books)):
            with pytest.raises(StoreUnavailable, match="the store is closed"):
                await call


class StoreContract(
    CollectionsContract,
    DocumentsContract,
    PatchContract,
    LogContract,
    VectorsContract,
    GenerationsContract,
    JudgmentsContract,
    RulesContract,
    LifetimeContract,
):
    """All of it."""
