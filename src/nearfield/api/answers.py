"""Answers: what each holds, as models for the API's description, and the functions that write them.

The functions build plain dicts, which orjson writes directly. That a model and its function agree is tested: every
golden answer is read back through its model.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from nearfield.api.bodies import CollectionSchema, FusionSchema, IndexSchema, SearchSchema
from nearfield.domain.fusion import FusionMethod  # noqa: TC001 - pydantic reads it
from nearfield.domain.plans import Access, Mode  # noqa: TC001 - pydantic reads them
from nearfield.domain.rules_json import rules_to_json
from nearfield.domain.spec_json import spec_to_json
from nearfield.domain.understood import PartKind, understood_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Rejection, StoredDocument
    from nearfield.domain.explanations import Explanation, Part
    from nearfield.domain.facets import FacetCounts
    from nearfield.domain.hits import Answer, Hit
    from nearfield.domain.plans import Plan
    from nearfield.domain.reports import CollectionStatus
    from nearfield.domain.rules import RulesVersion

ENGINE_DOWN = "the engine does not answer; changes wait in the store"
STANDS_STILL = "indexing stands still; the service's log says why"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemAnswer(_Answer):
    """RFC 9457, `application/problem+json`. Match on `code`, never on `detail`."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None
    request_id: str | None


class GenerationAnswer(_Answer):
    """The index that answers searches."""

    number: int
    engine: str
    fingerprint: str
    dimension: int
    state: str
    applied_seq: int


class StatusAnswer(_Answer):
    """documents: in the store. pending: changes not yet searchable. rows: passages indexed. bytes: of the index.
    engine_down: whether its server did not answer just now."""

    documents: int
    seq: int
    pending: int
    rows: int | None
    bytes: int | None
    unindexed: int | None
    generation: GenerationAnswer | None
    indexing_error: str | None
    engine_down: bool


class CollectionAnswer(CollectionSchema):
    """A collection's settings, defaults written out."""

    name: str
    embedder: str
    engine: str
    index: IndexSchema
    fusion: FusionSchema
    events: bool
    search: SearchSchema


class CollectionStatusAnswer(CollectionAnswer):
    """A collection's settings and how it is."""

    status: StatusAnswer


class CollectionsAnswer(_Answer):
    """In order of name."""

    collections: list[CollectionAnswer]


class RejectionAnswer(_Answer):
    """line: 1-based place in the list or stream."""

    line: int
    code: str
    detail: str
    id: str | None = None


class UpsertAnswer(_Answer):
    """accepted = new + changed + unchanged. seq: give it as `min_seq` to a search that must see these documents.

    rejected holds the first 1,000 of rejected_total.
    """

    seq: int
    accepted: int
    new: int
    changed: int
    unchanged: int
    rejected_total: int
    rejected: list[RejectionAnswer]


class PatchAnswer(_Answer):
    """changed and unchanged: 0 or 1."""

    seq: int
    changed: int
    unchanged: int


class DeleteAnswer(_Answer):
    """deleted: how many there were."""

    seq: int
    deleted: int


class DocumentAnswer(_Answer):
    """seq: the number of the last change to it."""

    id: str
    seq: int
    document: dict[str, Any]


class PartAnswer(_Answer):
    """What one stage had to do with a hit. rank: its place in the stage's list, from 1. score: in the stage's own
    measure. adds: what the hit's score has from it; all of them add up to the score."""

    stage: str
    rank: int | None
    score: float | None
    adds: float
    detail: dict[str, Any] | None = None


class StageAnswer(_Answer):
    """ms: wall time; `dense` and `lexical` run side by side. documents: how many it left."""

    stage: str
    ms: float
    documents: int | None


class ExplainAnswer(_Answer):
    """meaning: the text that was embedded. words: the text whose words were looked for. where: the filter in force."""

    meaning: str | None
    words: str | None
    where: str | None
    stages: list[StageAnswer]


class HighlightsAnswer(_Answer):
    """HTML-escaped but for the marks. fields: those in which a word matched. passage: the best part of the document."""

    fields: dict[str, str]
    passage: str


class HitAnswer(_Answer):
    """score: 0 to 1. passage: the best passage's number, 0-based, of a document of several. explain: where asked."""

    id: str
    score: float
    document: dict[str, Any]
    passage: int | None = None
    highlights: HighlightsAnswer | None = None
    explain: list[PartAnswer] | None = None
    group: Any = None
    members: list[HitAnswer] | None = None


class BucketAnswer(_Answer):
    """count: documents. value: of a facet of values; low, high: of a range or histogram bucket, null when open."""

    count: int
    value: Any = None
    low: Any = None
    high: Any = None


