"""Maximal marginal relevance: the best candidates again, each chosen to be relevant and unlike those before it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array
    from nearfield.search.retrieve import Retrieval

DEPTH: Final = 100
"""Candidates chosen among; those beyond stay below in their order. A choice compares each pair: 10,000 here."""


async def diversify(retrieval: Retrieval, ranked: Ranked, diversity: float) -> Ranked:
    """Reorder the first DEPTH of a ranking by `marginal`, over the stored vectors of the passages that matched.

    diversity: 0 to 1. A passage that is gone meanwhile counts as like no other.
    """
    head = min(DEPTH, len(ranked.documents))
    if not head:
        return ranked
    keys, found = await retrieval.vectors(ranked.chunks[:head])
    vectors = np.zeros((head, retrieval.live.generation.dimension), dtype=np.float32)
    places = {chunk: place for place, chunk in enumerate(ranked.chunks[:head].tolist())}
    vectors[[places[key] for key in keys.tolist()]] = found
    return await asyncio.to_thread(marginal, ranked, vectors, diversity)


def marginal(ranked: Ranked, vectors: Float32Array, diversity: float) -> Ranked:
    """Choose the next document again and again: the one of the highest
    (1 - diversity) * score + diversity * novelty, ties by place.

    Novelty is 1 - the highest cosine (at least 0) to a document chosen before; 1 for the first. That value is the
    document's new score: 0..1, and never above the one before it. Documents beyond the vectors follow in their order
    with (1 - diversity) * score.
    vectors: float32, shape (head, dimension), of the first `head` documents; a row of zeros is like nothing.
    Source: Carbonell & Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998, with lambda = 1 - diversity
    and the penalty counted as a share of novelty, which keeps scores 0..1 and changes no order.
    """
    head = len(vectors)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    alike = np.clip(unit @ unit.T, 0.0, 1.0)
    relevance = (1.0 - diversity) * ranked.scores.astype(np.float64)
    nearest = np.zeros(head)
    open_ = np.ones(head, dtype=bool)
    chosen = np.empty(head, dtype=np.int64)
    scores = relevance.copy()
    for turn in range(head):
        values = np.where(open_, relevance[:head] + diversity * (1.0 - nearest), -1.0)
        best = int(np.argmax(values))
        chosen[turn], scores[turn] = best, values[best]
        open_[best] = False
        np.maximum(nearest, alike[best], out=nearest)
    places = np.concatenate([chosen, np.arange(head, len(ranked.documents))])
    return Ranked(ranked.documents[places], ranked.chunks[places], scores.astype(np.float32))
