"""The HTTP application: routes, what surrounds them, and the backend's lifetime."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import nearfield
from nearfield.api.access import AccessGuard
from nearfield.api.admission import Lanes
from nearfield.api.description import describe_api
from nearfield.api.gate import Gate, Traffic
from nearfield.api.limits import BodyLimit
from nearfield.api.problems import answer_problem
from nearfield.api.routes import collections, documents, embeddings, moves, multi, ops, quality, rules, search, suggest
from nearfield.api.unrouted import answer_unrouted
from nearfield.domain.errors import NearfieldError
from nearfield.settings import Settings, load_settings
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nearfield.wiring import Backend

log = logging.getLogger("nearfield.api")

WARM_AGAIN_S: Final = 5.0  # between two tries to load what could not be loaded


def create_app(settings: Settings | None = None, *, backend: Backend | None = None) -> FastAPI:
    """The application, ready for any ASGI server.

    settings: read from the environment when absent. backend: one that is open already, which the application closes
    at its end; when absent one is opened at its start, which then raises what `open_backend` raises.
    Raises InvalidSetting when the host is reachable from outside and no API key is set.
    """
    settings = settings or load_settings()
    settings.check_exposure()
    traffic = Traffic()
    app = FastAPI(
        title="Nearfield",
        summary="Semantic search: documents in, answers by meaning out.",
        version=nearfield.__version__,
        openapi_url=None,  # served by routes.ops's own handler below, written once
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # an id may end in a slash
        lifespan=_lifespan(settings, traffic, backend),
    )
    app.state.traffic = traffic
    app.state.lanes = Lanes.of(settings)
    # One router, not nine included ones: matching a route then walks one flat list.
    for part in (search, multi, suggest, documents, collections, moves, quality, rules, embeddings, ops):
        app.router.routes.extend(part.router.routes)
    app.add_exception_handler(RequestValidationError, answer_problem)
    app.add_exception_handler(HTTPException, answer_unrouted)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(AccessGuard, keys=[key.get_secret_value() for key in settings.api_keys])
    app.add_middleware(Gate, traffic=traffic)
    describe_api(app)
    return app


def _lifespan(settings: Settings, traffic: Traffic, backend: Backend | None) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = backend or await open_backend(settings)
        app.state.backend = running
        warming = asyncio.create_task(_warm(running))
        try:
            yield
        finally:
            traffic.close()
            if not await traffic.drained(settings.shutdown_timeout_s):
                log.warning("requests cut off at shutdown", extra={"count": traffic.in_flight})
            warming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await warming
            app.state.backend = None
            await running.close()

    return lifespan


async def _warm(backend: Backend) -> None:
    """Load the model and every index; try again while there is hope. Until it succeeds `readyz` says no."""
    while True:
        try:
            await backend.warm()
        except NearfieldError as exc:
            log.error("not warm", exc_info=exc)
            if not exc.retryable:
                return
        except Exception:
            log.exception("not warm, by a defect")
            return
        else:
            log.info("warm")
            return
        await asyncio.sleep(WARM_AGAIN_S)
