from __future__ import annotations

import pytest
from tests.unit.search.understand.table import NOW, Row, constraints, rows, schemas

from nearfield.domain.filters import Eq, Gte, In
from nearfield.domain.schema import FieldType
from nearfield.domain.understood import ALL_KINDS, PartKind, Understood
from nearfield.search.understand.fields import fields_of
from nearfield.search.understand.known import NOTHING_KNOWN, KnownValues
from nearfield.search.understand.reader import MAX_LENGTH, MAX_WORDS, understand

FULL = "wireless headphones under $50 from Sony, not refurbished, 4 stars and up, newest first"


def read(query: str, schema: str = "products", kinds: frozenset[PartKind] = ALL_KINDS) -> Understood:
    given = schemas()[schema]
    return understand(query, given.fields, given.known, NOW, kinds=kinds)


def test_the_table_is_large_enough() -> None:
    constrained = rows("constrained")
    assert len([row for row in constrained if row.where or row.sort]) >= 150
    assert len(rows("plain")) >= 60
    assert len({row.query for row in constrained}) == len(constrained)
    assert len({row.schema for row in constrained}) == 4


def test_nearly_every_constraint_of_the_table_is_read_right() -> None:
    wanted = right = extra = rests = 0
    wrong = []
    for row in rows("constrained"):
        found = read(row.query, row.schema)
        got, want = constraints(found.where, found.sort, schemas()[row.schema].fields), row.constraints()
        wanted, right, extra = wanted + len(want), right + len(got & want), extra + len(got - want)
        rests += found.query == row.rest
        if got != want:
            wrong.append(row.query)
    assert right >= 0.95 * wanted, wrong
    assert extra <= 0.02 * wanted, wrong
    assert rests >= 0.95 * len(rows("constrained"))


@pytest.mark.parametrize("row", rows("plain"), ids=lambda row: f"{row.schema}: {row.query}")
def test_nothing_is_invented(row: Row) -> None:
    assert read(row.query, row.schema) == Understood(row.query)


def test_parts_tell_the_words_they_came_from() -> None:
    found = read(FULL)
    assert [(part.kind, part.words, part.field) for part in found.parts] == [
        (PartKind.PRICE, "under $50", "price"),
        (PartKind.BRAND, "from Sony", "brand"),
        (PartKind.VALUE, "not refurbished", "condition"),
        (PartKind.RATING, "4 stars and up", "rating"),
        (PartKind.SORT, "newest first", "released"),
    ]
    assert all(FULL[part.start : part.end] == part.words for part in found.parts)
    assert found.sort == ("-released",)


@pytest.mark.parametrize("kind", list(PartKind))
def test_a_kind_that_is_off_leaves_its_words_in_the_query(kind: PartKind) -> None:
    on, off = read(FULL), read(FULL, kinds=ALL_KINDS - {kind})
    assert [part for part in on.parts if part.kind is not kind] == list(off.parts)
    for part in on.parts:
        assert (part.words in off.query) == (part.kind is kind)


def test_all_kinds_off_reads_nothing() -> None:
    assert read(FULL, kinds=frozenset()) == Understood(FULL)


def test_a_query_of_constraints_alone_keeps_something_to_look_for() -> None:
    assert read("from Sony under $50").query == "Sony"
    assert read("under $50").query == "under $50"
    assert read("under $50").where is not None


def test_numbers_are_read_where_no_values_are_known() -> None:
    found = understand("lamp under 30, 4 stars and up", {"price": FieldType.FLOAT, "stars": FieldType.FLOAT},
                       NOTHING_KNOWN, NOW)  # fmt: skip
    assert {part.field for part in found.parts} == {"price", "stars"}
    assert found.query == "lamp"


def test_a_field_that_is_not_there_is_not_filtered() -> None:
    fields = {"pages": FieldType.INT}
    assert understand(FULL, fields, NOTHING_KNOWN, NOW) == Understood(FULL)
    assert understand("novel over 300 pages", fields, NOTHING_KNOWN, NOW).query == "novel"


def test_a_long_text_is_searched_as_it_is_and_the_note_says_so() -> None:
    text = "under $5 " * 100
    found = read(text)
    assert found.query == text and not found.parts and str(MAX_LENGTH) in found.note


def test_a_title_is_not_read() -> None:
    schema = schemas()["films"]
    query = "movies since 2000"
    assert understand(query, schema.fields, schema.known, NOW).where == Gte("year", 2000)
    assert read("Men in Black", "films") == Understood("Men in Black")


def test_every_spelling_of_a_value_is_meant() -> None:
    fields = {"brand": FieldType.KEYWORD}
    known = KnownValues.of(fields_of(fields), {"brand": {"Sony": 5, "SONY": 2, "Bose": 1}})
    assert understand("tv by sony", fields, known, NOW).where == In("brand", ("Sony", "SONY"))
    assert understand("tv by bose", fields, known, NOW).where == Eq("brand", "Bose")


@pytest.mark.parametrize("sign", ["$", "( ", "1 ", "no "])
def test_a_text_of_signs_is_searched_as_it_is_and_the_note_says_so(sign: str) -> None:
    """200 of them took longer to read than a search takes."""
    text = sign * (200 // len(sign))
    found = read(text)
    assert found.query == text and not found.parts and str(MAX_WORDS) in found.note
