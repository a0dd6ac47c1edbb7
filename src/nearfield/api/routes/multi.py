"""Several searches in one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from nearfield.api.admission import Lane
from nearfield.api.answers import SearchAnswer, answer_json
from nearfield.api.bodies import SearchBody
from nearfield.api.problems import problem_json
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.recalling import count_search
from nearfield.api.routes.search import read_search
from nearfield.api.state import Running
from nearfield.domain.hits import Answer
from nearfield.observe.logging import request_id
from nearfield.search.multi import MAX_SEARCHES, side_by_side

router = APIRouter(route_class=JsonRoute, tags=["search"])


class NamedSearchBody(SearchBody):
    """A question, and the collection it is put to."""

    collection: str = Field(description="The collection's name.")


class MultiSearchBody(BaseModel):
    """Several questions; each is answered, or fails, on its own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    searches: list[NamedSearchBody] = Field(
        description="Run side by side, a few at a time.", min_length=1, max_length=MAX_SEARCHES
    )


class OneAnswer(BaseModel):
    """status: as of a request of its own. answer: where it is 200; problem: where it is not, as RFC 9457 has it."""

    status: int
    answer: SearchAnswer | None = None
    problem: dict[str, Any] | None = None


class MultiSearchAnswer(BaseModel):
    """In the order asked."""

    answers: list[OneAnswer]
    request_id: str


@router.post("/v1/search", responses={200: {"model": MultiSearchAnswer}})
async def multi_search(body: MultiSearchBody, backend: Running, request: Request) -> Response:
    """Put several questions, to one collection or several. The answer is 200 though single ones fail."""
    lane: Lane = request.app.state.lanes.search
    lane.check()

    def work(one: NamedSearchBody) -> Callable[[], Awaitable[Answer]]:
        async def search() -> Answer:
            ask = read_search(one, backend.settings)
            async with lane.turn():
                return await backend.searches.search(one.collection, ask)

        return search

    found = await side_by_side([work(one) for one in body.searches])
    told = [_told(answer, one) for answer, one in zip(found, body.searches, strict=True)]
    return await json_response({"answers": told, "request_id": request_id.get()}, large=True)


def _told(answer: Answer | Exception, asked: NamedSearchBody) -> dict[str, Any]:
    if isinstance(answer, Exception):
        kind, told = problem_json(answer)
        return {"status": kind.status.value, "problem": told}
    count_search(answer)
    return {"status": HTTPStatus.OK.value, "answer": answer_json(answer, asked.fields, request_id.get())}
