from __future__ import annotations

import subprocess
import sys

import pytest

from nearfield.search.spelling import Speller, errors_allowed

WORDS = {
    "headphones": 40,
    "headphone": 3,
    "wireless": 60,
    "wirless": 1,
    "leather": 9,
    "lather": 2,
    "sony": 20,
    "running": 5,
    "wh1000xm4": 7,
    "panasonic": 8,
    "house": 3,
    "horse": 3,
}


@pytest.fixture(scope="module")
def speller() -> Speller:
    return Speller.of(WORDS, "english")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("hedphones", "headphones"),
        ("headphoness", "headphones"),
        ("haedphones", "headphones"),
        ("ehadphones", "headphones"),
        ("panasnic", "panasonic"),
        ("banasonic", "panasonic"),
        ("leater", "leather"),
        ("leathre", "leather"),
        ("letare", None),
        ("hause", "house"),
        ("hoose", "horse"),  # both hold as many documents: by spelling
        ("soni", None),
        ("sonnny", None),
        ("bamasonic", None),
        ("wh1000xm5", None),
        ("qqqqqqqq", None),
    ],
)
def test_the_nearest_word_that_most_documents_hold(speller: Speller, word: str, meant: str | None) -> None:
    assert speller.nearest(word) == meant


@pytest.mark.parametrize(
    ("word", "known"),
    [("sony", True), ("wirless", True), ("run", True), ("the", True), ("2024", True), ("sonny", False), ("日", False)],
)
def test_a_word_is_known_by_its_stem_too(speller: Speller, word: str, known: bool) -> None:
    assert speller.knows(word) is known


def test_a_rare_word_gives_way_to_one_that_is_very_much_more_frequent() -> None:
    speller = Speller.of({"wireless": 400, "wirless": 4, "wirles": 5, "lather": 1, "leather": 99}, "english")
    assert [speller.doubts(word, 4) for word in ["wireless", "wirless", "wirles", "the"]] == [False, True, False, False]
    assert speller.nearest("wirless") == "wireless"
    assert speller.nearest("lather") is None


def test_short_words_and_identifiers_are_left_alone() -> None:
    assert [errors_allowed(word) for word in ["sony", "house", "leather", "wireless", "wh1000xm4", "x" * 31]] == [
        0,
        1,
        1,
        2,
        0,
        0,
    ]


def test_no_words_know_nothing() -> None:
    speller = Speller.of({}, "none")
    assert speller.nearest("anything") is None
    assert not speller.knows("anything")


def test_what_finds_near_words_is_loaded_before_the_first_misspelt_one() -> None:
    """On the event loop it would stand still for a tenth of a second."""
    code = (
        "import sys; from nearfield.search.spelling import Speller; "
        "assert 'rapidfuzz' not in sys.modules; Speller.of({'lamp': 1}, 'none'); assert 'rapidfuzz' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
