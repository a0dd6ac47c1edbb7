from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from nearfield.api.app import create_app
from nearfield.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from fastapi import FastAPI

    Service = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, httpx2.AsyncClient]]]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Starts an application over a data directory of its own, with a client for it."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
        usual = {"embedder": "hashing", "engine": "exact", "environment": "test", "data_dir": tmp_path / "data"}
        app = create_app(Settings.model_validate(usual | settings))
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service", timeout=30) as client:
                yield app, client

    return start
