"""A rig over a fresh folder, closed at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.indexing.rig import Rig, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """With an empty collection `books`."""
    opened = await Rig.open(tmp_path)
    await opened.catalog.create(spec())
    yield opened
    await opened.close()
