"""Measuring a collection: its judgments, and evaluations of its searches by them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.judgments import MAX_GRADE, JudgmentSource
from nearfield.domain.queries import MAX_QUERY_LENGTH, Search
from nearfield.quality.clicks import same_query
from nearfield.quality.evaluate import evaluate
from nearfield.quality.judged_files import assemble
from nearfield.quality.measures import DEPTH, MEASURES
from nearfield.quality.tune import tune_fusion

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.fusion import Fusion
    from nearfield.domain.hits import Answer
    from nearfield.domain.judgments import Evaluation, JudgedSet, Judgment
    from nearfield.domain.tuning import TunedFusion
    from nearfield.protocols.store import Store
    from nearfield.quality.evaluate import RankedSearch, Told

ANY: Final = Search(query="any")
"""The usual configuration: a search with nothing set. Its query and limit are replaced."""


class Quality:
    """How good searches of collections are.

    search: answers a search of a collection, as users get it. collection: by name; raises CollectionNotFound.
    """

    def __init__(
        self,
        store: Store,
        collection: Callable[[str], Awaitable[Collection]],
        search: Callable[[str, Search], Awaitable[Answer]],
    ) -> None:
        self._store, self._collection, self._search = store, collection, search

    # -- judgments -----------------------------------------------------------------------------------------------
    async def judgments(self, name: str) -> list[Judgment]:
        """All judgments of a collection, in order of query, then document."""
        return await self._store.judgments(await self._collection(name))

    async def judge(self, name: str, judgments: Sequence[Judgment]) -> int:
        """Store judgments, replacing those of the same query, document and source; how many.

        Blanks around a query, and runs of them within, are one question: they are stored as single blanks.
        Raises InvalidRequest for an empty query or a grade out of range.
        """
        collection = await self._collection(name)
        return await self._store.put_judgments(collection, [_checked(one) for one in judgments])

    async def forget_judgments(
        self, name: str, *, query: str | None = None, source: JudgmentSource | None = None
    ) -> int:
        """Remove the judgments of one query, of one source, of both, or all; how many."""
        collection = await self._collection(name)
        spelled = None if query is None else one_spelling(query)
        return await self._store.remove_judgments(collection, query=spelled, source=source)

    async def judged(self, name: str) -> JudgedSet:
        """The stored judgments as queries to measure by. What a person judged counts before what clicks say."""
        return judged_set(await self.judgments(name))

    # -- evaluation ----------------------------------------------------------------------------------------------
    async def evaluate(
        self,
        name: str,
        judged: JudgedSet | None = None,
        *,
        ours: Search = ANY,
        other: Search | None = None,
        measures: Sequence[str] = MEASURES,
        on_progress: Told | None = None,
    ) -> Evaluation:
        """Measure searches of a collection on judged queries.

        judged: None takes the collection's own judgments. ours, other: configurations to measure and to compare with;
        their query, limit and offset are replaced, and they wait until all that is written is indexed. Raises
        InvalidRequest when there is nothing to measure by, MissingDependency, IndexLagging, and what searches raise.
        """
        collection = await self._collection(name)
        judged = await self.judged(name) if judged is None else judged
        if not judged.queries and not judged.without_relevant:
            raise InvalidRequest(
                f"collection {name!r} has no judgments; give queries and judgments, or store some first",
                field="judgments",
            )
        written = await self._store.last_seq(collection)  # an index still being built would be measured by its half
        found = await evaluate(
            judged,
            self._ranked(name, replace(ours, min_seq=written)),
            None if other is None else self._ranked(name, replace(other, min_seq=written)),
            measures=measures,
            on_progress=on_progress,
        )
        return replace(found, missing_documents=await self._missing(collection, judged))

    async def tune(
        self, name: str, judged: JudgedSet | None = None, *, where: Search = ANY, on_progress: Told | None = None
    ) -> TunedFusion:
        """Learn which fusion serves a collection best; nothing is changed. See `quality.tune`.

        judged: None takes the collection's own judgments. where: what else is set in the searches, which wait until all
        that is written is indexed.
        Raises InvalidRequest for too few judged queries, MissingDependency, and what searches raise.
        """
        collection = await self._collection(name)
        judged = await self.judged(name) if judged is None else judged
        written = await self._store.last_seq(collection)

        def search(fusion: Fusion) -> RankedSearch:
            return self._ranked(name, replace(where, fusion=fusion, min_seq=written))

        return await tune_fusion(judged, collection.spec.fusion, search, on_progress=on_progress)

    def _ranked(self, name: str, configuration: Search) -> RankedSearch:
        async def search(text: str, depth: int) -> Sequence[str]:
            answer = await self._search(name, replace(configuration, query=text, limit=depth, offset=0))
            return [hit.id for hit in answer]

        return search

    async def _missing(self, collection: Collection, judged: JudgedSet) -> int:
        relevant = {name for query in judged.queries for name, grade in query.grades.items() if grade > 0}
        wanted = sorted(relevant)
        there = 0
        for start in range(0, len(wanted), DEPTH):
            there += len(await self._store.by_id(collection, wanted[start : start + DEPTH]))
        return len(wanted) - there


def judged_set(judgments: Iterable[Judgment]) -> JudgedSet:
    """Queries to measure by, their ids being their texts. A given grade counts before one from clicks."""
    grades: dict[str, dict[str, int]] = {}
    for one in effective(judgments):
        grades.setdefault(one.query, {})[one.document_id] = one.grade
    return assemble({query: query for query in grades}, grades)


def effective(judgments: Iterable[Judgment]) -> list[Judgment]:
    """One judgment for each query and document: the given one before the one from clicks.

    Queries from clicks have lost their case; where a person judged the same one, it is spelled as the person did.
    """
    chosen: dict[tuple[str, str], Judgment] = {}
    spelling: dict[str, str] = {}
    from_clicks = []
    for one in judgments:
        if one.source is JudgmentSource.GIVEN:
            chosen[one.query, one.document_id] = one
            spelling.setdefault(same_query(one.query), one.query)
        else:
            from_clicks.append(one)
    for one in from_clicks:
        query = spelling.get(one.query, one.query)
        chosen.setdefault((query, one.document_id), replace(one, query=query))
    return list(chosen.values())


def one_spelling(query: str) -> str:
    """A query with single blanks and none around it."""
    return " ".join(query.split())


def _checked(judgment: Judgment) -> Judgment:
    query = one_spelling(judgment.query)
    if not 1 <= len(query) <= MAX_QUERY_LENGTH:
        raise InvalidRequest(f"query has {len(query)} characters; expected 1 to {MAX_QUERY_LENGTH}", field="query")
    if not judgment.document_id:
        raise InvalidRequest("document_id is empty; expected a document's id", field="document_id")
    if not 0 <= judgment.grade <= MAX_GRADE:
        raise InvalidRequest(f"grade is {judgment.grade}; expected 0 to {MAX_GRADE}", field="grade")
    return replace(judgment, query=query)
