"""Readers of a query's words: typing errors put right, identifiers found however they are spelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from nearfield.domain.plans import Correction, Mode
from nearfield.domain.queries import Search
from nearfield.domain.words import SHORTEST_IDENTIFIER, WORD, fold, identifiers, is_mixed, words_of
from nearfield.search.spelling import errors_allowed
from nearfield.search.work import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.protocols.embedder import Embedder
    from nearfield.search.lexicons import Lexicons
    from nearfield.search.spelling import Speller
    from nearfield.search.work import Work

MOST_WORDS: Final = 32
"""A longer query is a text: its words are looked for as they are."""
MOST_CORRECTED: Final = 4
RARE: Final = 10_000
"""A word that fewer than one document in so many holds may be an error that documents make too."""
PREFIX_MATCHES: Final = 8
"""Identifiers looked for that begin with an unknown one."""
NONSENSE: Final = "qzxjvkwq"
LONGEST_JOIN: Final = 3  # words that may be one identifier written apart: "wh 1000 xm4"


class Wording:
    """The two readers."""

    def __init__(self, lexicons: Lexicons) -> None:
        self._lexicons = lexicons

    def readers(self) -> tuple[Reader, Reader]:
        """In the order they run: after constraints were read, so that their words are not taken for misspelt."""
        return (
            Reader("identifiers", _asks_identifiers, self.find_identifiers),
            Reader("typos", _asks_typos, self.correct),
        )

    async def find_identifiers(self, work: Work) -> None:
        """Look for each identifier of the query in its joined form too, and for those that begin with it."""
        joined = dict.fromkeys(identifiers(work.words))
        words = words_of(work.words)
        lexicon = await self._lexicons.current(work.collection, work.live)
        found = dict.fromkeys(one for one in joined if one not in words)
        if lexicon is None:
            work.lasting = False
        else:
            found |= dict.fromkeys(one for one in _joins(words) if one in lexicon.identifiers)
            for one in joined:
                if one not in lexicon.identifiers:
                    found |= dict.fromkeys(lexicon.identifiers_from(one, most=PREFIX_MATCHES))
        work.expansion = " ".join([*filter(None, [work.expansion]), *found])

    async def correct(self, work: Work) -> None:
        """Look for what unknown words were meant to be as well, and embed that instead of them."""
        lexicon = await self._lexicons.current(work.collection, work.live)
        if lexicon is None:
            work.lasting = False
            work.notes.append("typing errors were not looked for: the collection's words are still being read")
            return
        speller = lexicon.speller
        rare = lexicon.documents // RARE
        doubtful = [word for word in dict.fromkeys(words_of(work.words)) if speller.doubts(word, rare)]
        doubtful = [word for word in doubtful if errors_allowed(word)][:MOST_CORRECTED]
        if not doubtful:
            return
        meant = await asyncio.to_thread(_corrections, doubtful, speller, work.live.embedder)
        if not meant:
            return
        work.corrections = tuple(Correction(word, known) for word, known in meant.items())
        work.expansion = " ".join([*filter(None, [work.expansion]), *meant.values()])
        if work.meaning is not None:
            work.meaning = WORD.sub(lambda found: meant.get(fold(found[0]), found[0]), work.meaning)


def _asks_identifiers(work: Work) -> bool:
    """Whether there is a digit or a hyphen in the query."""
    return (
        isinstance(work.ask, Search)
        and work.mode is not Mode.SEMANTIC
        and any(one.isdigit() or one == "-" for one in work.words)
        and work.words.count(" ") < MOST_WORDS
    )


def _asks_typos(work: Work) -> bool:
    return (
        isinstance(work.ask, Search) and work.ask.typos and len(work.words) > 0 and work.words.count(" ") < MOST_WORDS
    )


def _joins(words: Sequence[str]) -> list[str]:
    """Neighbouring words as one, where that could be an identifier."""
    found = []
    for length in range(2, LONGEST_JOIN + 1):
        for start in range(len(words) - length + 1):
            one = "".join(words[start : start + length])
            if is_mixed(one) and len(one) >= SHORTEST_IDENTIFIER:
                found.append(one)
    return found


def _corrections(doubtful: Sequence[str], speller: Speller, embedder: Embedder) -> dict[str, str]:
    """What unknown words were probably meant to be. Blocks.

    A word that the embedder's vocabulary has whole is a word: "cozy" is no misspelt "copy" because no document has it.
    """
    whole, nonsense, *counts = embedder.count_tokens(["a", NONSENSE, *doubtful]).tolist()
    if nonsense > whole:  # a vocabulary of parts of words
        doubtful = [word for word, count in zip(doubtful, counts, strict=True) if count > whole]
    found = {word: speller.nearest(word) for word in doubtful}
    return {word: known for word, known in found.items() if known is not None}
