"""The synchronous face: `nearfield.open()`. An event loop in a thread of its own; each method hands it a coroutine."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import fields as parts_of
from dataclasses import replace
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.errors import (
    CollectionNotFound,
    InvalidDocument,
    InvalidRequest,
    InvalidVector,
    NearfieldError,
    ShuttingDown,
)
from nearfield.domain.events import Event, EventKind
from nearfield.domain.facets import FacetScope, read_facets
from nearfield.domain.filter_json import parse_json
from nearfield.domain.filter_text import parse_text
from nearfield.domain.fusion_json import fusion_from_json, fusion_to_json
from nearfield.domain.highlights import Highlight
from nearfield.domain.judgments import Judgment
from nearfield.domain.moves import Gates
from nearfield.domain.ordering import read_group_by, read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search, Similar
from nearfield.domain.reranking import parse_rerank
from nearfield.domain.rules import Rules
from nearfield.domain.rules_json import rules_from_json
from nearfield.domain.spec_json import field_type, spec_from_json, spec_to_json
from nearfield.domain.spelling import unknown_name
from nearfield.domain.understood import kinds_to_read
from nearfield.indexing.arrivals import Wish, arrival, check_adopted
from nearfield.protocols.source import SourceRow, VectorUse
from nearfield.quality.feedback import FEW
from nearfield.quality.impressions import now_ms
from nearfield.quality.judged_files import assemble, read_judged
from nearfield.quality.measures import MEASURES
from nearfield.search.multi import MAX_SEARCHES, side_by_side
from nearfield.settings import load_settings
from nearfield.sources.ahead import Ahead, first_rows, first_told
from nearfield.sources.vector_field import with_vectors
from nearfield.wiring import open_backend, open_files, open_sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from nearfield.domain.documents import Float32Array, StoredDocument, WriteReceipt
    from nearfield.domain.events import EventReceipt, QueryReport
    from nearfield.domain.filters import Filter
    from nearfield.domain.hits import Answer
    from nearfield.domain.judgments import Evaluation, JudgedSet
    from nearfield.domain.moves import Estimate, GenerationStatus, Moved
    from nearfield.domain.reports import CheckReport, CollectionStatus, ImportProgress, ImportReport, UpsertResult
    from nearfield.domain.rules import RulesVersion
    from nearfield.domain.suggestions import Suggestion
    from nearfield.domain.tuning import TunedFusion
    from nearfield.quality.feedback import Learnt
    from nearfield.quality.shadow import ShadowCounts
    from nearfield.wiring import Backend

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Where = dict[str, Any] | str
"""A filter in either spelling: JSON, `{"price": {"$lte": 100}}`, or text, `"price <= 100"`."""


def open(data_dir: str | Path = "nearfield-data", **settings: Any) -> Database:  # noqa: A001 - reads as nearfield.open
    """Open a data directory, made when absent, and everything in it. One process at a time.

    settings: any of `nearfield config`, by name (`embedder="paraphrase-MiniLM-L3-v2"`).
    Raises DataDirInUse, InvalidSetting, StoreUnavailable.
    """
    return Database(Path(data_dir), settings)


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._submitting = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="nearfield", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it; an interrupt here cancels it. Raises ShuttingDown once stopped."""
        if threading.current_thread() is self._thread:
            work.close()
            raise InvalidRequest("a callback runs in the database's own thread and cannot wait for the database")
        with self._submitting:
            if self._stopped:
                work.close()
                raise ShuttingDown("this database was closed; open it again")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError as exc:
            raise ShuttingDown("this database was closed while the call was under way") from exc

    def stop(self) -> None:
        """Cancel what still runs, so that nobody waits for ever, and end the thread."""
        with self._submitting:
            self._stopped = True
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


_opened: set[Database] = set()


def _close_all() -> None:
    for database in list(_opened):
        database.close()


@cache
def _close_at_exit() -> None:
    """Close before the interpreter's thread pools go, which `atexit` is too late for. Nothing durable depends on it.

    Registered once the pools are loaded: what was registered last is called first.
    """
    getattr(threading, "_register_atexit", atexit.register)(_close_all)


