from __future__ import annotations

import pytest

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.schema import MAX_FIELDS, CollectionSpec, FieldType, IndexSettings
from nearfield.domain.templates import Template

EMBED = Template("{name}")


@pytest.mark.parametrize("kind", list(FieldType))
def test_every_list_type_has_its_element(kind: FieldType) -> None:
    assert kind.is_list == (kind.element is not kind)
    assert not kind.element.is_list
    assert FieldType(f"{kind.element}[]").element is kind.element


def test_what_has_an_order() -> None:
    assert {kind.value for kind in FieldType if kind.is_ordered} == {"keyword", "int", "float", "datetime"}


@pytest.mark.parametrize("name", ["a", "products", "9lives", "a.b-c_d", "a" * 63])
def test_a_collection_name_is_taken(name: str) -> None:
    assert CollectionSpec(name, EMBED).name == name


@pytest.mark.parametrize("name", ["", ".a", "_a", "-a", "a b", "a/b", "a\n", "é", "a" * 64, "..", "a\x00"])
def test_a_collection_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidSchema, match="collection name") as caught:
        CollectionSpec(name, EMBED)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["", "1st", "a b", "a.b", "$and", "größe", "a\n", "a" * 64])
def test_a_field_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        CollectionSpec("c", EMBED, {name: FieldType.INT})
    assert caught.value.field == f"fields.{name}"


def test_fields_are_bounded_and_cannot_be_changed_later() -> None:
    given = {f"f{i}": FieldType.INT for i in range(MAX_FIELDS)}
    spec = CollectionSpec("c", EMBED, given)
    given["more"] = FieldType.INT
    assert len(spec.fields) == MAX_FIELDS
    with pytest.raises(TypeError):
        spec.fields["x"] = FieldType.INT  # type: ignore[index]
    with pytest.raises(InvalidSchema, match=f"at most {MAX_FIELDS}"):
        CollectionSpec("c", EMBED, given)


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [
        ("m", 4, 128),
        ("ef_construction", 16, 2000),
        ("ef_search", 16, 4096),
        ("lists", 0, 65_536),
        ("probes", 0, 65_536),
    ],
)
def test_index_settings_have_ranges(setting: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(IndexSettings(**{setting: value}), setting) == value  # type: ignore[arg-type]
    for value in (low - 1, high + 1):
        with pytest.raises(InvalidSchema, match=f"expected {low} to {high}") as caught:
            IndexSettings(**{setting: value})  # type: ignore[arg-type]
        assert caught.value.field == f"index.{setting}"
