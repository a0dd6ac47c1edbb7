from __future__ import annotations

import pytest

from nearfield.engines.words import singular, terms, without_stop_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Cafés", ["the", "cafe"]),
        ("AC/DC node.js 3.14 1,000", ["ac", "dc", "node.j", "3.14", "1,000"]),
        ("don't stop.now", ["don't", "stop.now"]),
        ("wi-fi foo_bar", ["wi", "fi", "foo_bar"]),
        ("日本語 テキスト", ["日", "本", "語", "テキスト"]),
        ("Straße 😀!", ["strasse", "😀"]),
        ("... -- \\ \0", []),
    ],
)
def test_terms(text: str, words: list[str]) -> None:
    assert terms(text) == words


@pytest.mark.parametrize(
    ("plural", "single"),
    [
        ("batteries", "battery"),
        ("headphones", "headphone"),
        ("foxes", "foxe"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("s", "s"),
    ],
)
def test_singular(plural: str, single: str) -> None:
    assert singular(plural) == single


def test_stop_words_go_and_all_else_stays() -> None:
    assert without_stop_words("The cat, in-the hat; AND 'a' +b?").split() == ["cat,", "-", "hat;", "'", "'", "+b?"]
    assert without_stop_words("then theory").split() == ["theory"]
