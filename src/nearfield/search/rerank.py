"""A second look: the best candidates scored again by a model that reads query and text together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import CHUNK_BITS, MAX_CHUNKS
from nearfield.domain.errors import InvalidRequest
from nearfield.domain.queries import Search
from nearfield.domain.reranking import Rerank
from nearfield.search.ranked import Ranked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array, StoredDocument
    from nearfield.protocols.reranker import Reranker
    from nearfield.search.work import Work


@dataclass(frozen=True, slots=True)
class Reranking:
    """The stage. `open` gives the reranker of a name. default: used where a search does not say; None for none.

    model: of searches that name none. passages: cuts texts as they were embedded; blocks.
    """

    open: Callable[[str], Awaitable[Reranker]]
    model: str | None
    default: Rerank | None
    passages: Callable[[Work, Sequence[str]], Sequence[Sequence[str]]]

    def wants(self, work: Work) -> int | None:
        """See `Stage.wants`."""
        asked = self._asked(work)
        return None if asked is None else asked.depth

    async def run(self, work: Work, ranked: Ranked) -> Ranked:
        """See `Stage.run`. Raises InvalidRequest where no model is named or the search has no words, ModelUnknown."""
        asked = self._asked(work)
        assert asked is not None  # noqa: S101 - run only where wanted
        query = work.ask.query if isinstance(work.ask, Search) else None
        if query is None:
            raise InvalidRequest("rerank needs a query in words", field="rerank")
        name = asked.model or self.model
        if name is None:
            raise InvalidRequest(
                "no reranker is named; give rerank.model, or set NEARFIELD_RERANKER for all searches",
                field="rerank.model",
            )
        reranker = await self.open(name)
        head = min(asked.depth, len(ranked))
        if not head:
            return ranked
        found = await self._scores(work, ranked, head, reranker, query)
        work.notes.append(f"the best {head} candidates were scored again by {reranker.name}")
        return mixed(ranked, found, asked.weight)

    def _asked(self, work: Work) -> Rerank | None:
        ask = work.ask
        if not isinstance(ask, Search) or ask.rerank is False:
            return None
        if isinstance(ask.rerank, Rerank):
            return ask.rerank
        if ask.rerank is True:
            return self.default or Rerank()
        return self.default if ask.query is not None else None

    async def _scores(self, work: Work, ranked: Ranked, head: int, reranker: Reranker, query: str) -> Float32Array:
        """Of each of the best; what was scored for an earlier pass or page is not scored again."""
        chunks = ranked.chunks[:head].tolist()
        new = [chunk for chunk in chunks if chunk not in work.scored]
        if new:
            texts = await self._texts(work, new)
            work.scored.update(zip(new, (await reranker.score(query, texts)).tolist(), strict=True))
        return np.array([work.scored[chunk] for chunk in chunks], dtype=np.float32)

    async def _texts(self, work: Work, chunks: Sequence[int]) -> list[str]:
        """The passages as they were embedded; empty for a document gone meanwhile."""
        keys = [chunk >> CHUNK_BITS for chunk in chunks]
        stored = await work.retrieval.store.by_key(work.collection, keys)
        places = [chunk % MAX_CHUNKS for chunk in chunks]
        documents = [stored.get(key) for key in keys]
        return await asyncio.to_thread(self._passages, work, documents, places)

    def _passages(self, work: Work, documents: Sequence[StoredDocument | None], places: Sequence[int]) -> list[str]:
        template = work.collection.spec.embed
        texts = ["" if one is None else template.render(one.body) for one in documents]
        cut = self.passages(work, texts)
        # a document that is shorter by now than the index knows it has no such passage: its first speaks for it
        return [own[place] if place < len(own) else own[0] for own, place in zip(cut, places, strict=True)]


def mixed(ranked: Ranked, found: Float32Array, weight: float) -> Ranked:
    """The first of a ranking by weight * found + (1 - weight) * score, ties by document key; then the rest.

    found: 0..1, shape (head,). The rest keeps its order below them: its scores are multiplied by the lowest of theirs.
    """
    head = len(found)
    before = ranked.scores.astype(np.float64)
    after = (weight * found.astype(np.float64) + (1.0 - weight) * before[:head]).astype(np.float32)
    order = np.lexsort((ranked.documents[:head], -after))
    rest = before[head:] * float(after.min())
    places = np.concatenate([order, np.arange(head, len(before))])
    scores = np.concatenate([after[order], rest.astype(np.float32)])
    return Ranked(ranked.documents[places], ranked.chunks[places], scores)
