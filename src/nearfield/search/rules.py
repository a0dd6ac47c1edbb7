"""Rules on one search: synonyms before the plan, hidden documents after fusing, pinned ones at the very end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.documents import chunk_key
from nearfield.domain.queries import Search
from nearfield.domain.rules import RulesFound, words_of
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from nearfield.domain.rules import Pin
    from nearfield.search.rulebook import RuleBook
    from nearfield.search.work import Work

MAX_ADDITIONS: Final = 16  # phrases: a query is widened, not buried


@dataclass(frozen=True, slots=True)
class RulesReader:
    """Reads the rules in force for a search, and widens its query by synonyms."""

    book: RuleBook

    def asked(self, work: Work) -> bool:
        """See `Reader.asked`."""
        if not isinstance(work.ask, Search) or not work.ask.rules:
            return False
        held = self.book.held(work.collection)
        return held is None or bool(held.version.rules)

    async def run(self, work: Work) -> None:
        """See `Reader.run`. Words and meaning both get the phrases that synonyms bring, after the query's own."""
        rules = await self.book.in_force(work.collection)
        if not rules.version.rules:
            return
        query = work.ask.query if isinstance(work.ask, Search) else None
        words = words_of(query or "")
        # of the query as it came, and as it was understood: a misspelt word brings what the right one does
        additions = (phrase for text in (query, work.meaning) for phrase in rules.synonyms.additions(text or ""))
        brought = tuple(dict.fromkeys(additions))[:MAX_ADDITIONS]
        hidden = rules.hidden(words)
        keys = await self.book.keys(work.collection, hidden) if hidden else []
        pins = tuple(rules.pinned(words))
        if not brought and not keys and not pins:
            return
        work.rules = RulesFound(rules.version.version, pins, brought, len(keys))
        work.excluded = work.excluded.union(keys)
        if brought and query is not None:
            _widen(work, brought)
            work.notes.append(f"synonyms added to the query: {', '.join(brought)}")
        if keys:
            work.notes.append(f"documents hidden by a rule: {len(keys)}")


def _widen(work: Work, brought: tuple[str, ...]) -> None:
    """Put phrases after the query's own words, and again where an earlier reader takes back what it made of them."""
    work.expansion = " ".join((*filter(None, [work.expansion]), *brought))
    work.meaning = " ".join((work.meaning or "", *brought))
    undo = work.fallback
    if undo is not None:

        def undo_and_widen(work: Work) -> None:
            undo(work)
            work.meaning = " ".join((work.meaning or "", *brought))

        work.fallback = undo_and_widen


class Hiding:
    """The first stage: hidden documents take part in no other."""

    def wants(self, work: Work) -> int | None:
        """See `Stage.wants`."""
        return 0 if work.rules is not None and work.rules.hidden else None

    async def run(self, work: Work, ranked: Ranked) -> Ranked:
        """Hidden ones go to the end, with a score of 0: the answer leaves them out, and the list keeps its length."""
        out = np.isin(ranked.documents, np.fromiter(work.excluded, dtype=np.int64))
        order = np.argsort(out, kind="stable")
        scores = np.where(out, np.float32(0), ranked.scores)
        return Ranked(ranked.documents[order], ranked.chunks[order], scores[order])


class Pinning:
    """The last stage: pinned documents at their places. Listings, and answers sorted by fields, have no such places."""

    def wants(self, work: Work) -> int | None:
        """See `Stage.wants`."""
        if work.rules is None or not work.rules.pins or work.mode is None:
            return None
        return None if isinstance(work.ask, Search) and work.ask.sort else 0

    async def run(self, work: Work, ranked: Ranked) -> Ranked:
        """See `placed`. A pinned document that is gone, hidden, or does not pass the filter is passed over."""
        assert work.rules is not None  # noqa: S101 - run only where wanted
        wanted = places_of(work.rules.pins)
        retrieval, fields = work.retrieval, work.collection.spec.fields
        stored = await retrieval.store.by_id(work.collection, list(wanted))
        places: dict[int, int] = {}
        for named, place in wanted.items():
            document = stored.get(named)
            if document is None:
                work.notes.append(f"pinned document {named!r} is gone")
            elif document.key in work.excluded:
                continue
            elif not retrieval.where.keeps(document, fields):
                work.notes.append(f"pinned document {named!r} does not pass the filter")
            else:
                places[document.key] = place
        if places:
            work.notes.append(f"documents pinned by a rule: {len(places)}")
        return placed(ranked, places) if places else ranked


def places_of(pins: tuple[Pin, ...]) -> dict[str, int]:
    """The place of each pinned document, from 0, in order of place; a document named twice has its first.

    Where two want one place, the earlier pin has it and the later takes the next free one.
    """
    taken: dict[int, str] = {}
    named: set[str] = set()
    for pin in pins:
        place = pin.at - 1
        for document in pin.ids:
            if document in named:
                continue
            while place in taken:
                place += 1
            taken[place] = document
            named.add(document)
    return {taken[place]: place for place in sorted(taken)}


def placed(ranked: Ranked, places: dict[int, int]) -> Ranked:
    """A ranking with some documents at fixed places, from 0; beyond the end, at the end. All others keep their order.

    places: by document key, each place once. A pinned document keeps its score as far as the list allows: no less than
    the one below has, no more than the one above. No other score changes. One not found had 0, and has passage 0.
    """
    own = {key: at for at, key in enumerate(ranked.documents.tolist()) if key in places}
    order: list[int] = [at for at, key in enumerate(ranked.documents.tolist()) if key not in places]
    pinned: list[tuple[int, int]] = sorted((place, key) for key, place in places.items())
    rows: list[tuple[int, int, float]] = [
        (int(ranked.documents[at]), int(ranked.chunks[at]), float(ranked.scores[at])) for at in order
    ]
    for place, key in pinned:
        at = own.get(key)
        score = 0.0 if at is None else float(ranked.scores[at])
        chunk = chunk_key(key, 0) if at is None else int(ranked.chunks[at])
        rows.insert(min(place, len(rows)), (key, chunk, score))
    below = 0.0
    for at in range(len(rows) - 1, -1, -1):
        key, chunk, score = rows[at]
        below = max(score, below) if key in places else score
        rows[at] = (key, chunk, below)
    above = 1.0
    for at, (key, chunk, score) in enumerate(rows):
        above = min(score, above)
        rows[at] = (key, chunk, above)
    return Ranked(
        np.array([key for key, _, _ in rows], dtype=np.int64),
        np.array([chunk for _, chunk, _ in rows], dtype=np.int64),
        np.array([score for _, _, score in rows], dtype=np.float32),
    )
