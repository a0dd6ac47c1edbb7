"""Typing errors and identifiers, in whole searches over both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nearfield.domain.plans import Correction, Mode
from nearfield.domain.queries import Search
from nearfield.library import open as open_database
from nearfield.search import lexicons
from nearfield.search.spelling import Speller
from nearfield.search.wording import _corrections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nearfield.domain.hits import Answer
    from nearfield.library import CollectionHandle

THINGS = [
    {"id": "xm4", "name": "Sony WH-1000XM4 wireless headphones"},
    {"id": "xm3", "name": "Sony WH-1000XM3 wireless headphones"},
    {"id": "joined", "name": "WH1000XM4 ear pads"},
    {"id": "nikon", "name": "Nikon D3100 camera"},
    {"id": "shirt", "name": "T-shirt of cotton"},
    {"id": "chair", "name": "Panasonic massage chair"},
]


@pytest.fixture(params=["exact", "local"], scope="module")
def things(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectionHandle]:
    folder: Path = tmp_path_factory.mktemp("things")
    with open_database(folder, environment="test", embedder="hashing", engine=request.param) as database:
        handle = database.collection("things", embed="{name}")
        handle.upsert(THINGS)
        yield handle


def by_words(things: CollectionHandle, query: str, **more: Any) -> list[str]:
    return [hit.id for hit in things.search(query, mode="lexical", **more)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("WH-1000XM4", {"xm4", "joined"}),
        ("wh1000xm4", {"xm4", "joined"}),
        ("wh 1000 xm4", {"xm4", "joined"}),
        ("1000xm3", {"xm3"}),
        ("d-3100", {"nikon"}),
        ("tshirt", {"shirt"}),
        ("t shirt", {"shirt"}),
    ],
)
def test_an_identifier_is_found_however_it_is_spelled(things: CollectionHandle, query: str, first: set[str]) -> None:
    assert set(by_words(things, query)[: len(first)]) == first


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("wh-1000", {"xm4", "xm3", "joined"}),
        ("wh1000xm", {"xm4", "xm3", "joined"}),
        ("1000x", {"xm4", "xm3"}),
        ("d31", {"nikon"}),
        ("x99", set()),
    ],
)
def test_an_identifier_is_found_by_its_beginning(things: CollectionHandle, query: str, found: set[str]) -> None:
    assert set(by_words(things, query)) == found


def test_an_identifier_that_is_known_is_not_a_beginning(things: CollectionHandle) -> None:
    things.upsert({"id": "d3100s", "name": "Nikon D3100S camera"})
    assert by_words(things, "d3100") == ["nikon"]
    things.delete("d3100s")


def test_a_typing_error_is_forgiven_and_told(things: CollectionHandle) -> None:
    answer = things.search("panasnic", mode="lexical")
    assert [hit.id for hit in answer] == ["chair"]
    assert answer.plan.corrections == (Correction("panasnic", "panasonic"),)


def test_it_can_be_switched_off(things: CollectionHandle) -> None:
    answer = things.search("panasnic", mode="lexical", typos=False)
    assert (len(answer), answer.plan.corrections) == (0, ())


def test_what_is_embedded_is_the_corrected_text(things: CollectionHandle) -> None:
    def scores(query: str, *, typos: bool = True) -> list[float]:
        return [hit.score for hit in things.search(query, mode="semantic", typos=typos)]

    assert scores("Panasnic chair") == pytest.approx(scores("panasonic chair", typos=False), abs=1e-6)
    assert scores("Panasnic chair", typos=False) != pytest.approx(scores("panasonic chair"), abs=1e-6)


def test_new_words_are_known_at_once(things: CollectionHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    # however busy the machine is, the lexicon is brought up to date and waited for
    for name, value in {"WAIT_S": 30.0, "QUICK_S": 30.0, "FRESH_SHARE": 0}.items():
        monkeypatch.setattr(lexicons, name, value)
    things.upsert({"id": "new", "name": "Panasnic"})
    answer: Answer = things.search("panasnic", mode="lexical")
    assert ([hit.id for hit in answer], answer.plan.corrections) == (["new"], ())
    things.delete("new")


def test_a_vector_has_no_words(things: CollectionHandle) -> None:
    vector = [1.0] + [0.0] * (things.status().generation.dimension - 1)  # type: ignore[union-attr]
    assert things.search(vector=vector).plan.corrections == ()


class Parts:
    """A vocabulary of parts of words, which has `cozy` and `a` whole."""

    def count_tokens(self, texts: list[str]) -> NDArray[np.int64]:
        return np.array([3 if text in ("a", "cozy") else 5 for text in texts])


def test_a_word_of_the_embedder_is_no_error() -> None:
    speller = Speller.of({"cosyx": 3, "leather": 9}, "english")
    assert _corrections(["leater"], speller, Parts()) == {"leater": "leather"}  # type: ignore[arg-type]
    assert _corrections(["cozyx", "cozy"], Speller.of({"cosyx": 3, "cozzy": 9}, "english"), Parts()) == {  # type: ignore[arg-type]
        "cozyx": "cosyx"
    }


def test_typos_are_forgiven_unless_said_otherwise() -> None:
    assert Search(query="x").typos
    assert Search(query="x", mode=Mode.LEXICAL, typos=False).typos is False
