"""Which words of a document matched, and the part of it that shows them best."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

from nearfield.domain.highlights import Highlights
from nearfield.domain.languages import terms, terms_of, without_stop_words
from nearfield.domain.templates import field_text
from nearfield.domain.words import COMPOUND, WORD, fold, identifiers, join, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearfield.domain.highlights import Highlight
    from nearfield.domain.hits import Hit
    from nearfield.protocols.embedder import Embedder
    from nearfield.search.work import Work

    Passages = Callable[[Embedder, str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Match:
    """A place in a text, [start, end), and the term that matched there."""

    start: int
    end: int
    term: str


@dataclass(frozen=True, slots=True)
class Matcher:
    """The words looked for, as an index compares them; and as they are, identifiers joined."""

    terms: frozenset[str]
    joined: frozenset[str]
    language: str

    @classmethod
    def of(cls, text: str, language: str) -> Matcher:
        """text: the words of the query, corrections, synonyms and all; its stop words are not looked for."""
        asked = without_stop_words(text, language)
        return cls(frozenset(terms(asked, language)), frozenset([*identifiers(text), *words_of(asked)]), language)

    def matches(self, text: str) -> list[Match]:
        """In order, none within another. An identifier written in parts is one match."""
        joined = [(token, join(fold(token[0]))) for token in COMPOUND.finditer(text) if not token[0].isalpha()]
        found = [Match(token.start(), token.end(), one) for token, one in joined if one in self.joined]
        taken = {place for match in found for place in range(match.start, match.end)}
        words = [word for word in WORD.finditer(text) if word.start() not in taken]
        stemmed = terms_of([word[0] for word in words], self.language)
        found += [
            Match(word.start(), word.end(), term)
            for word, term in zip(words, stemmed, strict=True)
            if term in self.terms
        ]
        return sorted(found, key=lambda match: match.start)


class Highlighter:
    """Marks the hits of a page.

    passages: the passages of a document's text, as they were embedded. Blocks.
    """

    def __init__(self, passages: Passages) -> None:
        self._passages = passages

    async def mark(self, work: Work, asked: Highlight, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with their highlights. Some 0.2 ms each, in a thread."""
        return await asyncio.to_thread(self._mark, work, asked, hits)

    def _mark(self, work: Work, asked: Highlight, hits: Sequence[Hit]) -> list[Hit]:
        spec = work.collection.spec
        matcher = Matcher.of(f"{work.words} {work.expansion}", spec.search.language)
        marked = []
        for hit in hits:
            fields = {}
            for name in asked.fields or spec.embed.fields:
                text = field_text(hit.document.get(name))
                if matches := matcher.matches(text):
                    fields[name] = snippet(text, matches, asked)
            passage = self._passage(work, hit)
            best = snippet(passage, matcher.matches(passage), asked)
            members = None if hit.members is None else tuple(self._mark(work, asked, hit.members))
            marked.append(replace(hit, highlights=Highlights(fields, best), members=members))
        return marked

    def _passage(self, work: Work, hit: Hit) -> str:
        text = work.collection.spec.embed.render(hit.document)
        if work.collection.spec.brings_vectors:
            return text
        passages = self._passages(work.live.embedder, text)
        return passages[min(hit.passage, len(passages) - 1)]


def snippet(text: str, matches: Sequence[Match], asked: Highlight) -> str:
    """A text, or the part of it that holds the most different terms, escaped and marked.

    Of parts with equally many terms the one with more matches, then the first. It is cut between words.
    """
    start, end = best_part(text, matches, asked.length)
    pieces = ["…" if start else ""]
    at = start
    for match in matches:
        if start <= match.start and match.end <= end:
            pieces += [escape(text[at : match.start]), asked.pre, escape(text[match.start : match.end]), asked.post]
            at = match.end
    pieces += [escape(text[at:end]), "…" if end < len(text) else ""]
    return "".join(pieces)


def best_part(text: str, matches: Sequence[Match], length: int) -> tuple[int, int]:
    """Where in a text `length` characters show the most different terms, as [start, end), cut between words."""
    if len(text) <= length:
        return 0, len(text)
    best, rank = (0, 0), (0, 0)
    last = 0
    for first, match in enumerate(matches):
        last = max(last, first)
        while last < len(matches) and matches[last].end - match.start <= length:
            last += 1
        held = matches[first:last]
        if (found := (len({one.term for one in held}), len(held))) > rank:
            best, rank = (match.start, held[-1].end), found
    spare = (length - (best[1] - best[0])) // 2
    start = max(0, min(best[0] - spare, len(text) - length))
    end = min(len(text), start + length)
    if start:  # not within a word, nor beyond the first match
        space = text.find(" ", start, max(start, best[0]))
        start = space + 1 if space >= 0 else start
    if end < len(text):
        space = text.rfind(" ", max(best[1], start), end + 1)
        end = space if space >= 0 else end
    return start, end
