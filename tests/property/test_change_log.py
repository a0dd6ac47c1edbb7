"""Whoever replays the change log from any watermark, in pages of any size, ends with what the store holds.

Documents are read when their change is replayed, not when it was made, as the indexer does; writes, deletes,
compaction and restarts come between the pages.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nearfield.domain.collections import Collection, Generation
from nearfield.domain.documents import ChangeKind, Document
from nearfield.domain.errors import DocumentNotFound
from nearfield.domain.schema import CollectionSpec, IndexSettings
from nearfield.domain.templates import Template
from nearfield.protocols.store import NewGeneration
from nearfield.store.sqlite import SqliteStore

T = TypeVar("T")
IDS = st.sampled_from([f"d{n}" for n in range(5)])
TITLES = st.sampled_from(["a", "b"])
REPLICAS = st.integers(0, 1)


@cache
def empty_database() -> Path:
    """Migrated once; each example starts from a copy."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)

    async def make() -> None:
        await (await SqliteStore.open(folder / "store.db")).close()

    asyncio.run(make())
    return folder / "store.db"


class Replica:
    """What an indexer keeps of a collection: bodies by document key, and how far it has come.

    `position` is where it reads on; the generation's watermark, which it moves later, is where it starts after a crash.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.position = 0
        self.watermark = 0
        self.held: dict[int, dict[str, Any]] = {}


class ChangeLog(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(empty_database(), self.folder / "store.db")
        self.store = self.run(SqliteStore.open(self.folder / "store.db"))
        self.model: dict[str, str] = {}
        self.seqs: list[int] = [0]
        self.replicas: list[Replica] = []

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        try:
            for replica in self.replicas:
                while self._apply_page(replica, 5):
                    pass
                assert sorted(self._titles(replica).items()) == sorted(self.model.items())
            fresh = self._replica()
            while self._apply_page(fresh, 3):
                pass
            assert sorted(self._titles(fresh).items()) == sorted(self.model.items())
        finally:
            self.run(self.store.close())
            self.loop.close()
            shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        spec = CollectionSpec("books", Template("{title}"))
        self.books: Collection = self.run(self.store.create_collection(spec))
        self.other: Collection = self.run(self.store.create_collection(CollectionSpec("films", Template("{title}"))))
        self.replicas = [self._replica() for _ in range(2)]

    def _wrote(self, seq: int) -> None:
        assert seq >= self.seqs[-1]
        self.seqs.append(seq)

    @rule(titles=st.dictionaries(IDS, TITLES, min_size=1), elsewhere=st.booleans())
    def upsert(self, titles: dict[str, str], elsewhere: bool) -> None:
        if elsewhere:  # another collection's changes lie between
            self.run(self.store.upsert(self.other, [_document("d0", str(self.seqs))]))
        receipt = self.run(self.store.upsert(self.books, [_document(name, title) for name, title in titles.items()]))
        assert receipt.new == len(titles.keys() - self.model.keys())
        assert receipt.changed == sum(self.model.get(name, title) != title for name, title in titles.items())
        assert receipt.new + receipt.changed + receipt.unchanged == len(titles)
        self.model.update(titles)
        self._wrote(receipt.seq)

    @rule(id=IDS, title=TITLES)
    def patch(self, id: str, title: str) -> None:
        try:
            receipt = self.run(self.store.patch(self.books, id, lambda one: _document(one.id, title)))
        except DocumentNotFound:
            assert id not in self.model
        else:
            self.model[id] = title
            self._wrote(receipt.seq)

    @rule(ids=st.lists(IDS, max_size=4))
    def delete(self, ids: list[str]) -> None:
        receipt = self.run(self.store.delete(self.books, ids))
        assert receipt.deleted == len(self.model.keys() & set(ids))
        for name in ids:
            self.model.pop(name, None)
        self._wrote(receipt.seq)

    @rule(title=TITLES)
    def delete_where(self, title: str) -> None:
        receipt = self.run(self.store.delete_where(self.books, lambda one: one.body["title"] != title))
        assert receipt.deleted == sum(held == title for held in self.model.values())
        self.model = {name: held for name, held in self.model.items() if held != title}
        self._wrote(receipt.seq)

    def _replica(self) -> Replica:
        new = NewGeneration("exact", IndexSettings(), "model@1", 4, "model")
        return Replica(self.run(self.store.create_generation(self.books, new)))

    @rule(which=REPLICAS, limit=st.integers(1, 6))
    def apply_page(self, which: int, limit: int) -> None:
        self._apply_page(self.replicas[which], limit)

    def _apply_page(self, replica: Replica, limit: int) -> bool:
        page = self.run(self.store.changes(self.books, after=replica.position, limit=limit))
        seqs = [change.seq for change in page]
        assert seqs == sorted(set(seqs))
        assert len(page) <= limit
        now = self.run(self.store.by_key(self.books, [change.document_key for change in page]))
        for change in page:
            document = now.get(change.document_key)
            if document is None or change.kind is ChangeKind.DELETE:
                replica.held.pop(change.document_key, None)
            else:
                replica.held[change.document_key] = dict(document.body)
        if page:
            replica.position = seqs[-1]
        return bool(page)

    @rule(which=REPLICAS)
    def make_durable(self, which: int) -> None:
        replica = self.replicas[which]
        self.run(self.store.set_watermark(replica.generation, replica.position))
        replica.watermark = replica.position

    @rule(which=REPLICAS)
    def crash(self, which: int) -> None:
        """Reading starts again at the watermark; the engine may hold more than that, never less."""
        replica = self.replicas[which]
        (stored,) = (
            generation
            for generation in self.run(self.store.generations(self.books))
            if generation.id == replica.generation.id
        )
        assert stored.applied_seq == replica.watermark
        replica.position = stored.applied_seq

    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        up_to = self.seqs[-1] - back
        before = self.run(self.store.pending(self.books, after=0))
        removed = self.run(self.store.compact_log(self.books, up_to))
        assert self.run(self.store.pending(self.books, after=0)) == before - removed

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.run(SqliteStore.open(self.folder / "store.db"))

    @invariant()
    def the_store_holds_the_model(self) -> None:
        if not hasattr(self, "books"):
            return
        stored = self.run(self.store.scan(self.books))
        assert {one.id: one.body["title"] for one in stored} == self.model
        assert self.run(self.store.count(self.books)) == len(self.model)
        assert self.run(self.store.last_seq(self.books)) == self.seqs[-1]

    @staticmethod
    def _titles(replica: Replica) -> dict[str, str]:
        return {body["id"]: body["title"] for body in replica.held.values()}


def _document(id: str, title: str) -> Document:
    return Document.of(id, {"id": id, "title": title})


TestChangeLog = ChangeLog.TestCase
TestChangeLog.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
