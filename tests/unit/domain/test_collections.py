from __future__ import annotations

from dataclasses import replace

from nearfield.domain.collections import Collection, Generation, GenerationState
from nearfield.domain.schema import CollectionSpec, IndexSettings, SearchSettings
from nearfield.domain.templates import Template


def test_index_names_are_unique_in_a_store() -> None:
    names = {
        Generation(9, collection, number, "exact", IndexSettings(), "f", 3, GenerationState.LIVE, 0).index_name
        for collection in (1, 11, 12)
        for number in (1, 2, 11)
    }
    assert len(names) == 9
    assert all(name.replace("_", "").isalnum() for name in names)


def test_a_collection_has_the_name_of_its_settings() -> None:
    assert Collection(1, CollectionSpec("books", Template("{title}"))).name == "books"


def test_a_generation_gives_a_collection_its_shape_and_leaves_the_rest() -> None:
    spec = CollectionSpec("books", Template("{title}"), events=True)
    search = SearchSettings({"title": 3})
    index = IndexSettings(m=32)
    one = Generation(1, 1, 1, "exact", index, "f", 3, GenerationState.READY, 0, embedder="small", search=search)
    assert one.shape(spec) == replace(spec, engine="exact", embedder="small", index=index, search=search)
    assert one.shape(spec).events
