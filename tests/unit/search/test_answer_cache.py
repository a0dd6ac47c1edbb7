from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nearfield.domain.boosts import Recency
from nearfield.domain.filters import Eq
from nearfield.domain.highlights import Highlight
from nearfield.domain.ordering import GroupBy
from nearfield.domain.queries import Search
from nearfield.domain.rules_json import rules_from_json
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.search import answer_cache
from nearfield.search.answer_cache import question_of
from nearfield.settings import load_settings
from nearfield.wiring import Backend, open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from nearfield.domain.hits import Answer

    Opened = Callable[..., AbstractAsyncContextManager[Backend]]

NAME = "shop"
BODIES = [
    {"id": str(n), "name": f"{kind} lamp {n}", "price": n, "added": f"2024-01-{n + 1:02}", "tags": ["new"]}
    for n, kind in enumerate(("desk", "floor", "table", "garden", "wall", "night"))
]
LAMP = Search(query="desk lamp", limit=3)


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A backend with a few lamps, all of them indexed."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Backend]:
        usual = {
            "environment": "test",
            "embedder": "hashing",
            "engine": "exact",
            "data_dir": tmp_path,
            "search_timeout_s": 120,
        }
        backend = await open_backend(load_settings(**(usual | settings)))
        fields = {"price": "int", "added": "datetime", "tags": "keyword[]"}
        spec = backend.with_defaults({"embed": "{name}", "fields": fields, "events": True})
        await backend.catalog.create(spec_from_json(NAME, spec))
        await write(backend, BODIES)
        # the rules and the collection's words are read by the first searches, which change what answers rest on
        for _ in range(3):
            await backend.searches.search(NAME, Search(query="warm up", limit=1))
        backend.searches.answers.hits = 0
        yield backend
        await backend.close()

    return start


async def write(backend: Backend, bodies: list[dict[str, Any]], *, wait: bool = True) -> int:
    rows = [SourceRow(line, body) for line, body in enumerate(bodies, 1)]
    receipt = (await backend.documents.upsert(NAME, rows)).receipt
    if wait:
        await backend.documents.wait(NAME, receipt.seq)
    return receipt.seq


async def ask(backend: Backend, search: Search = LAMP) -> Answer:
    return await backend.searches.search(NAME, search)


def shown(answer: Answer) -> list[tuple[str, float, dict[str, Any]]]:
    return [(hit.id, hit.score, dict(hit.document)) for hit in answer]


async def test_the_same_search_is_answered_from_what_was_kept(opened: Opened) -> None:
    async with opened() as backend:
        first, second = await ask(backend), await ask(backend)
        assert (first.plan.cached, second.plan.cached) == (False, True)
        assert shown(first) == shown(second)
        assert second.took_ms != first.took_ms
        assert replace(second.plan, cached=False) == first.plan
        assert backend.searches.answers.hits == 1
        assert not (await ask(backend, replace(LAMP, limit=2))).plan.cached


async def test_what_is_done_to_an_answer_stays_there(opened: Opened) -> None:
    async with opened() as backend:
        search = replace(LAMP, highlight=Highlight(), group_by=GroupBy("price"))
        for _ in range(3):
            answer = await ask(backend, search)
            assert answer[0].highlights is not None
            for bag in (answer[0].document, answer[0].highlights.fields):
                assert "spoilt" not in bag
                assert isinstance(bag, dict)
                bag["spoilt"] = "yes"
        assert answer.plan.cached


@pytest.mark.parametrize("wait", [True, False])
async def test_no_answer_is_older_than_an_acknowledged_write(opened: Opened, wait: bool) -> None:
    async with opened() as backend:
        for _ in range(2):
            best = (await ask(backend))[0].id
        await write(backend, [{"id": best, "name": "desk lamp", "price": 99, "added": "2024-02-01"}], wait=wait)
        now = {hit.id: hit.document for hit in await ask(backend)}
        assert now.get(best, {"price": 99})["price"] == 99
        await backend.documents.delete(NAME, [best])
        for _ in range(3):
            assert best not in {hit.id for hit in await ask(backend)}
        seq = await write(backend, [{"id": "new", "name": "desk lamp", "price": 1, "added": "2024-03-01"}], wait=False)
        waited = await ask(backend, replace(LAMP, min_seq=seq))
        assert "new" in {hit.id for hit in waited}
        again = await ask(backend, replace(LAMP, min_seq=seq))
        assert shown(again) == shown(waited)


async def test_rules_and_settings_take_effect_at_once(opened: Opened) -> None:
    async with opened() as backend:
        for _ in range(2):
            first = await ask(backend)
        hidden = first[0].id
        await backend.rules.write(
            NAME, rules_from_json({"hides": [{"query": "desk", "when": "contains", "ids": [hidden]}]})
        )
        for _ in range(3):
            assert hidden not in {hit.id for hit in await ask(backend)}
        await backend.rules.write(NAME, rules_from_json({}))
        assert [hit.id for hit in await ask(backend)] == [hit.id for hit in first]
        for _ in range(2):
            await ask(backend)
        await backend.catalog.configure(NAME, {"fusion": {"method": "rrf"}})
        changed = await ask(backend)
        assert (changed.plan.cached, changed.plan.fusion) == (False, "rrf")


