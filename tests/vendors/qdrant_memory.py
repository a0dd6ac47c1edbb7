"""Qdrant's client in its in-memory mode, made to behave as a server would where its own rules differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import AsyncQdrantClient

from nearfield.engines.qdrant import QdrantEngine
from nearfield.engines.qdrant_schema import QdrantOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Kept(AsyncQdrantClient):
    """A client whose rows outlive the engine that used it, as a server's would."""

    async def close(self, grpc_grace: float | None = None, **kwargs: Any) -> None:
        """Nothing: the test's end drops it."""

    async def create_payload_index(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Nothing: the mode has no indexes, and warns of it."""

    async def query_points(self, *args: Any, **kwargs: Any) -> Any:
        """Without parameters, which it warns of: every search of this mode is exact."""
        return await super().query_points(*args, **{**kwargs, "search_params": None})


def engines() -> Callable[[Path], QdrantEngine]:
    """Makes engines over rows that stay with their place."""
    clients: dict[Path, Kept] = {}

    def at(place: Path) -> QdrantEngine:
        client = clients.setdefault(place, Kept(location=":memory:"))
        return QdrantEngine(lambda: client, QdrantOptions(), prefix="memory_")

    return at
