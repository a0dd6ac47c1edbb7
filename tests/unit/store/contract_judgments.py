"""What every store owes of judgments, impressions and events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.store.samples import document, spec

from nearfield.domain.errors import CollectionNotFound
from nearfield.domain.events import Event, EventKind, Impression
from nearfield.domain.judgments import Judgment, JudgmentSource

if TYPE_CHECKING:
    from nearfield.store.sql_store import SqlStore

GIVEN, CLICKS = JudgmentSource.GIVEN, JudgmentSource.CLICKS


def shown(search_id: str, query: str, *ids: str, offset: int = 0, complete: bool = False, at: int = 1000) -> Impression:
    return Impression(search_id, query, ids, offset, complete, at)


class JudgmentsContract:
    async def test_judgments_are_kept_by_query_document_and_source(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        other = await store.create_collection(spec("albums"))
        first = [Judgment("moon", "1", 3), Judgment("moon", "1", 1, CLICKS), Judgment("moon", "2", 0)]
        assert await store.put_judgments(books, first) == 3
        assert await store.put_judgments(books, [Judgment("moon", "1", 2), Judgment("moon", "1", 1)]) == 1
        assert await store.put_judgments(books, []) == 0
        assert await store.judgments(books) == [
            Judgment("moon", "1", 1, CLICKS),
            Judgment("moon", "1", 1),
            Judgment("moon", "2", 0),
        ]
        assert await store.judgments(other) == []

    async def test_judgments_are_removed_by_query_and_source(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        every = [Judgment(query, "1", 1, source) for query in ("moon", "tea") for source in (GIVEN, CLICKS)]
        await store.put_judgments(books, every)
        assert await store.remove_judgments(books, query="moon", source=CLICKS) == 1
        assert await store.remove_judgments(books, query="moon") == 1
        assert await store.remove_judgments(books) == 2
        assert await store.judgments(books) == []

    async def test_one_source_is_replaced_and_the_other_stays(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.put_judgments(books, [Judgment("moon", "1", 1, GIVEN), Judgment("moon", "1", 2, CLICKS)])
        assert await store.replace_judgments(books, CLICKS, [Judgment("tea", "9", 3, CLICKS)]) == 1
        assert await store.judgments(books) == [Judgment("moon", "1", 1, GIVEN), Judgment("tea", "9", 3, CLICKS)]

    async def test_events_say_whether_their_search_is_known(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.put_impressions(books.id, [shown("s1", "moon", "1", "2"), shown("s2", "tea")])
        done = [
            Event("s1", "2", EventKind.CLICK, 1001, 2),
            Event("s1", "2", EventKind.PURCHASE, 1002),
            Event("lost", "2", EventKind.CART, 1003, 1),
        ]
        assert await store.put_events(books, done) == 1
        assert await store.put_events(books, []) == 0
        assert await store.events(books, ["s1", "s2", "lost"]) == done
        assert await store.events(books, ["s2"]) == []

    async def test_impressions_are_read_in_pages(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        every = [shown(f"s{n}", "moon", str(n), offset=n) for n in range(5)]
        await store.put_impressions(books.id, every)
        found, after = [], 0
        while page := await store.impressions(books, after=after, limit=2):
            found += [one for _, one in page]
            after = page[-1][0]
        assert found == every

    async def test_queries_that_find_little_are_reported(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.put_impressions(
            books.id,
            [
                *(shown(f"none{n}", "mooon", complete=True, at=n) for n in range(3)),
                shown("few1", "tea", "1", complete=True, at=9),
                shown("few2", "tea", "1", "2", complete=True, at=8),
                shown("full", "moon", "1", "2", "3"),
                shown("rest", "moon", offset=3, complete=True),
                shown("many", "stars", *map(str, range(10)), complete=True),
            ],
        )
        await store.put_events(books, [Event("few1", "1", kind, 1, 1) for kind in EventKind])
        told = await store.report_queries(books, below=5, limit=10)
        assert [(one.query, one.searches, one.empty, one.fewest, one.clicks, one.last_at) for one in told] == [
            ("mooon", 3, 3, 0, 0, 2),
            ("tea", 2, 0, 1, 1, 9),
        ]
        assert [one.query for one in await store.report_queries(books, below=1, limit=10)] == ["mooon"]
        assert len(await store.report_queries(books, below=5, limit=1)) == 1

    async def test_what_is_old_is_forgotten(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.put_impressions(books.id, [shown("old", "moon", at=1), shown("new", "moon", at=5)])
        await store.put_events(books, [Event("old", "1", EventKind.CLICK, 2), Event("new", "1", EventKind.CLICK, 5)])
        assert await store.forget_events(books, before=5) == 2
        assert [one.search_id for _, one in await store.impressions(books)] == ["new"]
        assert len(await store.events(books, ["old", "new"])) == 1

    async def test_a_drop_takes_judgments_and_events_along(self, store: SqlStore) -> None:
        books = await store.create_collection(spec())
        await store.upsert(books, [document("1")])
        await store.put_judgments(books, [Judgment("moon", "1", 3)])
        await store.put_impressions(books.id, [shown(f"s{n}", "moon") for n in range(3)])
        await store.put_events(books, [Event("s1", "1", EventKind.CLICK, 1)])
        await store.drop_collection(books)
        await store.put_impressions(books.id, [shown("late", "moon")])
        for call in (store.put_events(books, []), store.put_judgments(books, [])):
            with pytest.raises(CollectionNotFound):
                await call
        again = await store.create_collection(spec())
        assert await store.judgments(again) == []
        assert await store.impressions(again) == []