async def test_rows_mended_outside_the_log_are_seen(opened: Opened) -> None:
    async with opened() as backend:
        live = await backend.generations.live(await backend.catalog.get(NAME))
        batches = [keys async for keys in live.index.keys()]  # noqa: SIM118 - an engine, not a dict
        await live.index.delete(np.concatenate(batches)[:4])
        for _ in range(2):
            assert len(await ask(backend, replace(LAMP, limit=6))) == 2
        assert (await backend.catalog.check(NAME, repair=True)).repaired
        assert len(await ask(backend, replace(LAMP, limit=6))) == 6


@pytest.mark.parametrize(
    "search",
    [
        replace(LAMP, explain=True),
        replace(LAMP, boosts=(Recency("added", 86_400.0),)),
        Search(query="desk lamp added last week"),
    ],
    ids=["explain", "recency", "last week"],
)
async def test_what_depends_on_the_moment_is_not_kept(opened: Opened, search: Search) -> None:
    async with opened() as backend:
        for _ in range(3):
            assert not (await ask(backend, search)).plan.cached


async def test_a_boost_that_counts_from_a_given_moment_is_kept(opened: Opened) -> None:
    async with opened() as backend:
        search = replace(LAMP, boosts=(Recency("added", 86_400.0, origin_us=1_700_000_000_000_000),))
        await ask(backend, search)
        assert (await ask(backend, search)).plan.cached


async def test_searches_nobody_sees_neither_use_nor_fill_it(opened: Opened) -> None:
    async with opened() as backend:
        kept = len(backend.searches.answers)
        for _ in range(2):
            assert not (await backend.searches.search(NAME, LAMP, recorded=False)).plan.cached
        assert len(backend.searches.answers) == kept


async def test_each_answer_is_shown_under_an_id_of_its_own(opened: Opened) -> None:
    async with opened() as backend:
        ids = {(await ask(backend)).search_id for _ in range(3)}
        assert len(ids) == 3
        assert None not in ids
        assert backend.searches.answers.hits == 2


async def test_further_pages_of_a_kept_answer(opened: Opened) -> None:
    async with opened() as backend:
        first, second = await ask(backend), await ask(backend)
        assert second.plan.cached
        assert first.cursor is not None
        pages = [await ask(backend, replace(LAMP, cursor=one.cursor)) for one in (first, second)]
        assert shown(pages[0]) == shown(pages[1])
        assert not {hit.id for hit in pages[0]} & {hit.id for hit in first}


async def test_an_answer_whose_further_pages_are_gone_is_made_anew(opened: Opened) -> None:
    async with opened(cursor_bytes=1) as backend:
        for _ in range(2):
            assert not (await ask(backend)).plan.cached
        few = replace(LAMP, limit=6)  # no further page
        assert (await ask(backend, few)).cursor is None
        assert (await ask(backend, few)).plan.cached


async def test_memory_is_bounded_and_the_one_unused_longest_goes(opened: Opened) -> None:
    async with opened(answer_cache_bytes=60_000) as backend:
        answers = backend.searches.answers
        for number in range(40):
            await ask(backend, replace(LAMP, query=f"lamp {number}", typos=False))
            await ask(backend, replace(LAMP, query="lamp 0", typos=False))
            assert answers.bytes <= 60_000
        assert 2 <= len(answers) < 40
        assert (await ask(backend, replace(LAMP, query="lamp 0", typos=False))).plan.cached
        assert not (await ask(backend, replace(LAMP, query="lamp 1", typos=False))).plan.cached
        await write(backend, [{"id": "x", "name": "lamp"}])
        await ask(backend)
        assert len(answers) <= 1


async def test_no_memory_keeps_nothing(opened: Opened) -> None:
    async with opened(answer_cache_bytes=0) as backend:
        for _ in range(2):
            assert not (await ask(backend)).plan.cached
        assert (len(backend.searches.answers), backend.searches.answers.misses) == (0, 0)


def test_answers_of_the_collection_asked_longest_ago_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "MAX_GROUNDS", 2)
    cache = answer_cache.AnswerCache(budget_bytes=1_000_000)
    live: Any = SimpleNamespace(applied_seq=1, latest_seq=1, mended=0)
    first, second, third = (SimpleNamespace(id=number) for number in range(3))

    def ground(collection: Any) -> int | None:
        return cache.ground(collection, live)

    kept, lost = ground(first), ground(second)
    assert ground(first) == kept
    ground(third)
    assert ground(first) == kept
    assert ground(second) != lost


def test_questions_that_mean_something_else_are_told_apart() -> None:
    vectors = [np.array(values, dtype=np.float32) for values in ([1, 0], [0, 1])]
    asked = [
        *(Search(where=Eq("f", value)) for value in (True, 1, 1.0, "1", "True")),
        *(Search(vector=vector) for vector in vectors),
        Search(query="a"),
        Search(query="a ", highlight=Highlight()),
        Search(query="a", highlight=Highlight(pre="<b>")),
        Search(query="a", understand=frozenset()),
    ]
    assert len({question_of(one) for one in asked}) == len(asked)
    assert question_of(replace(asked[0], min_seq=7)) == question_of(asked[0])
    assert question_of(Search(query="a", cursor="x")) is None


def test_every_part_of_a_search_is_part_of_the_question() -> None:
    question = question_of(LAMP)
    assert question is not None
    assert len(question) == len(Search.__slots__) - 3
