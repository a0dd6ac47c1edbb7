"""Qdrant's client in its in-memory mode: the SDK's models, without a server or a wire."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from tests.vendors.qdrant_memory import engines

from nearfield.engines.qdrant import QdrantEngine
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.protocols.engine import VectorEngine


class TestQdrantInMemory(EngineSuite):
    engine_type = QdrantEngine

    @pytest.fixture
    def against(self) -> str:
        return f"qdrant-client {version('qdrant-client')} in its in-memory mode"

    @pytest.fixture
    def engine_at(self) -> Callable[[Path], VectorEngine]:
        return engines()

    async def test_what_was_flushed_survives_a_kill(self) -> None:  # type: ignore[override]
        pytest.skip("the memory of a client ends with its process; the tests of a server show it")
