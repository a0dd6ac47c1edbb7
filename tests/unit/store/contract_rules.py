"""What every store owes of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.store.samples import spec

from nearfield.domain.errors import CollectionNotFound
from nearfield.domain.rules import Condition, Hide, Pin, Rules, Synonyms, When

if TYPE_CHECKING:
    from nearfield.store.sql_store import SqlStore

FULL = Rules(
    (Synonyms(("tv", "télé 📺")), Synonyms(("cans",), ("headphones",))),
    (Pin(("1", "2"), Condition(When.CONTAINS, "moon"), 3),),
    (Hide(("3",)),),
)


class RulesContract:
    async def test_rules_are_versions(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        other = await store.create_collection(spec("albums"))
        assert (await store.rules(books)).version == 0
        first = await store.put_rules(books, FULL, keep=10)
        second = await store.put_rules(books, Rules(), restored_from=1, keep=10)
        assert (first.version, second.version, second.restored_from) == (1, 2, 1)
        assert first.written_us > 1_600_000_000_000_000
        assert await store.rules(books) == second
        assert await store.rules(books, 1) == first
        assert (await store.rules(books, 1)).rules == FULL
        assert await store.rules_history(books) == [second, first]
        assert await store.rules_history(other) == []

    async def test_old_versions_are_forgotten_and_numbers_go_on(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        for _ in range(5):
            await store.put_rules(books, FULL, keep=2)
        assert [one.version for one in await store.rules_history(books)] == [5, 4]

    async def test_rules_go_with_their_collection(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.put_rules(books, FULL, keep=10)
        await store.drop_collection(books)
        with pytest.raises(CollectionNotFound):
            await store.put_rules(books, FULL, keep=10)
        again = await store.create_collection(spec())
        assert (await store.rules(again)).version == 0
