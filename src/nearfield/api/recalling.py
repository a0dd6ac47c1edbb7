"""Answers that are kept, over HTTP: written once, sent again with their own `took_ms` and `request_id` at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from starlette.responses import Response

from nearfield.api.admission import SearchRoute
from nearfield.api.answers import found_json
from nearfield.api.reading import json_bytes
from nearfield.observe import metrics
from nearfield.observe.logging import request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.api.reading import JsonRequest
    from nearfield.domain.hits import Answer
    from nearfield.wiring import Backend

LISTING: Final = "listing"  # as the mode of what asks nothing, in metrics
MAX_SPELLED: Final = 16 * 1024  # bytes of a body that is looked for, and kept beside its answer


class RecallingRoute(SearchRoute):
    """A search whose answer may be kept: for a body that came before it is sent without the body being parsed."""

    async def answer_at_once(self, request: JsonRequest) -> Response | None:
        """See `AdmittedRoute`. What the route itself would refuse is left to it."""
        backend: Backend | None = getattr(request.app.state, "backend", None)
        if backend is None or not len(backend.searches.answers):
            return None
        if request.scope["query_string"] or not request.is_json:
            return None
        body = await request.body()
        if len(body) > MAX_SPELLED:
            return None
        recalled = await backend.searches.recall(request.path_params["name"], body)
        if recalled is None:
            return None
        count_search(recalled.answer)
        return completed(recalled.form, recalled.answer)


def form_of(answer: Answer, fields: Sequence[str] | None) -> bytes:
    """An answer as JSON without its end."""
    return json_bytes(found_json(answer, fields))[:-1]


def completed(form: bytes, answer: Answer) -> Response:
    """The answer to one request, of the form that all of its kind share."""
    own = orjson.dumps({"took_ms": answer.took_ms, "request_id": answer.search_id or request_id.get()})
    return Response(form + b"," + own[1:], media_type="application/json")


def count_search(answer: Answer) -> None:
    """Put a search into the metrics."""
    plan = answer.plan
    metrics.SEARCH_SECONDS.labels(plan.mode or LISTING, plan.access).observe(answer.took_ms / 1000)
