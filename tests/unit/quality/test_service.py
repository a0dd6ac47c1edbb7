"""Judgments and evaluations over real parts: a store, an index, a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from nearfield.domain.errors import CollectionNotFound, InvalidRequest
from nearfield.domain.judgments import JudgedQuery, JudgedSet, Judgment, JudgmentSource
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.quality.service import Quality
from nearfield.settings import load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.domain.hits import Answer
    from nearfield.wiring import Backend

TITLES = {"1": "desk lamp", "2": "garden chair", "3": "desk chair", "4": "kettle"}


@pytest_asyncio.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    settings = load_settings(data_dir=tmp_path, embedder="hashing", engine="local", environment="test")
    backend = await open_backend(settings)
    await backend.catalog.create(spec_from_json("shop", backend.with_defaults({"embed": "{title}"})))
    rows = [SourceRow(n, {"id": name, "title": title}) for n, (name, title) in enumerate(TITLES.items(), 1)]
    await backend.documents.upsert("shop", rows)
    await backend.documents.wait("shop")
    yield backend
    await backend.close()


async def test_searches_are_measured_by_the_judgments_given(backend: Backend) -> None:
    judged = JudgedSet((JudgedQuery("a", "kettle", {"4": 1}), JudgedQuery("b", "garden", {"2": 1, "gone": 2})))
    found = await backend.quality.evaluate("shop", judged, ours=Search(query="x", mode=Mode.LEXICAL))
    assert found.means["mrr@10"] == 1.0
    assert found.queries[0].found == ("4",)
    assert found.queries[1].measures["recall@100"] == 0.5
    assert found.missing_documents == 1


async def test_two_configurations_are_compared(backend: Backend) -> None:
    judged = JudgedSet((JudgedQuery("a", "kettle", {"4": 1}), JudgedQuery("b", "desk lamp", {"1": 1})))
    found = await backend.quality.evaluate(
        "shop", judged, ours=Search(query="x"), other=Search(query="x", mode=Mode.LEXICAL)
    )
    assert found.queries[0].other_found == ("4",)
    assert len(found.queries[0].found) == 4
    assert {one.measure for one in found.comparisons} == set(found.means)


async def test_stored_judgments_are_used_when_none_are_given(backend: Backend) -> None:
    with pytest.raises(InvalidRequest, match="has no judgments"):
        await backend.quality.evaluate("shop")
    assert await backend.quality.judge("shop", [Judgment("  desk\n lamp ", "1", 3), Judgment("tea", "4", 0)]) == 2
    clicks = [Judgment("desk lamp", "1", 0, JudgmentSource.CLICKS), Judgment("tea", "2", 1, JudgmentSource.CLICKS)]
    await backend.quality.judge("shop", clicks)
    judged = await backend.quality.judged("shop")
    assert {query.text: query.grades for query in judged.queries} == {"desk lamp": {"1": 3}, "tea": {"2": 1, "4": 0}}
    assert len((await backend.quality.evaluate("shop")).queries) == 2
    assert await backend.quality.forget_judgments("shop", query="desk  lamp") == 2
    assert await backend.quality.forget_judgments("shop", source=JudgmentSource.CLICKS) == 1
    assert await backend.quality.judgments("shop") == [Judgment("tea", "4", 0)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Judgment(" ", "1", 1), "query"),
        (Judgment("q", "", 1), "document_id"),
        (Judgment("q", "1", -1), "grade"),
        (Judgment("q", "1", 101), "grade"),
    ],
)
async def test_a_judgment_that_says_nothing_is_refused(backend: Backend, wrong: Judgment, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await backend.quality.judge("shop", [wrong])
    assert caught.value.field == field


async def test_an_unknown_collection_is_told(backend: Backend) -> None:
    for call in (backend.quality.judgments("no"), backend.quality.judge("no", []), backend.quality.evaluate("no")):
        with pytest.raises(CollectionNotFound):
            await call


async def test_what_was_just_written_is_measured(backend: Backend) -> None:
    rows = [SourceRow(n, {"id": f"new {n}", "title": f"teapot {n}"}) for n in range(1, 300)]
    await backend.documents.upsert("shop", rows)
    found = await backend.quality.evaluate("shop", JudgedSet((JudgedQuery("a", "teapot 299", {"new 299": 1}),)))
    assert found.means["recall@100"] == 1.0


async def test_tuning_waits_for_what_is_not_indexed_yet(backend: Backend) -> None:
    """Half an index would be tuned for otherwise."""
    asked: list[Search] = []

    async def search(_: str, ask: Search) -> Answer:
        asked.append(ask)
        return await backend.searches.search("shop", ask, recorded=False)

    written = await backend.store.last_seq(await backend.catalog.get("shop"))
    quality = Quality(backend.store, backend.catalog.get, search)
    queries = tuple(JudgedQuery(str(n), f"desk lamp {n}", {"1": 1}) for n in range(20))
    await quality.tune("shop", JudgedSet(queries))
    assert {one.min_seq for one in asked} == {written}