class FacetAnswer(_Answer):
    """kind: `values`, `ranges` or `histogram`. documents: counted over. missing: those without the field. others:
    distinct values beyond those told."""

    field: str
    kind: str
    buckets: list[BucketAnswer]
    documents: int
    missing: int
    others: int


class CorrectionAnswer(_Answer):
    """word: of the query, which no document holds. meant: the known word that was looked for instead."""

    word: str
    meant: str


class PlanAnswer(_Answer):
    """What the search really did."""

    mode: Mode | None
    access: Access
    engine: str
    index: str
    embedder: str
    generation: int
    applied_seq: int
    waited_for: int
    effort: int | None
    candidates: int
    matches: int | None
    filter_native: str | None
    filter_residual: str | None
    fusion: FusionMethod | None
    fusion_weight: float | None
    degraded: bool
    cached: bool
    notes: list[str]
    corrections: list[CorrectionAnswer]


class ReadPartAnswer(_Answer):
    """One thing read from the query: its words from `start` to `end`, and what became of them."""

    kind: PartKind
    words: str
    start: int
    end: int
    field: str
    filter: str | None = None
    sort: str | None = None


class UnderstoodAnswer(_Answer):
    """query: what was searched for. filter, sort: what was read. applied: false where that left nothing to find."""

    query: str
    filter: str | None
    sort: list[str]
    parts: list[ReadPartAnswer]
    applied: bool


class SearchAnswer(_Answer):
    """Hits best first. cursor: send it for the page that follows; null after the last. explain: where asked.

    understood: absent where nothing was read from the query.
    """

    hits: list[HitAnswer]
    plan: PlanAnswer
    cursor: str | None = None
    explain: ExplainAnswer | None = None
    facets: list[FacetAnswer] | None = None
    took_ms: float
    request_id: str
    understood: UnderstoodAnswer | None = None


class SuggestionAnswer(_Answer):
    """count: how often the query was asked, or documents of that title."""

    text: str
    kind: Literal["query", "title"]
    count: int


class SuggestAnswer(_Answer):
    """The best first. ready: false while the titles are still being read, and only queries are known."""

    suggestions: list[SuggestionAnswer]
    ready: bool


class RulesAnswer(_Answer):
    """version: rises with each write; 0 where none were ever written. written_at: ISO 8601, UTC."""

    version: int
    written_at: str | None
    restored_from: int | None
    synonyms: list[dict[str, Any]]
    pins: list[dict[str, Any]]
    hides: list[dict[str, Any]]


class RulesVersionAnswer(_Answer):
    """How many rules of each kind a version holds."""

    version: int
    written_at: str | None
    restored_from: int | None
    synonyms: int
    pins: int
    hides: int


class RulesHistoryAnswer(_Answer):
    """Latest first."""

    versions: list[RulesVersionAnswer]


class EmbeddingAnswer(_Answer):
    """embedding: numbers, or base64 of little-endian float32."""

    object: str
    index: int
    embedding: list[float] | str


