"""Text to words, for full-text search: what a word is, which words say nothing, plural to singular."""

from __future__ import annotations

from typing import Final

from nearfield.domain.words import WORD, words_of

_STOP_LINE: Final = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS: Final = frozenset(_STOP_LINE.split())
"""Lucene's English stop words. They are dropped from queries, never from documents."""


def without_stop_words(text: str) -> str:
    """A query with its stop words blanked out and all else as it was."""
    return WORD.sub(lambda found: " " if found[0].lower() in STOP_WORDS else found[0], text)


def terms(text: str) -> list[str]:
    """The words of a text in order, lower case, without accents, plural made singular."""
    return [singular(word) for word in words_of(text)]


def singular(word: str) -> str:
    """An English plural without its ending. Source: Harman, JASIS 42(1), 1991, the "S" stemmer."""
    if len(word) > 3 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 2 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word
