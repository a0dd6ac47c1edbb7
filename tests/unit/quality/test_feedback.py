"""Events to judgments and reports, over real parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.events import Event, EventKind, EventReceipt
from nearfield.domain.judgments import Judgment, JudgmentSource
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.wiring import Backend


@pytest_asyncio.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    settings = load_settings(data_dir=tmp_path, embedder="hashing", engine="local", environment="test")
    backend = await open_backend(settings)
    spec = backend.with_defaults({"embed": "{title}", "events": True})
    await backend.catalog.create(spec_from_json("shop", spec))
    titles = ("desk lamp", "floor lamp", "lamp shade", "kettle")
    rows = [SourceRow(n, {"id": title, "title": title}) for n, title in enumerate(titles, 1)]
    await backend.documents.upsert("shop", rows)
    await backend.documents.wait("shop")
    yield backend
    await backend.close()


def click(search_id: str | None, document: str, kind: EventKind = EventKind.CLICK) -> Event:
    assert search_id is not None
    return Event(search_id, document, kind, 1)


async def test_what_people_choose_becomes_judgments(backend: Backend) -> None:
    for _ in range(12):
        answer = await backend.searches.search("shop", Search(query="Lamp"))
        await backend.feedback.record("shop", [click(answer.search_id, "lamp shade")])
    learnt = await backend.feedback.learn("shop")
    assert (learnt.searches, learnt.clicks, learnt.queries, learnt.elsewhere) == (12, 12, 1, 0)
    assert learnt.examination[0] == 1.0
    grades = {one.document_id: one for one in await backend.quality.judgments("shop")}
    assert grades["lamp shade"] == Judgment("lamp", "lamp shade", 3, JudgmentSource.CLICKS)
    assert {one.grade for name, one in grades.items() if name != "lamp shade"} <= {0}
    assert (await backend.quality.evaluate("shop")).means["recall@100"] == 1.0
    again = await backend.feedback.learn("shop")
    assert again.judgments == learnt.judgments == len(await backend.quality.judgments("shop"))


async def test_what_a_person_judged_stays_and_counts_before(backend: Backend) -> None:
    await backend.quality.judge("shop", [Judgment("LAMP", "desk lamp", 2), Judgment("LAMP", "lamp shade", 0)])
    for _ in range(8):
        answer = await backend.searches.search("shop", Search(query="lamp"))
        await backend.feedback.record("shop", [click(answer.search_id, "lamp shade")])
    await backend.feedback.learn("shop")
    (query,) = (await backend.quality.judged("shop")).queries
    assert query.text == "LAMP"
    assert (query.grades["desk lamp"], query.grades["lamp shade"]) == (2, 0)


async def test_an_event_right_after_its_search_is_matched(backend: Backend) -> None:
    answer = await backend.searches.search("shop", Search(query="lamp"))
    given = [click(answer.search_id, "desk lamp"), click("never", "desk lamp", EventKind.PURCHASE)]
    assert await backend.feedback.record("shop", given) == EventReceipt(accepted=2, unmatched=1)


async def test_evaluations_and_closed_eyes_leave_no_trace(backend: Backend) -> None:
    await backend.quality.judge("shop", [Judgment("lamp", "desk lamp", 1)])
    await backend.quality.evaluate("shop")
    await backend.warm()
    assert (await backend.feedback.learn("shop")).searches == 0


async def test_queries_that_find_little_are_reported(backend: Backend) -> None:
    for query in ("teapot", "teapot", "kettle", "lamp"):
        await backend.searches.search("shop", Search(query=query, mode=Mode.LEXICAL))
    told = await backend.feedback.report("shop", below=2)
    found = [(one.query, one.searches, one.empty, one.fewest) for one in told]
    assert found == [("teapot", 2, 2, 0), ("kettle", 1, 0, 1)]
    assert [one.query for one in await backend.feedback.report("shop", below=1)] == ["teapot"]
    for wrong in ({"below": 0}, {"limit": 0}, {"limit": 1_001}):
        with pytest.raises(InvalidRequest):
            await backend.feedback.report("shop", **wrong)


async def test_a_collection_that_collects_nothing_says_so(backend: Backend) -> None:
    await backend.catalog.configure("shop", {"events": False})
    answer = await backend.searches.search("shop", Search(query="lamp"))
    assert answer.search_id is None
    for call in (
        backend.feedback.record("shop", [click("x", "y")]),
        backend.feedback.learn("shop"),
        backend.feedback.report("shop"),
    ):
        with pytest.raises(InvalidRequest, match="collects no events"):
            await call


async def test_a_page_by_cursor_is_a_search_of_its_own_further_down(backend: Backend) -> None:
    first = await backend.searches.search("shop", Search(query="lamp", limit=2))
    second = await backend.searches.search("shop", Search(query="lamp", limit=2, cursor=first.cursor))
    assert len({first.search_id, second.search_id, None}) == 3
    await backend.feedback.record("shop", [click(second.search_id, second[1].id)])
    kept = [one for _, one in await backend.store.impressions(await backend.catalog.get("shop"))]
    assert [(one.search_id, one.shown, one.offset) for one in kept] == [
        (first.search_id, tuple(hit.id for hit in first), 0),
        (second.search_id, tuple(hit.id for hit in second), 2),
    ]
    assert (await backend.feedback.learn("shop")).clicks == 1