class UsageAnswer(_Answer):
    """Tokens read, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(_Answer):
    """Embeddings in the order of the texts, each of unit length."""

    object: str
    data: list[EmbeddingAnswer]
    model: str
    usage: UsageAnswer


class HealthAnswer(_Answer):
    """status: `ok`."""

    status: str
    version: str


class ReadyAnswer(_Answer):
    """status: `ready`. engines_down: servers of engines that did not answer last."""

    status: str
    engines_down: list[str]


def collection_json(collection: Collection) -> dict[str, Any]:
    """A CollectionAnswer."""
    return {"name": collection.name, **spec_to_json(collection.spec)}


def status_json(status: CollectionStatus) -> dict[str, Any]:
    """A CollectionStatusAnswer. Why indexing stands still is for the log, not for the caller."""
    live = status.generation
    return collection_json(status.collection) | {
        "status": {
            "documents": status.documents,
            "seq": status.seq,
            "pending": status.pending,
            "rows": status.rows,
            "bytes": status.bytes,
            "unindexed": status.unindexed,
            "generation": None
            if live is None
            else {
                "number": live.number,
                "engine": live.engine,
                "fingerprint": live.fingerprint,
                "dimension": live.dimension,
                "state": live.state,
                "applied_seq": live.applied_seq,
            },
            "indexing_error": None if status.indexing_error is None else _standing_still(status),
            "engine_down": status.engine_down,
        }
    }


def _standing_still(status: CollectionStatus) -> str:
    return ENGINE_DOWN if status.engine_down else STANDS_STILL


def rejection_json(rejection: Rejection) -> dict[str, Any]:
    """A RejectionAnswer."""
    told: dict[str, Any] = {"line": rejection.line, "code": rejection.code, "detail": rejection.detail}
    return told if rejection.id is None else told | {"id": rejection.id}


def rules_json(version: RulesVersion) -> dict[str, Any]:
    """A RulesAnswer."""
    return _version_json(version) | rules_to_json(version.rules)


def rules_history_json(versions: Sequence[RulesVersion]) -> dict[str, Any]:
    """A RulesHistoryAnswer."""
    return {
        "versions": [
            _version_json(one)
            | {"synonyms": len(one.rules.synonyms), "pins": len(one.rules.pins), "hides": len(one.rules.hides)}
            for one in versions
        ]
    }


def _version_json(one: RulesVersion) -> dict[str, Any]:
    written_at = None if not one.written_us else datetime.fromtimestamp(one.written_us / 1e6, UTC).isoformat()
    return {"version": one.version, "written_at": written_at, "restored_from": one.restored_from}


def document_json(document: StoredDocument) -> dict[str, Any]:
    """A DocumentAnswer."""
    return {"id": document.id, "seq": document.seq, "document": document.body}


def answer_json(answer: Answer, fields: Sequence[str] | None, request_id: str | None) -> dict[str, Any]:
    """A SearchAnswer, the documents cut down to `fields` where these are given."""
    return {**found_json(answer, fields), "took_ms": answer.took_ms, "request_id": answer.search_id or request_id}


def found_json(answer: Answer, fields: Sequence[str] | None) -> dict[str, Any]:
    """What a SearchAnswer tells of the question alone: without `took_ms` and `request_id`."""
    told: dict[str, Any] = {
        "hits": [_hit_json(hit, fields) for hit in answer.hits],
        "plan": _plan_json(answer.plan),
        "cursor": answer.cursor,
    }
    if answer.explanation is not None:
        told["explain"] = explain_json(answer.explanation)
    if answer.facets:
        told["facets"] = [facet_json(one) for one in answer.facets]
    if answer.understood is not None:
        told["understood"] = understood_to_json(answer.understood)
    return told


def facet_json(counts: FacetCounts) -> dict[str, Any]:
    """A FacetAnswer."""
    values = counts.kind == "values"
    return {
        "field": counts.field,
        "kind": counts.kind,
        "buckets": [
            {"value": one.value, "count": one.count}
            if values
            else {"low": one.low, "high": one.high, "count": one.count}
            for one in counts.buckets
        ],
        "documents": counts.documents,
        "missing": counts.missing,
        "others": counts.others,
    }


def explain_json(explanation: Explanation) -> dict[str, Any]:
    """An ExplainAnswer."""
    return {
        "meaning": explanation.meaning,
        "words": explanation.words,
        "where": explanation.where,
        "stages": [{"stage": one.stage, "ms": one.ms, "documents": one.documents} for one in explanation.stages],
    }


def part_json(part: Part) -> dict[str, Any]:
    """A PartAnswer."""
    told: dict[str, Any] = {"stage": part.stage, "rank": part.rank, "score": part.score, "adds": part.adds}
    return told | {"detail": part.detail} if part.detail else told


def _hit_json(hit: Hit, fields: Sequence[str] | None) -> dict[str, Any]:
    body = hit.document
    if fields is not None:
        body = {name: body[name] for name in fields if name in body}
    told: dict[str, Any] = {"id": hit.id, "score": hit.score, "document": body}
    if hit.passage is not None:
        told["passage"] = hit.passage
    if hit.highlights is not None:
        told["highlights"] = {"fields": hit.highlights.fields, "passage": hit.highlights.passage}
    if hit.parts:
        told["explain"] = [part_json(part) for part in hit.parts]
    if hit.members is not None:
        told["group"] = hit.group
        told["members"] = [_hit_json(one, fields) for one in hit.members]
    return told


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "access": plan.access,
        "engine": plan.engine,
        "index": plan.index,
        "embedder": plan.embedder,
        "generation": plan.generation,
        "applied_seq": plan.applied_seq,
        "waited_for": plan.waited_for,
        "effort": plan.effort,
        "candidates": plan.candidates,
        "matches": plan.matches,
        "filter_native": plan.filter_native,
        "filter_residual": plan.filter_residual,
        "fusion": plan.fusion,
        "fusion_weight": plan.fusion_weight,
        "degraded": plan.degraded,
        "cached": plan.cached,
        "notes": plan.notes,
        "corrections": [{"word": one.word, "meant": one.meant} for one in plan.corrections],
    }
