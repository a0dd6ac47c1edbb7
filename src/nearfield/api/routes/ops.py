"""For those who run the service: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

import nearfield
from nearfield.api.answers import HealthAnswer, ReadyAnswer
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.state import Running
from nearfield.domain.reports import CollectionStatus
from nearfield.observe import metrics
from nearfield.wiring import Backend

router = APIRouter(route_class=JsonRoute, tags=["operations"])

_STATES = (
    ("documents", "Documents in the store."),
    ("pending", "Changes the live index has not applied yet."),
    ("rows", "Passages in the live index."),
    ("bytes", "Bytes of the live index."),
    ("unindexed", "Rows found by comparing each, until the next upkeep."),
)


@router.get("/healthz", responses={200: {"model": HealthAnswer}})
async def healthz() -> Response:
    """The process is alive and its event loop turns; nothing else is asked."""
    return await json_response({"status": "ok", "version": nearfield.__version__})


@router.get("/readyz", responses={200: {"model": ReadyAnswer}})
async def readyz(backend: Running) -> Response:
    """The model and every index are warm and the store answers; 503 before, and while shutting down.

    An engine on a server that is down is named in `engines_down`: its collections answer 503, all others go on.
    """
    await backend.ready()
    down = [name for name, error in backend.engines.errors().items() if error is not None]
    return await json_response({"status": "ready", "engines_down": sorted(down)})


@router.get("/metrics", response_class=PlainTextResponse)
async def show_metrics(backend: Running, request: Request) -> Response:
    """Counters and histograms of this process, and the state of each collection."""
    collections = await backend.catalog.list()
    readings = await _states([each.name for each in collections], backend)
    readings += await _caches(
        {backend.settings.default_embedder, *(each.spec.embedder for each in collections)}, backend
    )
    up: dict[tuple[str, ...], float] = {
        (name,): float(error is None) for name, error in backend.engines.errors().items()
    }
    readings.append(
        metrics.gauge("nearfield_engine_up", "0 where an engine's server did not answer last.", ("engine",), up)
    )
    readings += _answers(backend)
    readings += request.app.state.lanes.readings()
    return Response(metrics.render(readings), media_type=metrics.CONTENT_TYPE)


async def _states(names: list[str], backend: Backend) -> list[metrics.Reading]:
    found = await asyncio.gather(*(backend.catalog.status(name) for name in names), return_exceptions=True)
    # One that cannot be asked, because it was dropped meanwhile, is absent; the others are told all the same.
    known = [each for each in found if isinstance(each, CollectionStatus)]
    stuck: dict[tuple[str, ...], float] = {
        (each.collection.name,): float(each.indexing_error is not None) for each in known
    }
    return [
        *(
            metrics.gauge(f"nearfield_collection_{name}", told, ("collection",), _values(known, name))
            for name, told in _STATES
        ),
        metrics.gauge(
            "nearfield_collection_standing_still", "1 where the indexer stopped at an error.", ("collection",), stuck
        ),
    ]


async def _caches(names: set[str], backend: Backend) -> list[metrics.Reading]:
    """What the query caches count; an embedder that has none, or cannot be had now, is absent."""
    found = await asyncio.gather(*(backend.embedders.get(name) for name in names), return_exceptions=True)
    counts: dict[tuple[str, ...], float] = {
        (name, outcome): float(getattr(embedder, attribute))
        for name, embedder in zip(names, found, strict=True)
        for outcome, attribute in (("hit", "hits"), ("miss", "misses"))
        if hasattr(embedder, attribute)
    }
    told = "Queries whose vector was, or was not, in the cache."
    return [metrics.counter("nearfield_query_cache", told, ("embedder", "outcome"), counts)]


def _answers(backend: Backend) -> list[metrics.Reading]:
    answers = backend.searches.answers
    counts: dict[tuple[str, ...], float] = {("hit",): float(answers.hits), ("miss",): float(answers.misses)}
    told = "Searches answered from what was kept, and those that were not though they might have been."
    return [
        metrics.counter("nearfield_answer_cache", told, ("outcome",), counts),
        metrics.gauge("nearfield_answer_cache_bytes", "Memory of kept answers.", (), {(): float(answers.bytes)}),
        metrics.gauge("nearfield_answer_cache_answers", "Answers kept.", (), {(): float(len(answers))}),
    ]


def _values(known: list[CollectionStatus], name: str) -> dict[tuple[str, ...], float]:
    values = {(each.collection.name,): getattr(each, name) for each in known}
    return {of: float(value) for of, value in values.items() if value is not None}
