"""Weights on disk, for tests that run real models. `nearfield model pull NAME` brings them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nearfield.models.shelf import Shelf
from nearfield.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nearfield.models.local import Weights


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Weights]:
    """Gives a known model's weights. Skips where they are not on disk, fails there in CI; fetches nothing."""
    shelf = Shelf(Settings().models_dir, sources=())

    def found(name: str) -> Weights:
        present = {entry.model.name for entry in shelf.listing() if entry.presence == "present"}
        if name in present:
            return shelf.weights(name)
        missing = f"model {name} is not in {shelf.folder}; run: nearfield model pull {name}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)

    return found


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled graphs are kept, so that a run compiles each once."""
    return tmp_path_factory.mktemp("compiled")
