"""Whatever is written, deleted, patched or ruled: searches with and without kept answers answer alike."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nearfield.domain.boosts import Popularity
from nearfield.domain.errors import DocumentNotFound
from nearfield.domain.facets import read_facets
from nearfield.domain.filters import Gte, In, Lte
from nearfield.domain.highlights import Highlight
from nearfield.domain.ordering import GroupBy, read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.domain.rules_json import rules_from_json
from nearfield.domain.spec_json import spec_from_json
from nearfield.protocols.source import SourceRow
from nearfield.search.answer_cache import AnswerCache
from nearfield.settings import load_settings
from nearfield.wiring import Backend, open_backend

if TYPE_CHECKING:
    from nearfield.domain.hits import Answer

WORDS = ("lamp", "desk", "garden", "steel", "red")
IDS = st.sampled_from([str(n) for n in range(6)])
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
PRICES = st.sampled_from((1, 2, 3))
PLAIN: dict[str, Any] = {"typos": False, "understand": frozenset()}  # what is known of words may lag behind, by design
SEARCHES = (
    Search(query="red lamp", **PLAIN),
    Search(query="red lamp", limit=2, **PLAIN),
    Search(query="red lamp", mode=Mode.SEMANTIC, where=Lte("price", 2), **PLAIN),
    Search(query="desk", mode=Mode.LEXICAL, highlight=Highlight(), **PLAIN),
    Search(query="garden", where=In("price", (1, 3)), boosts=(Popularity("price", 2.0),), **PLAIN),
    Search(query="steel desk", facets=read_facets(["price"]), group_by=GroupBy("price"), **PLAIN),
    Search(where=Gte("price", 2), sort=read_sort(["-price"])),
)


class Laboratory:
    """One backend for all runs; each run has a collection of its own."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.numbers = count()
        given: dict[str, Any] = {
            "environment": "test",
            "embedder": "hashing",
            "engine": "exact",
            "search_timeout_s": 120,
        }
        self.backend: Backend = self.runner.run(open_backend(load_settings(data_dir=folder, **given)))

    def close(self) -> None:
        self.runner.run(self.backend.close())
        self.runner.close()


class Twins(RuleBasedStateMachine):
    """A collection that is searched twice each time: with the answers kept, and without any."""

    laboratory: Laboratory

    def __init__(self) -> None:
        super().__init__()
        self.backend, self.run = self.laboratory.backend, self.laboratory.runner.run
        self.name = f"c{next(self.laboratory.numbers)}"
        spec = self.backend.with_defaults({"embed": "{name}", "fields": {"price": "int"}})
        self.run(self.backend.catalog.create(spec_from_json(self.name, spec)))
        self.deleted: set[str] = set()
        self.seq = 0
        self.hits = self.backend.searches.answers.hits

    @rule(name=IDS, text=TEXTS, price=PRICES)
    def write(self, name: str, text: str, price: int) -> None:
        row = SourceRow(1, {"id": name, "name": text, "price": price})
        self.seq = self.run(self.backend.documents.upsert(self.name, [row])).receipt.seq
        self.deleted.discard(name)

    @rule(name=IDS, price=PRICES)
    def patch(self, name: str, price: int) -> None:
        with suppress(DocumentNotFound):
            self.seq = self.run(self.backend.documents.patch(self.name, name, {"price": price})).seq

    @rule(name=IDS)
    def delete(self, name: str) -> None:
        self.seq = self.run(self.backend.documents.delete(self.name, [name])).seq
        self.deleted.add(name)

    @rule(hidden=IDS, word=st.sampled_from(WORDS))
    def rule_out(self, hidden: str, word: str) -> None:
        rules = {
            "hides": [{"query": word, "when": "contains", "ids": [hidden]}],
            "synonyms": [{"words": ["red", "garden"]}],
        }
        self.run(self.backend.rules.write(self.name, rules_from_json(rules)))

    @rule(method=st.sampled_from(("auto", "rrf")))
    def configure(self, method: str) -> None:
        self.run(self.backend.catalog.configure(self.name, {"fusion": {"method": method}}))

    @rule(search=st.sampled_from(SEARCHES), times=st.integers(1, 3))
    def search_at_once(self, search: Search, times: int) -> None:
        for _ in range(times):
            found = self.run(self.backend.searches.search(self.name, search))
            assert not {hit.id for hit in found} & self.deleted
            self.check_bodies(found)

    @rule(search=st.sampled_from(SEARCHES))
    def search_twice(self, search: Search) -> None:
        self.run(self.backend.documents.wait(self.name, self.seq))
        service = self.backend.searches
        kept = [self.run(service.search(self.name, search)) for _ in range(3)]
        answers, service.answers = service.answers, AnswerCache(budget_bytes=0)
        try:
            fresh = self.run(service.search(self.name, search))
        finally:
            service.answers = answers
        assert not fresh.plan.cached
        for one in kept:
            assert _told(one) == _told(fresh)

    @invariant()
    def memory_is_what_is_kept(self) -> None:
        assert self.backend.searches.answers.bytes >= 0

    def check_bodies(self, found: Answer) -> None:
        """Each hit's document is the one the store has now."""
        for hit in found:
            assert hit.document == self.run(self.backend.documents.get(self.name, hit.id)).body

    def teardown(self) -> None:
        self.run(self.backend.catalog.drop(self.name))


def _told(answer: Answer) -> object:
    hits = [
        (hit.id, hit.score, hit.document, hit.highlights, hit.group, [each.id for each in hit.members or ()])
        for hit in answer
    ]
    return hits, answer.facets, answer.plan.mode, answer.plan.notes, answer.cursor is None


def test_searches_with_and_without_kept_answers_are_alike() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Twins.laboratory = Laboratory(Path(folder))
        try:
            run_state_machine_as_test(
                Twins,
                settings=settings(
                    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
                ),
            )
            assert Twins.laboratory.backend.searches.answers.hits
        finally:
            Twins.laboratory.close()
