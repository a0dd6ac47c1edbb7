from __future__ import annotations

import pytest

from nearfield.domain.words import fold, identifiers, is_mixed, words_of


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Straße Café ØRE", "strasse cafe ore"),
        ("cafe\u0301", "cafe"),
        ("Юрий ё", "юрий ё"),
        ("ﬁx ①", "fix 1"),
        ("日本", "日本"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(folded) == folded


def test_words() -> None:
    assert words_of("The Wi-Fi isn't 3.5mm; foo_bar") == ["the", "wi", "fi", "isn't", "3.5mm", "foo_bar"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Sony WH-1000XM4 black", ["wh1000xm4"]),
        ("wh1000xm4", ["wh1000xm4"]),
        ("MX.2000 and 12-34-56", ["mx2000", "123456"]),
        ("t-shirt, wi-fi", ["tshirt", "wifi"]),
        ("B00_5x", ["b005x"]),
        ("3.5mm, 1.2.3, 2000, state-of-the-art, well-known, node.js", []),
        ("a1", []),
        ("x1" * 21, []),
    ],
)
def test_identifiers(text: str, found: list[str]) -> None:
    assert list(identifiers(text)) == found


@pytest.mark.parametrize(
    ("word", "mixed"), [("d3100", True), ("4k", True), ("123", False), ("abc", False), ("a-1", False)]
)
def test_mixed(word: str, mixed: bool) -> None:
    assert is_mixed(word) is mixed
