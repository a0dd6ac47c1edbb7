"""What routes are given: the running backend, and the filter a body spells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from nearfield.domain.errors import ShuttingDown
from nearfield.domain.filter_json import parse_json
from nearfield.domain.filter_text import parse_text
from nearfield.wiring import Backend

if TYPE_CHECKING:
    from nearfield.domain.filters import Filter
    from nearfield.settings import Settings


async def _backend(request: Request) -> Backend:
    backend: Backend | None = getattr(request.app.state, "backend", None)
    if backend is None:  # before the lifespan began, or after it ended
        raise ShuttingDown("the service is not running")
    return backend


Running = Annotated[Backend, Depends(_backend)]
"""A route's parameter of this type is the backend of the application."""


def read_filter(spelled: dict[str, Any] | str | None, settings: Settings) -> Filter | None:
    """The unbound filter of either spelling. Raises InvalidFilter."""
    if spelled is None:
        return None
    if isinstance(spelled, str):
        return parse_text(spelled, max_nodes=settings.max_filter_nodes)
    return parse_json(spelled, max_nodes=settings.max_filter_nodes)
