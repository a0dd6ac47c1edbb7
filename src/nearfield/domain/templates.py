"""The text of a document that is embedded: `"{name}: {description}"`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfield.domain.errors import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|([{}])")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `{field}` places; `{{` and `}}` are literal braces.

    A missing or null field is rendered as nothing, a list as its values joined by ", ", a number as JSON writes it.
    Raises InvalidSchema for a lone brace, a place that is not a field name, or a text without any place.
    """

    source: str
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The fields named, in order of first use, each once."""

    def __post_init__(self) -> None:
        names = dict.fromkeys(part.group(1) for part in _PART.finditer(self.source) if part.group(1))
        object.__setattr__(self, "fields", tuple(names))
        for part in _PART.finditer(self.source):
            if part.group(2):
                raise InvalidSchema(
                    f"embed template {self.source!r}: lone {part.group(2)!r} at {part.start()}; "
                    "write a place as {field} and a literal brace twice",
                    field="embed",
                )
        if not self.fields:
            raise InvalidSchema(f"embed template {self.source!r} names no {{field}}", field="embed")

    def render(self, body: Mapping[str, Any]) -> str:
        """The text for one document, stripped of surrounding white space; empty when every named field is blank."""
        if not any(field_text(body.get(name)).strip() for name in self.fields):
            return ""
        return _PART.sub(lambda part: _place(part, body), self.source).strip()


def _place(part: re.Match[str], body: Mapping[str, Any]) -> str:
    name = part.group(1)
    return field_text(body.get(name)) if name else part.group(0)[0]


def field_text(value: object) -> str:
    """A field's value as a template renders it; empty for null."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ", ".join(field_text(item) for item in value)
        case dict():
            return ", ".join(field_text(item) for item in value.values())
        case _:
            return str(value)
