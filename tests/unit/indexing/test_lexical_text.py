from __future__ import annotations

from collections.abc import Mapping

import pytest

from nearfield.domain.spec_json import spec_from_json
from nearfield.indexing.lexical_text import REPEATED_LENGTH, lexical_recipe, lexical_texts


def texts(weights: dict[str, int], body: Mapping[str, object], *passages: str) -> list[str]:
    spec = spec_from_json("x", {"embed": "{title}: {text}", "search": {"weights": weights}})
    return lexical_texts(spec, body, passages or (spec.embed.render(body),))


BODY = {"title": "Red shoe", "text": "of leather", "sku": "AB-12", "brand": "Acme"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, "Red shoe: of leather\nRed shoe"),
        ({"title": 1}, "Red shoe: of leather"),
        ({"title": 3, "text": 1}, "Red shoe: of leather\nRed shoe\nRed shoe"),
        ({"title": 1, "brand": 2}, "Red shoe: of leather\nAcme\nAcme"),
        ({"title": 1, "missing": 2}, "Red shoe: of leather"),
        ({"title": 1, "sku": 1}, "Red shoe: of leather\nAB-12\nab12"),
    ],
)
def test_a_field_stands_in_the_text_as_often_as_it_weighs(weights: dict[str, int], expected: str) -> None:
    assert texts(weights, BODY) == [expected]


def test_every_passage_of_a_long_document_holds_the_title_but_no_long_field() -> None:
    body = {"title": "Red shoe", "text": "of leather " * 100}
    first, second = texts({"title": 2, "text": 2}, body, "Red shoe: of leather", "of leather")
    assert first == "Red shoe: of leather\nRed shoe"
    assert second == "of leather\nRed shoe\nRed shoe"
    assert len(body["text"]) > REPEATED_LENGTH


def test_an_identifier_in_parts_is_added_as_often_as_it_is_written() -> None:
    assert texts({"title": 1}, {"title": "WH-1000XM4", "text": "wh-1000xm4 D3100"}) == [
        "WH-1000XM4: wh-1000xm4 D3100\nwh1000xm4 wh1000xm4"
    ]


@pytest.mark.parametrize(
    ("embed", "weights"),
    [("{title}", {}), ("{a} {b}", {}), ("{text} {Name}", {"Name": 2}), ("{name} {title}", {"title": 2})],
)
def test_a_title_beside_others_weighs_more(embed: str, weights: dict[str, int]) -> None:
    assert spec_from_json("x", {"embed": embed}).weights == weights


def test_recipes_differ_where_texts_do() -> None:
    def recipe(**search: object) -> str:
        return lexical_recipe(spec_from_json("x", {"embed": "{a}", "search": search}))

    assert recipe(weights={"a": 2, "b": 1}) == recipe(weights={"b": 1, "a": 2}, language="german")
    assert len({recipe(), recipe(weights={"a": 2}), recipe(weights={"b": 2})}) == 3
