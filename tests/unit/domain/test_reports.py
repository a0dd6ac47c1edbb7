from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nearfield.domain.reports import CheckReport

CLEAN = CheckReport("books", 2, 3, 3, 0, 0, sampled=3, wrong=0, pending=0)


@pytest.mark.parametrize("trouble", ["missing", "surplus", "wrong", "pending"])
def test_a_check_is_clean_when_nothing_is_amiss(trouble: str) -> None:
    assert CLEAN.clean
    found: dict[str, Any] = {trouble: 1}
    assert not dataclasses.replace(CLEAN, **found).clean
