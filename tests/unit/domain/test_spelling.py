from __future__ import annotations

import pytest

from nearfield.domain.spelling import MAX_NAMES_SHOWN, nearest_name, shorten, unknown_name


@pytest.mark.parametrize(
    ("given", "meant"),
    [("colour", "color"), ("COLOR", "color"), ("brnad", "Brand"), ("lte", "$lte"), ("zzz", None), ("", None)],
)
def test_the_nearest_name(given: str, meant: str | None) -> None:
    assert nearest_name(given, ["color", "Brand", "$lt", "$lte"]) == meant


def test_the_message_names_what_is_known_and_not_too_much_of_it() -> None:
    assert unknown_name("field", "colour", ["color"]) == "unknown field 'colour'; did you mean 'color'? known: color"
    assert unknown_name("field", "x", []) == "unknown field 'x'; known: none"
    many = unknown_name("field", "q" * 1000, [f"f{i}" for i in range(MAX_NAMES_SHOWN + 7)])
    assert many.endswith("f29 and 7 more")
    assert len(many) < 300


def test_shortening_keeps_the_limit() -> None:
    assert shorten("abcd", 4) == "abcd"
    assert shorten("abcde", 4) == "abc…"