class Database:
    """An open data directory. Close it, or use it in a `with`; an exit of the process closes it too. Thread-safe."""

    def __init__(self, data_dir: Path, settings: Mapping[str, Any]) -> None:
        self._loop = _Loop()
        try:
            self._backend: Backend = self._loop.run(open_backend(load_settings(data_dir=data_dir, **settings)))
        except BaseException:
            self._loop.stop()
            raise
        self._closing = threading.Lock()
        self._closed = False
        _opened.add(self)
        _close_at_exit()

    def collection(
        self,
        name: str,
        *,
        embed: str | None = None,
        fields: Mapping[str, Any] | None = None,
        embedder: str | None = None,
        engine: str | None = None,
        index: Mapping[str, Any] | None = None,
        fusion: Mapping[str, Any] | str | None = None,
        search: Mapping[str, Any] | None = None,
        events: bool | None = None,
        degraded: str | None = None,
    ) -> CollectionHandle:
        """A collection by name; made when it does not exist, for which `embed` must be given.

        embed: the text that is embedded, `"{name}: {description}"`. fields: what filters may use, by type: `float`,
        `int`, `bool`, `str`, `datetime`, `list[str]`, or a name like `"keyword"`, `"text"`, `"geo"`.
        index: `{"kind": "hnsw", "m": 16, "quantization": "none", "metric": "cosine"}`, any part of it.
        fusion: `{"method": "rrf", "weight": 0.5}` or a method's name; `configure` changes it later.
        search: `{"weights": {"title": 3}, "language": "english"}`, either; `configure` changes it later.
        events: whether what searches show is recorded, so that clicks can be learnt from; `configure` changes it.
        degraded: "lexical" lets words alone answer while an engine on a server is down; `configure` changes it.
        Raises CollectionConflict when it exists and what is given here differs, CollectionNotFound, InvalidSchema.
        """
        given = {
            "embed": embed,
            "embedder": embedder,
            "engine": engine,
            "index": index and dict(index),
            "fusion": fusion,
            "search": search and dict(search),
            "events": events,
            "degraded": degraded,
        }
        if fields is not None:
            given["fields"] = {name: field_type(value) for name, value in fields.items()}
        body = {key: value for key, value in given.items() if value is not None}
        self._loop.run(_ensure(self._backend, name, body))
        return CollectionHandle(self._loop, self._backend, name)

    def import_from(
        self,
        name: str,
        *sources: str | Path,
        embed: str | None = None,
        fields: Mapping[str, Any] | None = None,
        embedder: str | None = None,
        engine: str | None = None,
        index: Mapping[str, Any] | None = None,
        vector_field: str | None = None,
        vectors_by: str | None = None,
        id_field: str | None = None,
        rejected_file: str | Path | None = None,
        on_progress: Callable[[ImportProgress], None] | None = None,
    ) -> ImportReport:
        """Take in other stores, or files whose rows bring vectors, and wait until all of it is searchable.

        sources: `"chroma+http://host:8000?collection=books"`, `"qdrant+..."`, `"pgvector+..."`, `"faiss+file:PATH"`, or
        files. A collection that does not exist is made as the first rows suggest, and keeps the vectors as they are.
        embed, fields, engine, index: of a new collection, as in `collection`; `index={"metric": "dot"}` where the
        store's metric is not the one meant. embedder: a model that embeds the texts anew, in place of the vectors.
        vectors_by: the model that made the vectors: they become its own, and none is made anew; 20 texts are embedded
        to see that it is the one. vector_field: where rows of files bring vectors. id_field: where they bring ids.
        Run again after an interruption, it goes on where it was. Raises InvalidRequest, InvalidFile, InvalidSetting,
        EngineUnavailable, MissingDependency, CollectionConflict.
        """
        typed = {field: field_type(value) for field, value in (fields or {}).items()}
        wish = Wish(name, embed, typed, engine, embedder, dict(index or {}), vector_field, vectors_by)
        given = open_sources([str(one) for one in sources], self._backend.settings)
        work = _imported_from(
            self._backend,
            wish,
            [Ahead(source) for source in given],
            id_field=id_field,
            rejected_file=None if rejected_file is None else Path(rejected_file),
            on_progress=on_progress,
        )
        return self._loop.run(work)

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return [collection.name for collection in self._loop.run(self._backend.catalog.list())]

    def multi_search(self, searches: Sequence[Mapping[str, Any]]) -> list[Answer | NearfieldError]:
        """Several searches side by side: each `{"collection": handle or name, "query": …}` and whatever else
        `CollectionHandle.search` takes. The answer of each, or the error it raised, in the order asked.

        A handle sees every write made through it before. Raises InvalidRequest for a search that cannot be read.
        """
        if not 1 <= len(searches) <= MAX_SEARCHES:
            raise InvalidRequest(f"{len(searches)} searches; expected 1 to {MAX_SEARCHES}", field="searches")
        work = [self._named_search(place, one) for place, one in enumerate(searches)]
        answers: list[Answer | NearfieldError] = []
        for found in self._loop.run(side_by_side(work)):
            if isinstance(found, Exception) and not isinstance(found, NearfieldError):
                raise found
            answers.append(found)
        return answers

    def _named_search(self, place: int, spelled: Mapping[str, Any]) -> Callable[[], Awaitable[Answer]]:
        options = dict(spelled)
        given = options.pop("collection", None)
        known = tuple(inspect.signature(question).parameters)
        for option in options:
            if option not in known:
                told = unknown_name("option", str(option), ("collection", *known))
                raise InvalidRequest(told, field=f"searches[{place}].{option}")
        if not isinstance(given, str | CollectionHandle):
            raise InvalidRequest(
                "collection is missing; give a name or a handle", field=f"searches[{place}].collection"
            )
        ask = question(**options)
        if isinstance(given, CollectionHandle):
            ask = replace(ask, min_seq=given.written_seq)
        name = given if isinstance(given, str) else given.name
        return partial(self._backend.searches.search, name, ask)

    def drop(self, name: str) -> None:
        """Remove a collection and all it holds. Raises CollectionNotFound."""
        self._loop.run(self._backend.catalog.drop(name))

    def close(self) -> None:
        """Finish what was accepted and close. Idempotent."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            _opened.discard(self)
            try:
                self._loop.run(self._backend.close())
            finally:
                self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def _ensure(backend: Backend, name: str, body: dict[str, Any]) -> None:
    """Get a collection or make it. What is not given is that of the one that exists, or a default for a new one."""
    if not body:
        await backend.catalog.get(name)
    elif await backend.catalog.exists(name):
        known = spec_to_json((await backend.catalog.get(name)).spec)
        parts = {key: known[key] | body.get(key, {}) for key in ("index", "search")}
        await backend.catalog.create(spec_from_json(name, known | body | parts))
    elif "embed" in body:
        await backend.catalog.create(spec_from_json(name, backend.with_defaults(body)))
    else:
        raise CollectionNotFound(f'no collection {name!r}; give embed="{{field}}: {{field}}" to make it', field="embed")


async def _imported_from(
    backend: Backend,
    wish: Wish,
    sources: Sequence[Ahead],
    *,
    id_field: str | None,
    rejected_file: Path | None,
    on_progress: Callable[[ImportProgress], None] | None,
) -> ImportReport:
    told = await asyncio.to_thread(first_told, sources)
    rows = await asyncio.to_thread(first_rows, sources)
    existing = (await backend.catalog.get(wish.name)).spec if await backend.catalog.exists(wish.name) else None
    came = arrival(wish, told, rows, existing=existing, id_field=id_field, defaults=backend.with_defaults)
    if existing is not None:
        given = {"embed": wish.embed, "engine": wish.engine, "embedder": wish.embedder, "index": dict(wish.index)}
        body = {key: value for key, value in given.items() if value} | ({"fields": wish.fields} if wish.fields else {})
        await _ensure(backend, wish.name, body)
    if came.use is VectorUse.ADOPT:
        await check_adopted(came, await backend.embedders.get(came.spec.embedder))
    if existing is None:
        await backend.catalog.create(came.spec)
    return await backend.documents.import_sources(
        wish.name,
        with_vectors(sources, field=came.vector_field, use=came.use),
        id_field=came.id_field,
        adopt=came.use is VectorUse.ADOPT,
        rejected_file=rejected_file,
        on_progress=on_progress,
    )


class CollectionHandle:
    """One collection. A search here sees every write made through this handle before it."""

    def __init__(self, loop: _Loop, backend: Backend, name: str) -> None:
        self._loop, self._backend, self.name = loop, backend, name
        self._written_seq = 0
        self._noting = threading.Lock()

    def upsert(
        self, documents: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, id_field: str = "id"
    ) -> UpsertResult:
        """Insert or replace documents by id; durable on return. Unchanged ones cost nothing.

        A document that cannot be taken is told in `rejected` (its line is its place, from 1) and the others go in.
        Raises InvalidDocument when none of them could be taken.
        """
        bodies = [documents] if isinstance(documents, Mapping) else list(documents)
        rows = [SourceRow(line, body) for line, body in enumerate(bodies, start=1)]
        result = self._loop.run(self._backend.documents.upsert(self.name, rows, id_field=id_field))
        if result.rejected and not result.accepted:
            first = result.rejected[0]
            raise InvalidDocument(f"document {first.line}: {first.detail}")
        self._note(result.receipt.seq)
        return result

    def patch(self, id: str, changes: Mapping[str, Any]) -> WriteReceipt:
        """Change some fields of a document (JSON merge patch: None removes a field). Raises DocumentNotFound."""
        receipt = self._loop.run(self._backend.documents.patch(self.name, id, changes))
        self._note(receipt.seq)
        return receipt

    def delete(self, ids: str | Sequence[str] | None = None, *, where: Where | None = None) -> int:
        """Delete by id or by filter, one of them; how many documents were deleted."""
        if (ids is None) == (where is None):
            raise InvalidRequest("give either ids or where, one of them", field="ids")
        documents = self._backend.documents
        if where is not None:
            work = documents.delete_where(self.name, parse_where(where))
        else:
            work = documents.delete(self.name, list(_several(ids or ())))
        receipt = self._loop.run(work)
        self._note(receipt.seq)
        return receipt.deleted

    def get(self, id: str) -> dict[str, Any]:
        """The document of an id. Raises DocumentNotFound."""
        return dict(self._loop.run(self._backend.documents.get(self.name, id)).body)

    def search(
        self,
        query: str | None = None,
        *,
        vector: npt.ArrayLike | None = None,
        where: Where | None = None,
        limit: int = 10,
        offset: int = 0,
        mode: Mode | str | None = None,
        exact: bool = False,
        ef: int | None = None,
        cursor: str | None = None,
        explain: bool = False,
        typos: bool = True,
        sort: str | Sequence[str] | None = None,
        facets: Sequence[str | Mapping[str, Any]] | None = None,
        facet_scope: str = "candidates",
        group_by: str | Mapping[str, Any] | None = None,
        understand: bool | Mapping[str, bool] | None = None,
        fusion: Mapping[str, Any] | str | None = None,
        highlight: bool | Mapping[str, Any] = False,
        rerank: bool | Mapping[str, Any] | None = None,
        diversity: float = 0.0,
        boosts: Sequence[Mapping[str, Any]] = (),
        rules: bool = True,
    ) -> Answer:
        """Find documents by meaning and words. Iterate over the answer for its hits, best first; `plan` tells how.

        mode: "hybrid" (default for a query), "semantic" (default for a vector) or "lexical". exact: compare every
        vector. ef: candidates the index keeps while searching; more is slower and finds more.
        understand: False reads no constraints from the query, `{"brand": False}` none of that kind; a hybrid search
        reads all unless told, and `understood` in the answer tells what it read.
        cursor: that of an earlier answer, for the page that follows it; the question may be left out.
        explain: tell in each hit's `parts` and in `explanation` what every stage did.
        typos: forgive typing errors; the plan's `corrections` tell which.
        sort: fields, descending with a minus: `["price", "-_score"]`. facets: fields to count, or
        `{"field": "price", "ranges": [[None, 50], [50, None]]}`; facet_scope: over "candidates" or all "matches".
        group_by: a field, or `{"field": "sku", "limit": 3}`: hits are the best of each value, the others `members`.
        Without query and vector, what passes `where` is listed.
        fusion: how meaning and words are put together, `{"method": "rrf", "weight": 0.5}` or a method's name; the
        collection's way when absent.
        highlight: show which words matched; True, or any of `{"fields": [...], "pre": "<em>", "post": "</em>",
        "length": 200}`.
        rerank: True, or {"model": folder, "depth": 50}: have the best scored again by a cross-encoder.
        diversity: 0 to 1, how much being unlike the hits before counts. boosts: what lifts hits beside relevance,
        [{"recency": "added", "half_life": "30d"}]. rules: whether synonyms, pins and hides are applied.
        Always min(limit, matching documents) hits. Raises InvalidRequest, InvalidFilter, InvalidCursor, CursorExpired.
        """
        ask = question(
            query,
            vector=vector,
            where=where,
            limit=limit,
            offset=offset,
            mode=mode,
            exact=exact,
            ef=ef,
            cursor=cursor,
            explain=explain,
            typos=typos,
            sort=sort,
            facets=facets,
            facet_scope=facet_scope,
            group_by=group_by,
            understand=understand,
            fusion=fusion,
            highlight=highlight,
            rerank=rerank,
            diversity=diversity,
            boosts=boosts,
            rules=rules,
        )
        return self._loop.run(self._backend.searches.search(self.name, replace(ask, min_seq=self._written_seq)))

    def similar(
        self,
        ids: str | Sequence[str] = (),
        *,
        texts: str | Sequence[str] = (),
        unlike_ids: str | Sequence[str] = (),
        unlike_texts: str | Sequence[str] = (),
        where: Where | None = None,
        limit: int = 10,
        offset: int = 0,
        exact: bool = False,
        cursor: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """Find documents like some documents or texts, and unlike others. The documents named are never hits.

        offset, exact, cursor, explain: as in `search`.
        """
        ask = Similar(
            ids=_several(ids),
            texts=_several(texts),
            unlike_ids=_several(unlike_ids),
            unlike_texts=_several(unlike_texts),
            where=None if where is None else parse_where(where),
            limit=limit,
            offset=offset,
            exact=exact,
            min_seq=self._written_seq,
            cursor=cursor,
            explain=explain,
        )
        return self._loop.run(self._backend.searches.similar(self.name, ask))

    def suggest(self, typed: str, *, limit: int = 10) -> list[Suggestion]:
        """Complete what is typed into a search box, from titles and from queries asked before, the best first.

        Typing errors are forgiven. The first call waits until the titles are read: some 20 s for 100,000 documents.
        """
        return list(
            self._loop.run(self._backend.suggester.suggest(self.name, typed, limit=limit, wait=True)).suggestions
        )

    def rules(self, version: int | None = None) -> RulesVersion:
        """The rules in force, or an earlier version; version 0 without any where none were ever written."""
        return self._loop.run(self._backend.rules.read(self.name, version))

    def set_rules(self, rules: Mapping[str, Any] | Rules) -> RulesVersion:
        """Put rules in place of all there were, effective at once: `{"synonyms": [..], "pins": [..], "hides": [..]}`.

        Raises InvalidRequest naming the place, DocumentNotFound for a pinned document that does not exist.
        """
        made = rules if isinstance(rules, Rules) else rules_from_json(rules)
        return self._loop.run(self._backend.rules.write(self.name, made))

    def restore_rules(self, version: int) -> RulesVersion:
        """Write an earlier version again, as a new one."""
        return self._loop.run(self._backend.rules.restore(self.name, version))

    def rules_history(self) -> list[RulesVersion]:
        """The versions kept, latest first; the last 100."""
        return self._loop.run(self._backend.rules.history(self.name))

    def import_files(
        self,
        *paths: str | Path,
        id_field: str | None = "id",
        rejected_file: str | Path | None = None,
        on_progress: Callable[[ImportProgress], None] | None = None,
    ) -> ImportReport:
        """Take in csv, jsonl or parquet files, packed or not, and wait until all of it is searchable.

        id_field: None derives ids from the content. Run again after an interruption, it goes on where it was.
        on_progress: called from the database's own thread; it cannot call the database. Raises InvalidFile.
        """
        work = self._backend.documents.import_sources(
            self.name,
            open_files(paths),
            id_field=id_field,
            rejected_file=None if rejected_file is None else Path(rejected_file),
            on_progress=on_progress,
        )
        report = self._loop.run(work)
        self._note(report.seq)
        return report

    def export(self) -> Iterator[dict[str, Any]]:
        """Every document, in the order first stored, read in pages."""
        pages = self._backend.documents.export(self.name)
        while (document := self._loop.run(anext_or_none(pages))) is not None:
            yield dict(document.body)

    def export_parquet(self, path: str | Path, *, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Write every document with its vectors to a Parquet file, there whole or not at all; how many documents.

        `Database.import_from` brings it back. on_progress: documents written, of how many; from the database's own
        thread. Raises InvalidRequest unless the name ends in .parquet, InvalidFile, DiskFull, IndexLagging.
        """
        return self._loop.run(self._backend.export_parquet(self.name, Path(path), on_progress=on_progress))

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Change how the collection is searched, at once and for good: `configure(fusion={"method": "rrf"})`.

        A part set to None goes back to its default. Returns all settings. Raises InvalidSchema.
        """
        return spec_to_json(self._loop.run(self._backend.catalog.configure(self.name, changes)).spec)

    def evaluate(
        self,
        queries: str | Path | Mapping[str, Mapping[str, int]] | None = None,
        qrels: str | Path | None = None,
        *,
        against: Mapping[str, Any] | None = None,
        measures: Sequence[str] = MEASURES,
        on_progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> Evaluation:
        """Measure searches on judged queries, and with `against` compare them with another configuration.

        queries, qrels: files of queries and of judgments; or as queries `{"tea": {"document id": 2}}`, without qrels;
        or neither, for the judgments stored here. options, against: what `search` takes, such as `mode="lexical"`.
        on_progress: searches done and to do; called from the database's own thread, it cannot call the database.
        Raises InvalidFile, InvalidRequest, MissingDependency.
        """
        ours, other = configuration(options), None if against is None else configuration(against)
        work = self._backend.quality.evaluate(
            self.name,
            judged_from(queries, qrels),
            ours=replace(ours, min_seq=self._written_seq),
            other=None if other is None else replace(other, min_seq=self._written_seq),
            measures=measures,
            on_progress=on_progress,
        )
        return self._loop.run(work)

    def tune(
        self,
        queries: str | Path | Mapping[str, Mapping[str, int]] | None = None,
        qrels: str | Path | None = None,
        *,
        apply: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> TunedFusion:
        """Learn on judged queries which fusion serves this collection best, by cross-validation.

        queries, qrels: as for `evaluate`. apply: take the best one, if it is `worth_it`; nothing is changed otherwise.
        Raises InvalidRequest for too few judged queries, InvalidFile, MissingDependency.
        """
        where = replace(configuration({}), min_seq=self._written_seq)
        work = self._backend.quality.tune(self.name, judged_from(queries, qrels), where=where, on_progress=on_progress)
        found = self._loop.run(work)
        if apply and found.worth_it:
            self.configure(fusion=fusion_to_json(found.best))
        return found

    def judgments(self) -> list[Judgment]:
        """The judgments stored, in order of query, then document."""
        return self._loop.run(self._backend.quality.judgments(self.name))

    def judge(self, grades: Mapping[str, Mapping[str, int]]) -> int:
        """Store judgments, `{"tea": {"document id": 2}}`, 0 being not relevant; how many. Others stay."""
        given = [Judgment(query, name, grade) for query, of in grades.items() for name, grade in of.items()]
        return self._loop.run(self._backend.quality.judge(self.name, given))

    def forget_judgments(self, query: str | None = None) -> int:
        """Remove the judgments of a query, or all; how many."""
        return self._loop.run(self._backend.quality.forget_judgments(self.name, query=query))

    def record(
        self,
        search_id: str | None,
        document_id: str,
        kind: EventKind | str = EventKind.CLICK,
        position: int | None = None,
    ) -> EventReceipt:
        """Record that somebody clicked a document, put it into the cart or bought it; durable on return.

        search_id: of the answer that showed it. position: its rank there, from 1. Raises InvalidRequest unless the
        collection collects events: `configure(events=True)`.
        """
        if kind not in list(EventKind):
            raise InvalidRequest(unknown_name("kind", str(kind), EventKind), field="kind")
        event = Event(search_id or "", document_id, EventKind(kind), now_ms(), position)
        return self._loop.run(self._backend.feedback.record(self.name, [event]))

    def learn(self) -> Learnt:
        """Turn what was recorded into graded judgments, in place of earlier ones from clicks; what was learnt."""
        return self._loop.run(self._backend.feedback.learn(self.name))

    def report(self, *, below: int = FEW, limit: int = 100) -> list[QueryReport]:
        """Queries that found fewer than `below` documents at least once, the most searched first."""
        return self._loop.run(self._backend.feedback.report(self.name, below=below, limit=limit))

    def move(
        self,
        *,
        engine: str | None = None,
        embedder: str | None = None,
        index: Mapping[str, Any] | None = None,
        switch: bool = True,
        min_recall: float = 0.95,
        max_p95_ms: float | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> Moved:
        """Move to another engine, model or index settings: filled beside what answers, verified, then switched to.

        Searches and writes go on meanwhile. Cut short, it goes on when it is called again; with nothing given it goes
        on with the move under way. switch: False stops before the last step. min_recall: of the true ten nearest, or
        as much as before. on_progress: what is done, how many, of how many; from the database's own thread.
        """
        given = {"engine": engine, "embedder": embedder, "index": index and dict(index)}
        wish = {key: value for key, value in given.items() if value is not None}
        gates = Gates(min_recall=min_recall, max_p95_ms=max_p95_ms)
        work = self._backend.moving.move(self.name, wish, gates=gates, switch=switch, on_progress=on_progress)
        return self._loop.run(work)

    def estimate_move(self, *, price: float | None = None, **wish: Any) -> Estimate:
        """What a move would take, measured on a sample. wish: as for `move`. price: of a million tokens embedded."""
        return self._loop.run(self._backend.moves.estimate(self.name, wish, price=price))

    def shadow(self, share: float | None = None, *, generation: int | None = None) -> ShadowCounts | None:
        """Make a share of this process's searches on a generation beside the live one too; what differed until now.

        share: 0 to 1, counted anew from now on; 0 ends it; None changes nothing. generation: the one moved to, or else
        the one kept, where it is not named. None where it was not shadowed. Nobody waits for a shadow.
        Raises GenerationNotFound, InvalidRequest, EngineUnavailable.
        """
        return self._loop.run(_shadowed(self._backend, self.name, share, generation))

    def rollback(self) -> int:
        """Go back to the generation that was live before the last move; its number. Raises GenerationNotFound."""
        return self._loop.run(self._backend.moves.rollback(self.name))

    def generations(self, *, drop: bool = False) -> list[GenerationStatus]:
        """The live generation and those beside it. drop: give up those beside it first."""
        if drop:
            self._loop.run(self._backend.moves.drop(self.name))
        return self._loop.run(self._backend.moves.generations(self.name))

    def count(self) -> int:
        """Documents stored."""
        return self.status().documents

    def status(self) -> CollectionStatus:
        """How the collection is: documents, pending changes, size."""
        return self._loop.run(self._backend.catalog.status(self.name))

    def check(self, *, repair: bool = False) -> CheckReport:
        """Compare the store with the index; `repair` mends what differs."""
        return self._loop.run(self._backend.catalog.check(self.name, repair=repair))

    @property
    def written_seq(self) -> int:
        """The last change made through this handle, 0 before the first."""
        return self._written_seq

    def _note(self, seq: int) -> None:
        with self._noting:
            self._written_seq = max(self._written_seq, seq)


def question(
    query: str | None = None,
    *,
    vector: npt.ArrayLike | None = None,
    where: Where | None = None,
    limit: int = 10,
    offset: int = 0,
    mode: Mode | str | None = None,
    exact: bool = False,
    ef: int | None = None,
    cursor: str | None = None,
    explain: bool = False,
    typos: bool = True,
    sort: str | Sequence[str] | None = None,
    facets: Sequence[str | Mapping[str, Any]] | None = None,
    facet_scope: str = "candidates",
    group_by: str | Mapping[str, Any] | None = None,
    understand: bool | Mapping[str, bool] | None = None,
    fusion: Mapping[str, Any] | str | None = None,
    highlight: bool | Mapping[str, Any] = False,
    rerank: bool | Mapping[str, Any] | None = None,
    diversity: float = 0.0,
    boosts: Sequence[Mapping[str, Any]] = (),
    rules: bool = True,
) -> Search:
    """What `CollectionHandle.search` asks. Raises InvalidRequest, InvalidFilter, InvalidVector."""
    return Search(
        query=query,
        vector=None if vector is None else _vector(vector),
        where=None if where is None else parse_where(where),
        limit=limit,
        offset=offset,
        mode=None if mode is None else parse_mode(mode),
        exact=exact,
        effort=ef,
        cursor=cursor,
        explain=explain,
        typos=typos,
        sort=read_sort(sort),
        facets=read_facets(facets),
        facet_scope=parse_scope(facet_scope),
        group_by=read_group_by(group_by),
        understand=kinds_to_read(understand),
        fusion=None if fusion is None else fusion_from_json(fusion),
        highlight=parse_highlight(highlight),
        rerank=parse_rerank(rerank),
        diversity=diversity,
        boosts=parse_boosts(boosts) if boosts else (),
        rules=rules,
    )


def configuration(options: Mapping[str, Any]) -> Search:
    """A search to measure, from keywords of `search`. Raises InvalidRequest naming those there are."""
    known = [name for name in inspect.signature(question).parameters if name not in _SET_BY_EVALUATION]
    for name in options:
        if name not in known:
            raise InvalidRequest(unknown_name("option", name, known), field=name)
    return question("any", **options)


_SET_BY_EVALUATION = (
    *("query", "vector", "limit", "offset", "cursor", "explain"),
    *("sort", "facets", "facet_scope", "group_by", "highlight"),
)


def judged_from(
    queries: str | Path | Mapping[str, Mapping[str, int]] | None, qrels: str | Path | None
) -> JudgedSet | None:
    """Queries to measure by, from files or as they are; None for neither. Raises InvalidRequest, InvalidFile."""
    if isinstance(queries, Mapping):
        if qrels is not None:
            raise InvalidRequest("queries hold their judgments; give no qrels beside them", field="qrels")
        if any(grade < 0 for grades in queries.values() for grade in grades.values()):
            raise InvalidRequest("a grade is below 0; expected 0 or more", field="queries")
        return assemble({query: query for query in queries}, queries)
    if (queries is None) != (qrels is None):
        raise InvalidRequest("give both queries and qrels, or neither", field="qrels")
    return None if queries is None or qrels is None else read_judged(Path(queries), Path(qrels))


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    """One or many; a text alone is one, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


