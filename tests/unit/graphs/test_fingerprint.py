from __future__ import annotations

import re

import pytest

from nearfield.graphs.fingerprint import fingerprint


def test_it_is_pinned() -> None:
    """Vectors are kept under it for ever, so it may never come out otherwise."""
    facts = {"weights": "d550", "max_tokens": 256}
    assert fingerprint("all-MiniLM-L6-v2", facts) == "all-MiniLM-L6-v2-d65c70ec07562d15"


def test_the_order_of_facts_is_nothing() -> None:
    assert fingerprint("m", {"a": 1, "b": 2}) == fingerprint("m", {"b": 2, "a": 1})


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1, "b": None}])
def test_any_other_fact_is_another_fingerprint(other: dict[str, object]) -> None:
    assert fingerprint("m", {"a": 1}) != fingerprint("m", other)


@pytest.mark.parametrize("label", ["", "ünïcode/model name", "a" * 500, "../../etc", "org/model"])
def test_any_label_makes_a_valid_one(label: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", fingerprint(label, {}))
