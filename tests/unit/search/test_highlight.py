from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.highlights import Highlight
from nearfield.library import open as open_database
from nearfield.search.highlight import Matcher, best_part, snippet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearfield.library import CollectionHandle


def marked(query: str, text: str, language: str = "english", length: int = 200) -> str:
    return snippet(text, Matcher.of(query, language).matches(text), Highlight(pre="[", post="]", length=length))


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("running shoe", "Shoes for Runs, not runners", "[Shoes] for [Runs], not runners"),
        ("the cafe", "The Café", "The [Café]"),
        ("wh1000xm4", "Sony WH-1000XM4!", "Sony [WH-1000XM4]!"),
        ("WH-1000XM4", "wh1000xm4 and 1000XM4", "[wh1000xm4] and [1000XM4]"),
        ("tshirt", "A T-shirt", "A [T-shirt]"),
        ("b", "<b> & b", "&lt;[b]&gt; &amp; [b]"),
        ("nothing", "here", "here"),
        ("", "here", "here"),
    ],
)
def test_matches_are_marked_and_all_else_escaped(query: str, text: str, expected: str) -> None:
    assert marked(query, text) == expected


def test_stems_are_those_of_the_language() -> None:
    assert marked("Haus", "Die Häuser", "german") == "Die [Häuser]"
    assert marked("Haus", "Die Häuser", "none") == "Die Häuser"


def test_the_part_with_the_most_different_words_is_shown() -> None:
    text = "red red red " + "x" * 5 + " filler " * 20 + "a red leather shoe " + "filler " * 20
    assert marked("red leather shoe", text, length=40).count("[") == 3
    assert marked("red", text, length=30).startswith("[red] [red] [red] xxxxx")


def test_it_is_cut_between_words_with_an_ellipsis() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    shown = marked("word50", text, length=60)
    inner = shown.strip("…")
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "[word50]" in inner
    assert all(word.strip("[]") in text.split() for word in inner.split())
    assert marked("absent", text, length=20) == "word0 word1 word2…"


def test_a_word_longer_than_the_length_is_cut() -> None:
    assert best_part("x" * 100, [], 10) == (0, 10)
    assert marked("x" * 100, "x" * 100, length=10) == "x" * 10 + "…"


@pytest.mark.parametrize(("wrong", "field"), [({"length": 0}, "length"), ({"pre": "x" * 101}, "pre")])
def test_what_cannot_be_is_refused(wrong: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Highlight(**wrong)  # type: ignore[arg-type]
    assert caught.value.field == f"highlight.{field}"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectionHandle]:
    folder: Path = tmp_path_factory.mktemp("notes")
    with open_database(folder, environment="test", embedder="hashing", engine="exact") as database:
        handle = database.collection("notes", embed="{title}: {text}")
        long = " ".join(f"filler{number}" for number in range(600))
        handle.upsert(
            [
                {"id": "short", "title": "Wireless headphones", "text": "with a <strong> sound", "tags": ["wireless"]},
                {"id": "long", "title": "Manual", "text": f"{long} the antenna of the wireless {long}"},
            ]
        )
        yield handle


def test_hits_tell_what_matched_in_which_field(notes: CollectionHandle) -> None:
    (hit,) = notes.search("hedphones", mode="lexical", highlight=True)
    assert hit.highlights is not None
    assert hit.highlights.fields == {"title": "Wireless <em>headphones</em>"}
    assert hit.highlights.passage == "Wireless <em>headphones</em>: with a &lt;strong&gt; sound"


def test_fields_and_marks_can_be_chosen(notes: CollectionHandle) -> None:
    answer = notes.search("wireless", mode="lexical", highlight={"fields": ["tags"], "pre": "*", "post": "*"})
    found = {hit.id: hit.highlights for hit in answer}
    assert found["short"] is not None
    assert found["short"].fields == {"tags": "*wireless*"}
    assert found["long"] is not None
    assert found["long"].fields == {}


def test_the_best_passage_of_a_long_document_is_shown(notes: CollectionHandle) -> None:
    (hit,) = notes.search("antenna", mode="lexical", highlight={"length": 60})
    assert hit.passage > 0
    assert hit.highlights is not None
    assert "the <em>antenna</em> of the wireless" in hit.highlights.passage


def test_without_asking_there_are_none(notes: CollectionHandle) -> None:
    assert [hit.highlights for hit in notes.search("wireless")] == [None, None]


def test_an_unknown_wish_is_told(notes: CollectionHandle) -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'length'"):
        notes.search("wireless", highlight={"lenght": 3})
