from __future__ import annotations

import pytest

from nearfield.domain.filters import GeoBox, GeoRadius
from nearfield.domain.schema import IndexKind, Quantization
from nearfield.engines.local_schema import capabilities, utf8


@pytest.mark.parametrize(
    ("system", "machine", "rabitq", "diskann"),
    [
        ("Linux", "x86_64", True, True),
        ("Linux", "aarch64", False, True),
        ("Darwin", "arm64", False, False),
        ("Darwin", "x86_64", True, False),
        ("Windows", "AMD64", True, False),
    ],
)
def test_what_a_platform_lacks_is_not_claimed(system: str, machine: str, rabitq: bool, diskann: bool) -> None:
    claimed = capabilities(system, machine)
    assert (Quantization.RABITQ in claimed.quantizations[IndexKind.HNSW]) is rabitq
    assert (IndexKind.DISKANN in claimed.kinds) is diskann
    assert set(claimed.quantizations) <= claimed.kinds


def test_a_circle_is_not_claimed_but_a_box_is() -> None:
    claimed = capabilities("Linux", "x86_64").filters
    assert GeoBox in claimed
    assert GeoRadius not in claimed


def test_lone_surrogates_become_question_marks() -> None:
    assert utf8("a\ud800b 😀") == "a?b 😀"
