"""Is it good? Judgments, and evaluations by them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.responses import Response

from nearfield.api.bodies import SearchBody
from nearfield.api.quality_answers import (
    EvaluationAnswer,
    JudgmentsAnswer,
    RemovedAnswer,
    StoredAnswer,
    evaluation_json,
    judgments_json,
)
from nearfield.api.quality_bodies import EvaluateBody, JudgmentsBody
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.routes.search import read_search
from nearfield.api.state import Running
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.judgments import JudgedQuery, JudgedSet, Judgment, JudgmentSource
from nearfield.domain.queries import Search
from nearfield.domain.spelling import unknown_name
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
    judged = None if body.queries is None else _judged_set(body)
    found = await backend.quality.evaluate(name, judged, ours=ours, other=other)
    return await json_response(evaluation_json(found, body.show), large=True)


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


def _judged_set(body: EvaluateBody) -> JudgedSet:
    seen: set[str] = set()
    judged = []
    for place, one in enumerate(body.queries or ()):
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
