"""Reranking, boosts, diversity and rules on real searches: each told in the plan and in explain, and off by default."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio
from tests.reference.small_cross_encoder import build
from tests.unit.search.parts import products, told

from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.errors import CallerError, DocumentNotFound, InvalidRequest, ModelUnknown
from nearfield.domain.filter_text import parse_text
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search, Similar
from nearfield.domain.reranking import Rerank
from nearfield.domain.rules_json import rules_from_json
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import Backend, open_backend

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.hits import Answer

NAME = "products"
FIELDS = {"price": "float", "category": "keyword", "brand": "keyword", "added": "datetime", "sales": "int"}
ASK = Search(query="wireless headphones")


@pytest_asyncio.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    """120 products, numbered by age and sales; one has neither."""
    settings = load_settings(data_dir=tmp_path / "data", environment="test", embedder="hashing", engine="exact")
    made = await open_backend(settings)
    body = {"embed": "{name}: {description}", "fields": FIELDS, "index": {"kind": "flat"}}
    await made.catalog.create(spec_from_json(NAME, made.with_defaults(body)))
    bodies = [
        {key: value for key, value in one.items() if key != "at"} | {"added": f"2024-{1 + at % 12:02}-01", "sales": at}
        for at, one in enumerate(products(120))
    ]
    del bodies[0]["added"], bodies[0]["sales"]
    result = await made.documents.upsert(NAME, [SourceRow(line, one) for line, one in enumerate(bodies, 1)])
    assert not result.rejected
    await made.documents.wait(NAME, result.receipt.seq)
    yield made
    await made.close()


async def search(backend: Backend, **given: Any) -> Answer:
    return await backend.searches.search(NAME, replace(ASK, **given))


async def set_rules(backend: Backend, **rules: Any) -> None:
    await backend.rules.write(NAME, rules_from_json(rules))


def ids(answer: Answer) -> list[str]:
    return [hit.id for hit in answer]


def adds_up(answer: Answer) -> None:
    for hit in answer:
        assert abs(sum(part.adds for part in hit.parts) - hit.score) < 1e-5, hit.id


async def test_a_stage_not_asked_for_does_not_run(backend: Backend) -> None:
    answer = await search(backend, explain=True)
    assert answer.explanation is not None
    assert not {stage.stage for stage in answer.explanation.stages} & {"hides", "rerank", "boosts", "diversity", "pins"}


# -- boosts ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "boosts",
    [
        [{"recency": "added", "half_life": "30d", "origin": "2024-12-01", "weight": 3}],
        [{"popularity": "sales", "half": 30}, {"popularity": "sales", "full": 100}],
        [{"expression": "min(1 + sales / 20, 4)"}],
        [{"where": 'category = "audio"', "factor": 0.2}, {"where": "price < 50", "factor": 3}],
    ],
    ids=["recency", "popularity", "expression", "filter"],
)
async def test_boosts_are_told_and_add_up(backend: Backend, boosts: list[dict[str, Any]]) -> None:
    plain = await search(backend, limit=200)  # every document: boosts may bring others among fewer
    answer = await search(backend, limit=200, boosts=parse_boosts(boosts), explain=True)
    told(answer)
    adds_up(answer)
    assert ids(answer) != ids(plain)
    assert sorted(ids(answer)) == sorted(ids(plain))
    part = next(part for part in answer[0].parts if part.stage == "boosts")
    assert part.adds == pytest.approx(sum(part.detail.values()), abs=1e-6)


async def test_a_boost_without_a_value_is_told(backend: Backend) -> None:
    answer = await search(backend, boosts=parse_boosts([{"popularity": "sales", "half": 3}]))
    assert "boosts[0] had no value for 1 of the best 200 candidates" in answer.plan.notes


async def test_a_filter_boost_moves_what_passes(backend: Backend) -> None:
    where = parse_text("price < 50")
    cheap = set(ids(await search(backend, where=where, limit=100)))
    lowered = await search(backend, limit=100, boosts=parse_boosts([{"where": "price < 50", "factor": 0}]))
    assert cheap & {hit.id for hit in lowered}
    assert all(hit.score == 0 for hit in lowered if hit.id in cheap)
    assert not cheap & set(ids(lowered)[:10])


async def test_a_boost_on_a_field_that_is_not_there_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidRequest, match="unknown field 'sale'") as raised:
        await search(backend, boosts=parse_boosts([{"expression": "sale + 1"}]))
    assert raised.value.field == "boosts[0].expression"
    with pytest.raises(CallerError, match="'colour'"):
        await search(backend, boosts=parse_boosts([{"where": 'colour = "red"', "factor": 2}]))


# -- diversity ---------------------------------------------------------------------------------------------------------
async def test_diversity_brings_unlike_hits_forward(backend: Backend) -> None:
    plain = await search(backend, limit=10)
    mixed = await search(backend, limit=10, diversity=0.7, explain=True)
    told(mixed)
    adds_up(mixed)
    assert mixed[0].id == plain[0].id

    async def closeness(answer: Answer) -> float:
        live = await backend.generations.live(await backend.catalog.get(NAME))
        stored = await backend.store.by_id(await backend.catalog.get(NAME), ids(answer))
        keys = np.array([stored[id].key << 12 for id in ids(answer)], dtype=np.int64)  # noqa: A001
        _, vectors = await live.index.vectors(keys)
        products = vectors @ vectors.T
        return float(products[np.triu_indices(len(keys), 1)].mean())

    assert await closeness(mixed) < await closeness(plain)


# -- rerank ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    texts = [f"{one['name']}: {one['description']}" for one in products(120)]
    return str(build(tmp_path_factory.mktemp("reranker"), [*texts, ASK.query or ""]))


async def test_the_best_are_scored_again(backend: Backend, model: str) -> None:
    plain = await search(backend, limit=60)
    answer = await search(backend, limit=60, rerank=Rerank(model, depth=20), explain=True)
    told(answer)
    adds_up(answer)
    assert sorted(ids(answer)) == sorted(ids(plain))
    assert set(ids(answer)[:20]) == set(ids(plain)[:20])
    assert ids(answer)[20:] == ids(plain)[20:]
    assert any("scored again" in note for note in answer.plan.notes)
    stored = {hit.id: f"{hit.document['name']}: {hit.document['description']}" for hit in answer}
    reranker = await backend.searches._stages[1].run.__self__.open(model)  # type: ignore[attr-defined]
    scores = await reranker.score(ASK.query, [stored[name] for name in ids(answer)[:20]])
    np.testing.assert_allclose([hit.score for hit in answer][:20], scores, atol=2e-2)


async def test_a_weight_mixes_both_scores_and_0_changes_nothing(backend: Backend, model: str) -> None:
    plain = await search(backend, limit=10)
    same = await search(backend, limit=10, rerank=Rerank(model, depth=50, weight=0.0))
    assert told(same) == told(plain)


async def test_pages_are_cut_from_one_reranked_list(backend: Backend, model: str) -> None:
    whole = ids(await search(backend, limit=40, rerank=Rerank(model, depth=30)))
    page = await search(backend, limit=8, rerank=Rerank(model, depth=30))
    seen = ids(page)
    while page.cursor is not None and len(seen) < 40:
        page = await backend.searches.search(NAME, Search(cursor=page.cursor, limit=8))
        seen += ids(page)
    assert seen[:30] == whole[:30]
    assert len(set(seen)) == len(seen)


async def test_reranking_needs_a_model_and_words(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="NEARFIELD_RERANKER"):
        await search(backend, rerank=True)
    with pytest.raises(ModelUnknown, match="no reranker") as raised:
        await search(backend, rerank=Rerank(str(tmp_path / "nowhere")))
    assert raised.value.field == "rerank.model"
    with pytest.raises(ModelUnknown, match="no reranker kind 'acme'"):
        await search(backend, rerank=Rerank("acme:best"))
    with pytest.raises(InvalidRequest, match="needs a query in words"):
        Search(vector=np.ones(3, dtype=np.float32), rerank=True)


async def test_settings_can_rerank_every_search(tmp_path: Path, model: str) -> None:
    settings = load_settings(
        data_dir=tmp_path, environment="test", embedder="hashing", engine="exact", reranker=model, rerank_depth=5
    )
    backend = await open_backend(settings)
    body = {"embed": "{name}: {description}", "index": {"kind": "flat"}}
    await backend.catalog.create(spec_from_json(NAME, backend.with_defaults(body)))
    rows = [SourceRow(line, one) for line, one in enumerate(products(20), 1)]
    result = await backend.documents.upsert(NAME, rows)
    await backend.documents.wait(NAME, result.receipt.seq)
    assert any("the best 5 candidates" in note for note in (await search(backend)).plan.notes)
    assert not (await search(backend, rerank=False)).plan.notes
    await backend.close()


# -- rules -------------------------------------------------------------------------------------------------------------
async def test_a_pin_is_in_its_place_once_and_pages_go_on(backend: Backend) -> None:
    semantic = partial(search, backend, mode=Mode.SEMANTIC)  # hybrid pages by offset may differ from deeper ones
    plain = ids(await semantic(limit=100))
    pinned = [plain[40], plain[3]]
    await set_rules(backend, pins=[{"ids": pinned, "at": 2, "query": "headphones", "when": "contains"}])
    expected = [name for name in plain if name not in pinned]
    expected[1:1] = pinned
    assert ids(await semantic(limit=100)) == expected
    paged = [ids(await semantic(limit=7, offset=offset)) for offset in range(0, 70, 7)]
    assert [name for page in paged for name in page] == expected[:70]
    page = await semantic(limit=7)
    seen = ids(page)
    while page.cursor is not None and len(seen) < 70:
        page = await backend.searches.search(NAME, Search(cursor=page.cursor, limit=7))
        seen += ids(page)
    assert seen == expected[: len(seen)]
    assert ids(await semantic(limit=100, rules=False)) == plain
    assert ids(await backend.searches.search(NAME, Search(query="lamp"))) == ids(
        await backend.searches.search(NAME, Search(query="lamp", rules=False))
    )


async def test_pins_are_explained_and_add_up(backend: Backend) -> None:
    last = ids(await search(backend, limit=100))[-1]
    await set_rules(backend, pins=[{"ids": [last]}])
    answer = await search(backend, limit=10, explain=True)
    told(answer)
    adds_up(answer)
    assert answer[0].id == last
    assert next(part for part in answer[0].parts if part.stage == "pins").rank == 1


async def test_a_pin_keeps_to_the_filter_and_is_passed_over_when_gone(backend: Backend) -> None:
    dear, gone = ids(await search(backend, where=parse_text("price > 100"), limit=2))
    await set_rules(backend, pins=[{"ids": [dear, gone]}])
    await backend.documents.delete(NAME, [gone])
    answer = await search(backend, where=parse_text("price < 50"))
    assert dear not in ids(answer)
    assert f"pinned document {dear!r} does not pass the filter" in answer.plan.notes
    assert f"pinned document {gone!r} is gone" in answer.plan.notes


async def test_a_pinned_document_must_exist(backend: Backend) -> None:
    with pytest.raises(DocumentNotFound, match="'nobody'") as raised:
        await set_rules(backend, pins=[{"ids": ["nobody"]}])
    assert raised.value.field == "pins[0].ids[0]"
    assert (await backend.rules.read(NAME)).version == 0


async def test_hidden_documents_are_no_hits_and_win_over_pins(backend: Backend, model: str) -> None:
    plain = ids(await search(backend, limit=20))
    hidden = plain[:3]
    await set_rules(backend, hides=[{"ids": hidden}], pins=[{"ids": [plain[1]]}])
    assert ids(await search(backend, limit=17)) == plain[3:]
    for options in (
        {"rerank": Rerank(model, depth=10)},
        {"diversity": 0.5},
        {"boosts": parse_boosts([{"expression": "9"}])},
    ):
        answer = await search(backend, limit=100, **options)
        assert not set(ids(answer)) & set(hidden)
        assert len(answer) == 100
        told(answer)


async def test_synonyms_widen_words_and_meaning(backend: Backend) -> None:
    ask = Search(query="zquonk", limit=5)
    before = ids(await backend.searches.search(NAME, ask))
    await set_rules(backend, synonyms=[{"from": ["zquonk"], "to": ["wireless headphones"]}])
    answer = await backend.searches.search(NAME, replace(ask, explain=True))
    assert ids(answer) != before
    assert answer.explanation is not None
    assert answer.explanation.meaning == "zquonk wireless headphones"
    assert "synonyms added to the query: wireless headphones" in answer.plan.notes
    assert set(ids(answer)) & set(ids(await search(backend, limit=10)))
    by_words = await backend.searches.search(NAME, replace(ask, mode=Mode.LEXICAL))
    assert ids(by_words)
    assert not ids(await backend.searches.search(NAME, replace(ask, mode=Mode.LEXICAL, rules=False)))


async def test_rules_are_versions_and_can_be_taken_back(backend: Backend) -> None:
    plain = ids(await search(backend, limit=5))
    await set_rules(backend, hides=[{"ids": [plain[0]]}])
    await set_rules(backend, hides=[{"ids": [plain[1]]}])
    assert ids(await search(backend, limit=1)) == [plain[0]]
    restored = await backend.rules.restore(NAME, 1)
    assert (restored.version, restored.restored_from) == (3, 1)
    assert ids(await search(backend, limit=1)) == [plain[1]]
    assert [one.version for one in await backend.rules.history(NAME)] == [3, 2, 1]
    assert (await backend.rules.read(NAME, 2)).rules.hides[0].ids == (plain[1],)
    with pytest.raises(InvalidRequest, match="no version 9"):
        await backend.rules.read(NAME, 9)


async def test_a_collection_made_anew_has_no_rules(backend: Backend) -> None:
    spec = (await backend.catalog.get(NAME)).spec
    await set_rules(backend, synonyms=[{"words": ["a", "b"]}])
    await backend.catalog.drop(NAME)
    await backend.catalog.create(spec)
    assert (await backend.rules.read(NAME)).version == 0
    assert await backend.rules.history(NAME) == []


async def test_similar_is_left_alone(backend: Backend) -> None:
    first = ids(await search(backend, limit=1))
    before = ids(await backend.searches.similar(NAME, Similar(ids=tuple(first))))
    await set_rules(backend, hides=[{"ids": before[:1]}])
    assert ids(await backend.searches.similar(NAME, Similar(ids=tuple(first)))) == before
