"""Answers about quality: what each holds, and the functions that write them. The command line prints the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from nearfield.api.bodies import FusionSchema
from nearfield.domain.fusion_json import fusion_to_json
from nearfield.domain.judgments import JudgmentSource  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearfield.domain.events import QueryReport
    from nearfield.domain.judgments import Comparison, Evaluation, Judgment, QueryResult
    from nearfield.domain.tuning import TunedFusion

TOLD_AT_MOST = 100  # of ids left out


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ComparisonAnswer(_Answer):
    """difference: mean minus other_mean, with its 95% confidence interval low to high. p_randomization, p_t: the chance
    of a difference so large when both are equally good."""

    measure: str
    mean: float
    other_mean: float
    difference: float
    low: float
    high: float
    p_randomization: float
    p_t: float
    significant: bool
    better: int
    worse: int
    same: int


class QueryResultAnswer(_Answer):
    """relevant: how many documents are. found: the first ten ids."""

    id: str
    text: str
    relevant: int
    measures: dict[str, float]
    found: list[str]
    other_measures: dict[str, float] | None = None
    other_found: list[str] | None = None


class BadRowAnswer(_Answer):
    file: str
    line: int
    detail: str


class LeftOutAnswer(_Answer):
    """Queries without a relevant document, and ids judged without a query; the first 100 of each. missing_documents:
    relevant ones that the collection does not hold, and no search can find."""

    without_relevant: int
    without_relevant_ids: list[str]
    without_text: int
    without_text_ids: list[str]
    bad_rows: list[BadRowAnswer]
    missing_documents: int


class EvaluationAnswer(_Answer):
    """means over `queries` queries. other_means and comparisons are there when another configuration was given."""

    queries: int
    means: dict[str, float]
    other_means: dict[str, float]
    comparisons: list[ComparisonAnswer]
    worst: list[QueryResultAnswer]
    most_changed: list[QueryResultAnswer]
    left_out: LeftOutAnswer
    took_ms: float


class HeldOutAnswer(_Answer):
    """Every query scored under the fusion chosen without it, against the current one; p of the randomisation test."""

    mean: float
    current_mean: float
    difference: float
    p: float
    low: float
    high: float


class TriedAnswer(FusionSchema):
    """A fusion and its mean over all queries."""

    mean: float


class TunedAnswer(_Answer):
    """best: of `tried`, which are the best first. worth_it: whether to take it; why: in plain words."""

    measure: str
    queries: int
    current: FusionSchema
    best: FusionSchema
    worth_it: bool
    why: str
    held_out: HeldOutAnswer
    tried: list[TriedAnswer]
    applied: bool


class JudgmentAnswer(_Answer):
    """source: `given` by a person, or learnt from `clicks`."""

    query: str
    document_id: str
    grade: int
    source: JudgmentSource


class JudgmentsAnswer(_Answer):
    """In order of query, then document."""

    judgments: list[JudgmentAnswer]


class StoredAnswer(_Answer):
    """stored: how many judgments, durable."""

    stored: int


class RemovedAnswer(_Answer):
    """deleted: how many there were."""

    deleted: int


class EventsAnswer(_Answer):
    """accepted: stored, durable. unmatched: those among them whose search is not known; nothing is learnt from them."""

    accepted: int
    unmatched: int


class LearntAnswer(_Answer):
    """searches, clicks: read. elsewhere: events on documents that their search had not shown. judgments: stored
    in place of earlier ones from clicks, on so many queries. examination: how likely each of the first ten ranks is
    looked at, the first being 1."""

    searches: int
    clicks: int
    elsewhere: int
    judgments: int
    queries: int
    examination: list[float]


class QueryReportAnswer(_Answer):
    """searches: first pages shown. empty: those without a hit. fewest: documents found at the least. clicks: searches
    with an event. last_at: ISO 8601."""

    query: str
    searches: int
    empty: int
    fewest: int
    clicks: int
    last_at: str


class QueriesReportAnswer(_Answer):
    """The most searched first."""

    queries: list[QueryReportAnswer]


def evaluation_json(found: Evaluation, show: int) -> dict[str, Any]:
    """An EvaluationAnswer. show: how many of the worst and the most changed queries."""
    judged = found.judged
    return {
        "queries": len(found.queries),
        "means": dict(found.means),
        "other_means": dict(found.other_means),
        "comparisons": [_comparison_json(one) for one in found.comparisons],
        "worst": [_query_json(one) for one in found.worst(show)],
        "most_changed": [_query_json(one) for one in found.most_changed(show)],
        "left_out": {
            "without_relevant": len(judged.without_relevant),
            "without_relevant_ids": list(judged.without_relevant[:TOLD_AT_MOST]),
            "without_text": len(judged.without_text),
            "without_text_ids": list(judged.without_text[:TOLD_AT_MOST]),
            "bad_rows": [{"file": row.file, "line": row.line, "detail": row.detail} for row in judged.bad_rows],
            "missing_documents": found.missing_documents,
        },
        "took_ms": found.took_s * 1000,
    }


def tuned_json(found: TunedFusion) -> dict[str, Any]:
    """A TunedAnswer, but for `applied`."""
    held_out = found.held_out
    return {
        "measure": found.measure,
        "queries": found.queries,
        "current": fusion_to_json(found.current),
        "best": fusion_to_json(found.best),
        "worth_it": found.worth_it,
        "why": found.why,
        "held_out": {
            "mean": held_out.mean,
            "current_mean": held_out.other_mean,
            "difference": held_out.difference,
            "p": held_out.p_randomization,
            "low": held_out.low,
            "high": held_out.high,
        },
        "tried": [fusion_to_json(fusion) | {"mean": mean} for fusion, mean in found.tried],
    }


def judgments_json(judgments: Iterable[Judgment]) -> dict[str, Any]:
    """A JudgmentsAnswer."""
    return {
        "judgments": [
            {"query": one.query, "document_id": one.document_id, "grade": one.grade, "source": one.source.value}
            for one in judgments
        ]
    }


def report_json(queries: Iterable[QueryReport]) -> dict[str, Any]:
    """A QueriesReportAnswer."""
    return {
        "queries": [
            {
                "query": one.query,
                "searches": one.searches,
                "empty": one.empty,
                "fewest": one.fewest,
                "clicks": one.clicks,
                "last_at": datetime.fromtimestamp(one.last_at / 1000, UTC).isoformat(timespec="seconds"),
            }
            for one in queries
        ]
    }


def _comparison_json(one: Comparison) -> dict[str, Any]:
    return {
        "measure": one.measure,
        "mean": one.mean,
        "other_mean": one.other_mean,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "p_randomization": one.p_randomization,
        "p_t": one.p_t,
        "significant": one.significant(),
        "better": one.better,
        "worse": one.worse,
        "same": one.same,
    }


def _query_json(one: QueryResult) -> dict[str, Any]:
    told = {
        "id": one.id,
        "text": one.text,
        "relevant": one.relevant,
        "measures": dict(one.measures),
        "found": list(one.found),
    }
    if one.other_measures:
        told |= {"other_measures": dict(one.other_measures), "other_found": list(one.other_found)}
    return told
