from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from nearfield.domain.languages import LANGUAGES, STEMMED, stems, stop_words, terms, without_stop_words
from nearfield.domain.words import fold


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("The Cafés running", "english", ["the", "cafe", "run"]),
        ("AC/DC node.js 3.14 1,000", "english", ["ac", "dc", "node.j", "3.14", "1,000"]),
        ("don't stop.now", "english", ["don't", "stop.now"]),
        ("wi-fi foo_bar", "english", ["wi", "fi", "foo_bar"]),
        ("日本語 テキスト", "english", ["日", "本", "語", "テキスト"]),
        ("Straße 😀!", "english", ["strass", "😀"]),
        ("... -- \\ \0", "english", []),
        ("Cafés running", "none", ["cafes", "running"]),
        ("Häuser", "german", ["haus"]),
        ("cidades cidade", "portuguese", ["cidad", "cidad"]),
        ("Книгами", "russian", ["книг"]),
    ],
)
def test_terms(text: str, language: str, found: list[str]) -> None:
    assert terms(text, language) == found


def test_stop_words_go_and_all_else_stays() -> None:
    assert without_stop_words("The cat, in-the hat; AND 'a' +b?").split() == ["cat,", "-", "hat;", "'", "'", "+b?"]
    assert without_stop_words("then theory").split() == ["theory"]
    assert without_stop_words("The cat", "none") == "The cat"
    assert without_stop_words("Das Haus für the", "german").split() == ["Haus", "the"]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_has_a_stemmer_and_folded_stop_words(language: str) -> None:
    assert len(terms("one two", language)) == 2
    assert all(fold(word) == word for word in stop_words(language))


def test_threads_stem_side_by_side() -> None:
    words = ["running", "houses", "libraries"] * 200
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda language: stems(words, language), sorted(STEMMED) * 2))
    half = len(found) // 2
    assert found[:half] == found[half:]
