"""Is it good? Judgments, evaluations by them, and what people do with answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.responses import Response

from nearfield.api.bodies import SearchBody
from nearfield.api.quality_answers import (
    EvaluationAnswer,
    EventsAnswer,
    JudgmentsAnswer,
    LearntAnswer,
    QueriesReportAnswer,
    RemovedAnswer,
    StoredAnswer,
    TunedAnswer,
    evaluation_json,
    judgments_json,
    report_json,
    tuned_json,
)
from nearfield.api.quality_bodies import EvaluateBody, EventBody, EventsBody, JudgedQueryBody, JudgmentsBody, TuneBody
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.routes.search import read_search
from nearfield.api.state import Running
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.events import Event, EventKind
from nearfield.domain.fusion_json import fusion_to_json
from nearfield.domain.judgments import JudgedQuery, JudgedSet, Judgment, JudgmentSource
from nearfield.domain.queries import Search
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import Misfit, read_instant
from nearfield.quality.feedback import FEW
from nearfield.quality.impressions import now_ms
from nearfield.settings import Settings

router = APIRouter(route_class=JsonRoute, tags=["quality"])

_NOT_ASKED = (
    *("query", "vector", "limit", "offset", "cursor", "explain", "fields"),
    *("sort", "facets", "facet_scope", "group_by"),
)


@router.post("/v1/collections/{name}/evaluate", responses={200: {"model": EvaluationAnswer}})
async def evaluate(name: str, body: EvaluateBody, backend: Running) -> Response:
    """Measure searches on judged queries: nDCG@10, MRR@10, Recall@100, P@10, judged@10, and compare two configurations.

    The answer comes when every query was searched, which takes as long as so many searches.
    """
    settings = backend.settings
    ours = configuration(body.search, settings, "search")
    other = None if body.against is None else configuration(body.against, settings, "against")
    judged = None if body.queries is None else _judged_set(body.queries)
    found = await backend.quality.evaluate(name, judged, ours=ours, other=other)
    return await json_response(evaluation_json(found, body.show), large=True)


@router.post("/v1/collections/{name}/tune", responses={200: {"model": TunedAnswer}})
async def tune(name: str, body: TuneBody, backend: Running) -> Response:
    """Learn on judged queries which fusion serves a collection best, by cross-validation; `apply` takes it.

    A change that is not significant is never taken. The answer comes when every query was searched with each fusion.
    """
    judged = None if body.queries is None else _judged_set(body.queries)
    found = await backend.quality.tune(name, judged)
    applied = body.apply and found.worth_it
    if applied:
        await backend.catalog.configure(name, {"fusion": fusion_to_json(found.best)})
    return await json_response(tuned_json(found) | {"applied": applied}, large=True)


@router.get("/v1/collections/{name}/judgments", responses={200: {"model": JudgmentsAnswer}})
async def list_judgments(name: str, backend: Running) -> Response:
    """Every judgment stored in the collection."""
    return await json_response(judgments_json(await backend.quality.judgments(name)), large=True)


@router.put("/v1/collections/{name}/judgments", responses={200: {"model": StoredAnswer}})
async def put_judgments(name: str, body: JudgmentsBody, backend: Running) -> Response:
    """Store judgments; one of the same query and document is replaced, others stay."""
    given = [Judgment(one.query, one.document_id, one.grade) for one in body.judgments]
    return await json_response({"stored": await backend.quality.judge(name, given)})


@router.delete("/v1/collections/{name}/judgments", responses={200: {"model": RemovedAnswer}})
async def delete_judgments(
    name: str,
    backend: Running,
    query: Annotated[str | None, Query(description="Only those of this query.")] = None,
    source: Annotated[JudgmentSource | None, Query(description="Only those of this source.")] = None,
) -> Response:
    """Remove judgments: of one query, of one source, or all."""
    return await json_response({"deleted": await backend.quality.forget_judgments(name, query=query, source=source)})


@router.post("/v1/collections/{name}/judgments/learn", responses={200: {"model": LearntAnswer}})
async def learn_judgments(name: str, backend: Running) -> Response:
    """Turn what was clicked into graded judgments, with the position it was shown at taken out.

    They take the place of earlier ones from clicks. Judgments given by people stay, and count before them.
    """
    return await json_response(asdict(await backend.feedback.learn(name)))


@router.post("/v1/collections/{name}/events", responses={200: {"model": EventsAnswer}})
async def record_events(name: str, body: EventsBody, backend: Running) -> Response:
    """Record clicks, carts and purchases on what searches showed; durable when answered.

    The collection must collect events: change its settings to `{"events": true}` first.
    """
    events = [_event(one, f"events[{place}]") for place, one in enumerate(body.events)]
    return await json_response(asdict(await backend.feedback.record(name, events)))


@router.get("/v1/collections/{name}/reports/queries", responses={200: {"model": QueriesReportAnswer}})
async def report_queries(
    name: str,
    backend: Running,
    below: Annotated[int, Query(description="Fewer documents than that is too few; 1 tells only empty ones.")] = FEW,
    limit: Annotated[int, Query(description="Queries told.")] = 100,
) -> Response:
    """Queries that found nothing or little, the most searched first."""
    return await json_response(report_json(await backend.feedback.report(name, below=below, limit=limit)))


def _event(body: EventBody, field: str) -> Event:
    try:
        at = now_ms() if body.at is None else read_instant(body.at) // 1000
        return Event(body.search_id, body.document_id, EventKind(body.kind), at, body.position)
    except Misfit as exc:
        raise InvalidRequest(f"at: {exc}", field=f"{field}.at") from exc
    except InvalidRequest as exc:
        raise InvalidRequest(str(exc), field=f"{field}.{exc.field}") from exc


def configuration(options: dict[str, Any], settings: Settings, field: str) -> Search:
    """A search to measure, from members of a search request. Raises InvalidRequest naming the member."""
    for key in options:
        if key in _NOT_ASKED or key not in SearchBody.model_fields:
            known = [name for name in SearchBody.model_fields if name not in _NOT_ASKED]
            raise InvalidRequest(unknown_name("option", key, known), field=f"{field}.{key}")
    try:
        body = SearchBody.model_validate({"query": "any", **options})
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{where}: {first['msg'].lower()}", field=f"{field}.{where}") from exc
    return read_search(body, settings)


def _judged_set(queries: Sequence[JudgedQueryBody]) -> JudgedSet:
    seen: set[str] = set()
    judged = []
    for place, one in enumerate(queries):
        name = one.text if one.id is None else one.id
        if name in seen:
            raise InvalidRequest(f"query {name!r} is there twice; give each its own id", field=f"queries[{place}].id")
        if any(grade < 0 for grade in one.grades.values()):
            raise InvalidRequest("a grade is below 0; expected 0 or more", field=f"queries[{place}].grades")
        seen.add(name)
        judged.append(JudgedQuery(name, one.text, one.grades))
    return JudgedSet(
        tuple(one for one in judged if one.counts),
        without_relevant=tuple(one.id for one in judged if not one.counts),
    )