async def _shadowed(backend: Backend, name: str, share: float | None, generation: int | None) -> ShadowCounts | None:
    number = await backend.moving.beside(name) if generation is None else generation
    if share is None:
        return await backend.moving.shadowed(name, number)
    return await backend.moving.shadow(name, number, share)


def _vector(given: npt.ArrayLike) -> Float32Array:
    try:
        return np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as exc:
        raise InvalidVector(f"vector is not a list of numbers: {exc}", field="vector") from exc


async def anext_or_none(documents: Any) -> StoredDocument | None:
    """The next of an async iterator, None at its end."""
    found: StoredDocument | None = await anext(documents, None)
    return found


def parse_where(where: Where) -> Filter:
    """A filter from either spelling. Raises InvalidFilter."""
    return parse_text(where) if isinstance(where, str) else parse_json(where)


def parse_highlight(given: bool | Mapping[str, Any]) -> Highlight | None:
    """Raises InvalidRequest naming what there is."""
    if isinstance(given, bool):
        return Highlight() if given else None
    known = [one.name for one in parts_of(Highlight)]
    for name in given:
        if name not in known:
            raise InvalidRequest(f"highlight: {unknown_name('key', name, known)}", field=f"highlight.{name}")
    return Highlight(**{**given, "fields": _several(given.get("fields", ()))})


def parse_mode(mode: Mode | str) -> Mode:
    """Raises InvalidRequest naming the modes."""
    return _choice(Mode, mode, "mode", field="mode")


def parse_scope(scope: FacetScope | str) -> FacetScope:
    """Raises InvalidRequest naming the scopes."""
    return _choice(FacetScope, scope, "facet scope", field="facet_scope")


def _choice(kind: type[E], given: str, what: str, *, field: str) -> E:
    try:
        return kind(given)
    except ValueError as exc:
        known = ", ".join(kind)
        raise InvalidRequest(f"unknown {what} {given!r}; expected one of {known}", field=field) from exc
