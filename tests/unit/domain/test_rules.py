"""Rules: when they hold, what synonyms bring, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.rules import Condition, Expander, Synonyms, When, words_of
from nearfield.domain.rules_json import rules_from_json, rules_to_json

FULL = {
    "synonyms": [{"words": ["tv", "television"]}, {"from": ["sneaker"], "to": ["running shoe"]}],
    "pins": [{"ids": ["a", "b"], "at": 2, "query": "iPhone", "when": "contains"}],
    "hides": [{"ids": ["old"], "when": "always"}],
}


def test_json_comes_back_as_it_was() -> None:
    assert rules_to_json(rules_from_json(FULL)) == FULL
    assert not rules_from_json({})


def test_a_query_without_a_way_is_compared_whole_and_none_is_any_search() -> None:
    rules = rules_from_json({"pins": [{"ids": ["a"], "query": "tv"}, {"ids": ["b"]}]})
    assert [pin.condition.when for pin in rules.pins] == [When.IS, When.ALWAYS]


@pytest.mark.parametrize(
    ("when", "own", "query", "holds"),
    [
        ("is", "iPhone 15", "  IPHONE, 15! ", True),
        ("is", "iphone", "iphone 15", False),
        ("prefix", "iphone ca", "iphone case", True),
        ("prefix", "iphone case", "iphone ca", False),
        ("prefix", "phone", "iphone", False),
        ("contains", "noise cancelling", "best noise cancelling headphones", True),
        ("contains", "noise cancelling", "cancelling noise", False),
        ("contains", "phone", "iphone", False),
        ("contains", "Straße", "in der STRASSE", True),
    ],
)
def test_a_condition_compares_words(when: str, own: str, query: str, holds: bool) -> None:
    assert Condition(When(when), own).holds(words_of(query)) is holds


def test_a_search_by_vector_meets_only_always() -> None:
    assert Condition().holds(())
    assert not any(Condition(When(when), "tv").holds(()) for when in ("is", "prefix", "contains"))


def test_synonyms_bring_each_other_and_one_way_ones_do_not_come_back() -> None:
    found = Expander([Synonyms(("tv", "television", "telly")), Synonyms(("sneaker",), ("running shoe", "trainer"))])
    assert found.additions("a cheap TV") == ("television", "telly")
    assert found.additions("sneaker") == ("running shoe", "trainer")
    assert found.additions("running shoe") == ()
    assert found.additions("tv or television") == ("telly",)
    assert found.additions("") == ()


def test_the_longest_phrase_is_taken() -> None:
    found = Expander([Synonyms(("new york", "big apple")), Synonyms(("york",), ("yorkshire",))])
    assert found.additions("new york pizza") == ("big apple",)
    assert found.additions("york ham") == ("yorkshire",)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], None),
        ({"pin": []}, "pin"),
        ({"synonyms": [{"words": ["tv", "TV"]}]}, "synonyms[0].words"),
        ({"synonyms": [{"from": ["tv"]}]}, "synonyms[0]"),
        ({"synonyms": [{"from": ["tv"], "to": []}]}, "synonyms[0].to"),
        ({"synonyms": [{"words": ["tv", "?!"]}]}, "synonyms[0].words[1]"),
        ({"pins": [{"at": 1}]}, "pins[0].ids"),
        ({"pins": [{"ids": []}]}, "pins[0].ids"),
        ({"pins": [{"ids": ["a", "a"]}]}, "pins[0].ids"),
        ({"pins": [{"ids": ["a"], "at": 0}]}, "pins[0].at"),
        ({"pins": [{"ids": ["a"], "at": True}]}, "pins[0].at"),
        ({"pins": [{"ids": ["a"], "when": "is"}]}, "pins[0].query"),
        ({"pins": [{"ids": ["a"], "query": "?"}]}, "pins[0].query"),
        ({"pins": [{"ids": ["a"], "query": "x", "when": "starts"}]}, "pins[0].when"),
        ({"hides": [{"ids": ["a"], "query": "x", "when": "always"}]}, "hides[0].query"),
        ({"hides": [{"ids": ["a"], "at": 1}]}, "hides[0].at"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(given: Any, field: str | None) -> None:
    with pytest.raises(InvalidRequest) as told:
        rules_from_json(given)
    assert told.value.field == field


def test_where_each_pinned_document_is_named_first() -> None:
    rules = rules_from_json({"pins": [{"ids": ["a", "b"]}, {"ids": ["b", "c"]}]})
    assert rules.ids() == {"a": "pins[0].ids[0]", "b": "pins[0].ids[1]", "c": "pins[1].ids[1]"}
