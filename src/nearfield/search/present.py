"""From ranked keys to hits with their documents, as the store has them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.domain.documents import MAX_CHUNKS
from nearfield.domain.hits import Hit

if TYPE_CHECKING:
    from nearfield.domain.documents import StoredDocument
    from nearfield.search.fuse import Ranked
    from nearfield.search.retrieve import Retrieval


async def present(
    retrieval: Retrieval, ranked: Ranked, *, limit: int, offset: int, spare: int, excluded: frozenset[int]
) -> tuple[list[Hit], int]:
    """The hits of one page, and how many candidates were dropped on the way to it.

    Documents deleted since they were indexed are dropped, and, while the index lags behind the store, those that were
    changed and no longer pass the filter. One SQL statement reads `limit + spare` documents.
    """
    candidates = [
        found
        for found in zip(ranked.documents.tolist(), ranked.chunks.tolist(), ranked.scores.tolist(), strict=True)
        if found[0] not in excluded
    ]
    page = candidates[offset : offset + limit + spare]
    stored = await retrieval.store.by_key(retrieval.collection, [key for key, _, _ in page])
    lagging = retrieval.live.applied_seq < retrieval.live.latest_seq
    fields = retrieval.collection.spec.fields
    hits: list[Hit] = []
    dropped = 0
    for key, chunk, score in page:
        document = stored.get(key)
        if document is None or (lagging and not retrieval.where.keeps(document, fields)):
            dropped += 1
            continue
        hits.append(_hit(document, chunk, score))
        if len(hits) == limit:
            break
    return hits, dropped


def _hit(document: StoredDocument, chunk: int, score: float) -> Hit:
    return Hit(document.id, score, document.body, passage=chunk % MAX_CHUNKS)
