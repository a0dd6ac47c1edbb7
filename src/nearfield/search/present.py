"""From ranked keys to hits with their documents, as the store has them now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearfield.domain.documents import MAX_CHUNKS
from nearfield.domain.hits import Hit

if TYPE_CHECKING:
    from nearfield.domain.documents import StoredDocument
    from nearfield.search.ranked import Ranked
    from nearfield.search.trace import Trace
    from nearfield.search.work import Work


class Presented(NamedTuple):
    """hits: of one page. keys: their documents'. next: the place in the ranking where the following page begins; None
    where no document is left there, though a longer ranking may have more."""

    hits: list[Hit]
    keys: list[int]
    next: int | None


async def present(work: Work, ranked: Ranked, *, limit: int, offset: int, spare: int) -> Presented:
    """The hits of one page, `limit` of them where the ranking has so many that are still there.

    Documents deleted since they were indexed are dropped, and those changed since that no longer pass the filter. One
    SQL statement reads `limit + spare` documents; while the index lags behind the store those of the pages before are
    read too, so that a candidate dropped there moves the next ones up on every page alike.
    """
    retrieval = work.retrieval
    start = offset if retrieval.live.latest_seq <= retrieval.as_of else 0
    end = offset + limit + spare
    keys = ranked.documents[start:end].tolist()
    chunks, scores = ranked.chunks[start:end].tolist(), ranked.scores[start:end].tolist()
    stored = await retrieval.store.by_key(retrieval.collection, keys)
    hits: list[Hit] = []
    shown: list[int] = []
    skip = offset - start
    for at, key in enumerate(keys):
        document = stored.get(key)
        if document is None or not passes(work, document, retrieval.as_of):
            continue
        if skip:
            skip -= 1
        elif len(hits) == limit:
            return Presented(hits, shown, start + at)
        else:
            hits.append(hit_of(document, chunks[at], scores[at], work.trace))
            shown.append(key)
    return Presented(hits, shown, end if end < len(ranked) else None)


def passes(work: Work, document: StoredDocument, as_of: int) -> bool:
    """Whether a document passes the filter still, looked at anew only where it changed after `as_of`."""
    retrieval = work.retrieval
    return document.seq <= as_of or retrieval.where.keeps(document, retrieval.collection.spec.fields)


def hit_of(document: StoredDocument, chunk: int, score: float, trace: Trace | None) -> Hit:
    """A document found, by the passage that speaks for it."""
    parts = () if trace is None else trace.parts(document.key)
    return Hit(document.id, score, document.body, passage=chunk % MAX_CHUNKS, parts=parts)
