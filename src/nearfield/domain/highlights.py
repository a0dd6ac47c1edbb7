"""How matched words are shown in hits: asked for, and found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearfield.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH = 10_000
MAX_MARK = 100


@dataclass(frozen=True, slots=True)
class Highlight:
    """A wish to see which words matched.

    fields: of the document; empty means those the collection's template names. pre, post: what is put around each
    match, as it is. length: characters of a field or passage shown, without marks, 1 to MAX_LENGTH; a longer one is cut
    to where most of the query is found. Raises InvalidRequest.
    """

    fields: tuple[str, ...] = ()
    pre: str = "<em>"
    post: str = "</em>"
    length: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MAX_LENGTH:
            raise InvalidRequest(
                f"highlight.length is {self.length}; expected 1 to {MAX_LENGTH}", field="highlight.length"
            )
        for name, mark in (("pre", self.pre), ("post", self.post)):
            if len(mark) > MAX_MARK:
                raise InvalidRequest(f"highlight.{name}: at most {MAX_MARK} characters", field=f"highlight.{name}")


@dataclass(frozen=True, slots=True)
class Highlights:
    """What matched in one hit. All texts are HTML-escaped but for the marks; `…` stands where something was cut off.

    fields: by name, those in which a word matched. passage: the best part of the passage that speaks for the document,
    marked where words matched, and there without any too.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    passage: str = ""
