from __future__ import annotations

import pytest

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.templates import Template


@pytest.mark.parametrize(
    ("source", "body", "text"),
    [
        ("{name}: {description}", {"name": "Earbuds", "description": "wireless"}, "Earbuds: wireless"),
        ("{name}: {description}", {"name": "Earbuds"}, "Earbuds:"),
        ("{name}", {"name": None}, ""),
        ("{name}: {description}", {"name": "  ", "description": None}, ""),
        ("fixed words {name}", {}, ""),
        ("{tags}", {"tags": ["new", "sale"]}, "new, sale"),
        ("{size}", {"size": {"w": 3, "h": 4.5}}, "3, 4.5"),
        ("{ok} {n}", {"ok": True, "n": 0}, "true 0"),
        ("{{{name}}} {{x}}", {"name": "a"}, "{a} {x}"),
        ("{a}", {"a": "{b}", "b": "no"}, "{b}"),
        ("{a}\n{a}", {"a": " x "}, "x \n x"),
    ],
)
def test_rendering(source: str, body: dict[str, object], text: str) -> None:
    assert Template(source).render(body) == text


def test_fields_are_named_once_in_order_of_use() -> None:
    assert Template("{b} {a} {b} {{c}}").fields == ("b", "a")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{name", "lone '{' at 0"),
        ("name}", "lone '}' at 4"),
        ("{na me}", "lone '{' at 0"),
        ("{}", "lone '{' at 0"),
        ("{a.b}", "lone '{' at 0"),
        ("no place", "names no {field}"),
        ("{{name}}", "names no {field}"),
        ("", "names no {field}"),
    ],
)
def test_a_template_without_sense_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        Template(source)
    assert message in str(caught.value)
    assert caught.value.field == "embed"
