"""The text of each passage that is searched by words: what is embedded, what weighs more, identifiers as one word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.templates import field_text
from nearfield.domain.words import identifiers, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from nearfield.domain.schema import CollectionSpec

RECIPE: Final = "1"
"""Version of what this file does. Another one is another index, built again from the store."""
REPEATED_LENGTH: Final = 300
"""Characters of a field that is repeated in every passage of a document of several; a longer one stays where it is."""


def lexical_recipe(spec: CollectionSpec) -> str:
    """How a collection's texts are made, in words: equal for two specs whose indexes hold equal texts."""
    weights = ",".join(f"{name}*{weight}" for name, weight in sorted(spec.weights.items()))
    return f"{RECIPE};{weights}"


def lexical_texts(spec: CollectionSpec, body: Mapping[str, Any], passages: Sequence[str]) -> list[str]:
    """The text searched by words of each passage of a document, in order.

    A field of weight w stands in it w times, which multiplies the frequency of its words before BM25 saturates it; one
    that the template does not name is added to it. Of a document of several passages, short fields of weight 2 or more
    (the title) are in every passage. Identifiers are added as one word where their passage spells them in parts.
    Source: Robertson, Zaragoza & Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004.
    """
    weighted = [(name, field_text(body.get(name)).strip(), weight) for name, weight in spec.weights.items()]
    made = []
    for ordinal, passage in enumerate(passages):
        parts = [passage]
        for name, text, weight in weighted:
            inside = name in spec.embed.fields
            if not text or (len(passages) > 1 and len(text) > REPEATED_LENGTH) or (inside and weight == 1):
                continue
            parts += [text] * (weight - 1 if inside and ordinal == 0 else weight)
        made.append(_with_identifiers(parts))
    return made


def _with_identifiers(parts: Sequence[str]) -> str:
    """The parts, each identifier of theirs added as often as it is written in parts."""
    text = "\n".join(parts)
    joined = list(identifiers(text))
    if not joined:
        return text
    alone = set(words_of(text))
    added = [one for one in joined if one not in alone]
    return f"{text}\n{' '.join(added)}" if added else text
