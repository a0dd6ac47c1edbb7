from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearfield.domain.documents import StoredDocument
from nearfield.domain.spec_json import spec_from_json
from nearfield.search import lexicon as module
from nearfield.search.lexicon import Gathering, Known, Span, title_field

if TYPE_CHECKING:
    from nearfield.domain.schema import CollectionSpec

SPEC = spec_from_json(
    "shop",
    {
        "embed": "{title}: {text}",
        "fields": {"brand": "keyword", "tags": "keyword[]", "price": "float", "at": "datetime", "note": "text"},
    },
)


def stored(key: int, **body: Any) -> StoredDocument:
    return StoredDocument(key, str(key), body, b"", key, None)


def gathered(*bodies: dict[str, Any], spec: CollectionSpec = SPEC) -> Gathering:
    gathering = Gathering(spec)
    gathering.take([stored(key, **body) for key, body in enumerate(bodies, start=1)])
    return gathering


def test_values_are_counted_by_document_most_frequent_first() -> None:
    found = gathered(
        {"title": "a", "brand": "Sony", "tags": ["new", "new", "red"]},
        {"title": "b", "brand": "New Balance", "tags": ["red"]},
        {"title": "c", "brand": "New Balance", "tags": []},
    ).snapshot(7)
    assert found.values == {"brand": {"New Balance": 2, "Sony": 1}, "tags": {"red": 2, "new": 1}}
    assert list(found.values["brand"]) == ["New Balance", "Sony"]
    assert found.names["new balance"] == (Known("brand", "New Balance", 2),)
    assert (found.longest_name, found.seq, found.documents) == (2, 7, 3)


def test_spans_hold_the_least_and_the_greatest() -> None:
    found = gathered({"price": 3}, {"price": 1.5, "at": "1970-01-01T00:00:01Z"}, {"price": None}).snapshot(0)
    assert found.spans == {"price": Span(1.5, 3), "at": Span(1_000_000, 1_000_000)}


def test_words_count_documents_and_are_folded() -> None:
    found = gathered({"title": "Café café", "text": "WH-1000XM4"}, {"title": "cafe"}, {"text": "unseen" * 10}).snapshot(
        0
    )
    assert found.words["cafe"] == 2
    assert found.identifiers == {"wh1000xm4": 1, "1000xm4": 1}
    assert "unseen" * 10 not in found.words


def test_identifiers_are_found_by_prefix_the_frequent_first() -> None:
    found = gathered({"title": "WH-1000XM3"}, {"title": "wh1000xm4"}, {"title": "WH1000XM4"}, {"title": "WX-1"})
    lexicon = found.snapshot(0)
    assert lexicon.identifiers_from("wh1000", most=5) == ["wh1000xm4", "wh1000xm3"]
    assert lexicon.identifiers_from("wh1000", most=1) == ["wh1000xm4"]
    assert lexicon.identifiers_from("zz", most=5) == []


def test_titles_are_those_of_documents_and_long_texts_are_none() -> None:
    found = gathered({"title": " Red\n shoe "}, {"title": "Red shoe"}, {"title": "x" * 201}, {"title": 3}).snapshot(0)
    assert found.titles == {"Red shoe": 2}
    assert found.title_field == "title"


@pytest.mark.parametrize(
    ("embed", "field"), [("{text} {Name}", "Name"), ("{text} {more}", "text"), ("{name} {title}", "title")]
)
def test_the_title_field_is_chosen_by_name(embed: str, field: str) -> None:
    assert title_field(spec_from_json("x", {"embed": embed})) == field


def test_too_many_values_lose_the_rarest_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 2)
    bodies = [{"brand": brand} for brand in ["a", "b", "a", "c", "b", "d", "e", "a"]]
    found = gathered(*bodies).snapshot(0)
    assert found.values["brand"] == {"a": 3, "b": 2}
    assert found.cut == ("brand",)


def test_a_snapshot_does_not_change() -> None:
    gathering = gathered({"title": "one", "brand": "a"})
    before = gathering.snapshot(1)
    gathering.take([stored(9, title="two", brand="b")])
    assert (before.words, before.values) == ({"one": 1}, {"brand": {"a": 1}, "tags": {}})
    assert gathering.snapshot(2).words == {"one": 1, "two": 1}
