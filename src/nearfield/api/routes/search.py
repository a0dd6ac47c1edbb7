"""Search, and more-like-this."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from nearfield.api.admission import SearchRoute
from nearfield.api.answers import SearchAnswer, answer_json
from nearfield.api.bodies import HighlightBody, RerankSchema, SearchBody, SimilarBody
from nearfield.api.limits import check_window
from nearfield.api.reading import json_response
from nearfield.api.recalling import RecallingRoute, completed, count_search, form_of
from nearfield.api.state import Running, read_filter
from nearfield.domain.boost_json import parse_boosts
from nearfield.domain.facets import FacetScope, read_facets
from nearfield.domain.fusion_json import fusion_from_json
from nearfield.domain.highlights import Highlight
from nearfield.domain.hits import Answer
from nearfield.domain.ordering import read_group_by, read_sort
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search, Similar
from nearfield.domain.reranking import parse_rerank
from nearfield.domain.understood import kinds_to_read
from nearfield.observe.logging import request_id
from nearfield.settings import Settings

router = APIRouter(route_class=RecallingRoute, tags=["search"])
alike = APIRouter(route_class=SearchRoute, tags=["search"])

_MANY_HITS = 100  # written in a thread beyond


@router.post("/v1/collections/{name}/search", responses={200: {"model": SearchAnswer}})
async def search(name: str, body: SearchBody, backend: Running, request: Request) -> Response:
    """Find documents by meaning, by words, or both, among those that pass a filter. The plan tells what was done."""
    ask = read_search(body, backend.settings)
    answer = await backend.searches.search(name, ask)
    if answer.plan.cached and not answer.plan.waited_for:
        count_search(answer)
        form = form_of(answer, body.fields)
        await backend.searches.remember(name, ask, answer, await request.body(), form)
        return completed(form, answer)
    return await _response(answer, body.fields)


def read_search(body: SearchBody, settings: Settings) -> Search:
    """The question a body asks. Raises InvalidRequest, InvalidFilter."""
    check_window(body.limit, body.offset, settings)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes an infinity, which is refused by name
        vector = None if body.vector is None else np.asarray(body.vector, dtype=np.float32)
    return Search(
        query=body.query,
        vector=vector,
        where=read_filter(body.filter, settings),
        limit=body.limit,
        offset=body.offset,
        mode=None if body.mode is None else Mode(body.mode),
        exact=body.exact,
        effort=body.ef,
        fusion=None if body.fusion is None else fusion_from_json(body.fusion),
        min_seq=body.min_seq,
        cursor=body.cursor,
        explain=body.explain,
        typos=body.typos,
        sort=read_sort(body.sort),
        facets=read_facets(body.facets),
        facet_scope=FacetScope(body.facet_scope),
        group_by=read_group_by(body.group_by),
        understand=kinds_to_read(body.understand),
        highlight=_read_highlight(body.highlight),
        rerank=parse_rerank(body.rerank.model_dump() if isinstance(body.rerank, RerankSchema) else body.rerank),
        diversity=body.diversity,
        boosts=parse_boosts(body.boosts) if body.boosts else (),
        rules=body.rules,
    )


@alike.post("/v1/collections/{name}/similar", responses={200: {"model": SearchAnswer}})
async def similar(name: str, body: SimilarBody, backend: Running) -> Response:
    """Find documents like the given ones and unlike others, by meaning."""
    settings = backend.settings
    check_window(body.limit, body.offset, settings)
    ask = Similar(
        ids=tuple(body.ids),
        texts=tuple(body.texts),
        unlike_ids=tuple(body.unlike_ids),
        unlike_texts=tuple(body.unlike_texts),
        where=read_filter(body.filter, settings),
        limit=body.limit,
        offset=body.offset,
        exact=body.exact,
        min_seq=body.min_seq,
        cursor=body.cursor,
        explain=body.explain,
    )
    return await _response(await backend.searches.similar(name, ask), body.fields)


def _read_highlight(given: bool | HighlightBody) -> Highlight | None:
    if isinstance(given, bool):
        return Highlight() if given else None
    return Highlight(tuple(given.fields), given.pre, given.post, given.length)


async def _response(answer: Answer, fields: list[str] | None) -> Response:
    count_search(answer)
    content = answer_json(answer, fields, request_id.get())
    return await json_response(content, large=len(answer.hits) > _MANY_HITS)


router.routes.extend(alike.routes)
