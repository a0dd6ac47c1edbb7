"""From ranked keys to hits with their documents, as the store has them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.domain.documents import MAX_CHUNKS
from nearfield.domain.hits import Hit

if TYPE_CHECKING:
    from nearfield.domain.documents import StoredDocument
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Work


async def present(work: Work, ranked: Ranked, *, limit: int, offset: int, spare: int) -> tuple[list[Hit], int]:
    """The hits of one page, and how many candidates were dropped on the way to it.

    Documents deleted since they were indexed are dropped, and those changed since that no longer pass the filter. One
    SQL statement reads `limit + spare` documents; while the index lags behind the store those of the pages before are
    read too, so that a candidate dropped there moves the next ones up on every page alike.
    """
    retrieval = work.retrieval
    candidates = [
        found
        for found in zip(ranked.documents.tolist(), ranked.chunks.tolist(), ranked.scores.tolist(), strict=True)
        if found[0] not in work.excluded
    ]
    start = offset if retrieval.live.latest_seq <= retrieval.as_of else 0
    page = candidates[start : offset + limit + spare]
    stored = await retrieval.store.by_key(retrieval.collection, [key for key, _, _ in page])
    fields = retrieval.collection.spec.fields
    hits: list[Hit] = []
    dropped, skip = 0, offset - start
    for key, chunk, score in page:
        document = stored.get(key)
        if document is None or (document.seq > retrieval.as_of and not retrieval.where.keeps(document, fields)):
            dropped += 1
        elif skip:
            skip -= 1
        else:
            hits.append(_hit(work, document, chunk, score))
            if len(hits) == limit:
                break
    return hits, dropped


def _hit(work: Work, document: StoredDocument, chunk: int, score: float) -> Hit:
    parts = () if work.trace is None else work.trace.parts(document.key)
    return Hit(document.id, score, document.body, passage=chunk % MAX_CHUNKS, parts=parts)
