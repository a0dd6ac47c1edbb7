"""The parts of any hit add up to its score, in every mode and with stages that change, take out and put in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_search import DIMENSION_WORDS, RELAXED, WORDS, Laboratory, collections, laboratory
from tests.reference.small_cross_encoder import build

from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.facets import FacetScope, read_facets
from nearfield.domain.filter_text import parse_text
from nearfield.domain.fusion import FusionMethod
from nearfield.domain.fusion_json import fusion_from_json
from nearfield.domain.highlights import Highlight
from nearfield.domain.ordering import read_group_by, read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.reranking import Rerank
from nearfield.domain.rules_json import rules_from_json
from nearfield.search.ranked import Ranked
from nearfield.search.work import Stage, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.hits import Hit

__all__ = ["laboratory"]


async def halve(work: Work, ranked: Ranked) -> Ranked:
    return Ranked(ranked.documents, ranked.chunks, ranked.scores * np.float32(0.5))


async def turn(work: Work, ranked: Ranked) -> Ranked:
    scores = (1 - ranked.scores).clip(0, 1)
    return Ranked(ranked.documents, ranked.chunks, scores).take(np.lexsort((ranked.documents, -scores)))


async def thin(work: Work, ranked: Ranked) -> Ranked:
    return ranked.take(np.arange(0, len(ranked), 2))


async def pin(work: Work, ranked: Ranked) -> Ranked:
    """Put the last document of the store first, as a rule does."""
    last = (await work.retrieval.store.scan(work.collection, limit=1_000))[-1:]
    keys = np.array([one.key for one in last], dtype=np.int64)
    rest = ranked.without(frozenset(keys.tolist()))
    return Ranked(
        np.concatenate([keys, rest.documents]),
        np.concatenate([keys << 12, rest.chunks]),
        np.concatenate([np.ones(len(keys), dtype=np.float32), rest.scores]),
    )


@pytest.mark.parametrize("chosen", [(), (halve,), (turn, pin), (thin, turn, halve)], ids=len)
@settings(RELAXED, max_examples=25)
@given(data=st.data())
def test_the_parts_of_a_hit_add_up_to_its_score(
    laboratory: Laboratory, chosen: tuple[Callable[..., object], ...], data: st.DataObject
) -> None:
    world = laboratory.world
    laboratory.fill(data.draw(collections()))
    world.service._stages = tuple(Stage(one.__name__, lambda _: 0, one) for one in chosen)  # type: ignore[arg-type]
    ask = Search(
        query=data.draw(DIMENSION_WORDS),
        mode=data.draw(st.sampled_from(Mode)),
        limit=data.draw(st.sampled_from((1, 5, 40))),
        explain=True,
    )
    try:
        answer = laboratory.loop.run(world.search(ask))
        if answer.cursor is not None:
            later = laboratory.loop.run(world.search(Search(cursor=answer.cursor, limit=40)))
            assert later.explanation is not None
            check(later.hits, chosen)
        plain = laboratory.loop.run(world.search(Search(query=ask.query, mode=ask.mode, limit=ask.limit)))
    finally:
        world.service._stages = ()
    check(answer.hits, chosen)
    assert [(hit.id, hit.score) for hit in plain] == [(hit.id, hit.score) for hit in answer]
    assert all(hit.parts == () for hit in plain)
    assert plain.explanation is None
    assert answer.explanation is not None
    stages = [one.stage for one in answer.explanation.stages]
    assert {one.__name__ for one in chosen} < set(stages)
    assert stages[-1] == "present"
    assert all(one.ms >= 0 for one in answer.explanation.stages)


def check(hits: tuple[Hit, ...], chosen: tuple[Callable[..., object], ...]) -> None:
    for hit in hits:
        assert abs(sum(part.adds for part in hit.parts) - hit.score) <= 1e-6, hit
        assert {one.__name__ for one in chosen[-1:]} <= {part.stage for part in hit.parts}


# -- every stage there is, as wired ------------------------------------------------------------------------------------
WHERES = (None, None, "price < 60", 'brand = "Acme" OR in_stock = true')
READ = st.sampled_from(("", "", " under $50", " from Acme", " cheapest first", " under $10 from Acme not Zenith"))
BOOSTS = st.lists(
    st.sampled_from(
        (
            {"popularity": "price", "half": 20, "weight": 2},
            {"where": "in_stock = true", "factor": 3},
            {"where": 'brand = "Acme"', "factor": 0.25},
            {"expression": "1 + price / 50"},
        )
    ),
    max_size=3,
)
IDS = st.lists(st.sampled_from([*(str(i) for i in range(12)), "long"]), min_size=1, max_size=4, unique=True)


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("reranker"), WORDS))


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """Synonyms, pins and hides, of any query or of those with a word; pinned documents may be gone or hidden too."""
    when = st.sampled_from(({}, {"query": "lamp", "when": "contains"}))
    pins = draw(st.lists(st.tuples(IDS, when, st.integers(1, 12)), max_size=2))
    return {
        "synonyms": draw(st.sampled_from(([], [{"words": ["lamp", "light"]}, {"from": ["red"], "to": ["warm desk"]}]))),
        "pins": [{"ids": ids, "at": at, **condition} for ids, condition, at in pins],
        "hides": [{"ids": draw(IDS), **draw(when)}] if draw(st.booleans()) else [],
    }


@st.composite
def questions(draw: st.DrawFn, reranker: str) -> Search:
    mode = draw(st.sampled_from((*Mode, Mode.HYBRID, None)))
    where = draw(st.sampled_from(WHERES))
    order = read_sort(draw(st.sampled_from((None, None, None, ["price"], ["-_score", "price"], ["-brand"]))))
    facets = read_facets(draw(st.sampled_from((None, None, ["brand"], [{"field": "price", "histogram": 10}]))))
    group = read_group_by(draw(st.sampled_from((None, None, "brand", {"field": "category", "limit": 2}))))
    window: dict[str, Any] = {
        "limit": draw(st.sampled_from((1, 3, 10, 40))),
        "offset": draw(st.sampled_from((0, 0, 2))),
    }
    whole: dict[str, Any] = {"sort": order, "facets": facets, "group_by": group}
    bound = None if where is None else parse_text(where)
    if mode is None:
        return Search(where=bound or parse_text("price < 1000 OR in_stock = true"), explain=True, **whole, **window)
    again = st.builds(
        Rerank,
        model=st.just(reranker),
        depth=st.sampled_from((1, 4, 50)),
        weight=st.sampled_from((0.3, 1.0)),
    )
    return Search(
        query=draw(DIMENSION_WORDS) + draw(READ),
        mode=mode,
        where=bound,
        fusion=fusion_from_json(draw(st.sampled_from([*FusionMethod]))) if mode is Mode.HYBRID else None,
        rerank=draw(st.none() | again),
        boosts=parse_boosts(draw(BOOSTS)),
        diversity=draw(st.sampled_from((0.0, 0.0, 0.3, 1.0))),
        highlight=draw(st.sampled_from((None, Highlight()))),
        facet_scope=draw(st.sampled_from(FacetScope)),
        explain=True,
        **whole,
        **window,
    )


@pytest.mark.heavy
@settings(RELAXED, max_examples=30)
@given(data=st.data())
def test_with_every_stage_the_parts_add_up_on_every_page(
    laboratory: Laboratory, reranker: str, data: st.DataObject
) -> None:
    """Ten questions to each collection and its rules: writing one costs more than they do."""
    world, run = laboratory.world, laboratory.loop.run
    bodies = data.draw(collections())
    laboratory.fill(bodies)
    there = {body["id"] for body in bodies}
    given_rules = data.draw(rules())
    kept = [one | {"ids": ids} for one in given_rules["pins"] if (ids := [i for i in one["ids"] if i in there])]
    run(world.backend.rules.write(world.name, rules_from_json(given_rules | {"pins": kept})))
    hidden = {i for one in given_rules["hides"] if "query" not in one for i in one["ids"]}
    for ask in data.draw(st.lists(questions(reranker), min_size=10, max_size=10)):
        answer = run(world.backend.searches.search(world.name, ask, recorded=False))
        plain = run(world.backend.searches.search(world.name, replace(ask, explain=False), recorded=False))
        assert [(hit.id, hit.score) for hit in plain] == [(hit.id, hit.score) for hit in answer], ask
        seen: set[str] = set()
        for _ in range(30):
            assert answer.explanation is not None
            for hit in (member for top in answer.hits for member in (top, *(top.members or ()))):
                assert abs(sum(part.adds for part in hit.parts) - hit.score) <= 1e-6, (ask, hit)
                assert hit.parts, (ask, hit)
                assert 0 <= hit.score <= 1
                assert hit.id not in hidden, (ask, hit)
                assert hit.id not in seen, (ask, hit)
                seen.add(hit.id)
            if answer.cursor is None:
                break
            answer = run(world.backend.searches.search(world.name, Search(cursor=answer.cursor, limit=3)))
        else:
            raise AssertionError(f"pages do not end: {ask}")
