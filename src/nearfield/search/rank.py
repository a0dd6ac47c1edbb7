"""Retrieve and fuse: the candidates of a search in order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.plans import Access, Mode
from nearfield.domain.queries import Search
from nearfield.domain.schema import Degraded
from nearfield.protocols.engine import words_beside
from nearfield.search.fuse import DENSE_DEPTH, depth_for, fuse, rank_dense, rank_lexical
from nearfield.search.listing import listing
from nearfield.search.plan import checked_vector
from nearfield.search.trace import timed

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array
    from nearfield.search.ranked import Ranked
    from nearfield.search.retrieve import Candidates
    from nearfield.search.work import Work

log = logging.getLogger("nearfield.search")


async def rank(work: Work) -> Ranked:
    """Candidates best first, `work.want` of them where there are so many; more may follow, in an order less sure.

    Those excluded are counted in `work.want`, and then left out. Where the engine does not answer and the collection
    allows it, words alone decide from here on.
    """
    try:
        ranked = await _ranked(work)
    except EngineUnavailable as exc:
        if not _may_degrade(work):
            raise
        _degrade(work, exc)
        ranked = await _ranked(work)
    work.firm = True
    work.exhausted = len(ranked) < work.want
    return ranked.without(work.excluded) if work.excluded else ranked


async def _ranked(work: Work) -> Ranked:
    match work.mode:
        case Mode.LEXICAL:
            found = await _by_words(work)
            ranked = rank_lexical(found, work.words)
            _one_side(work, "lexical", ranked)
        case Mode.SEMANTIC:
            found = await _by_meaning(work, await query_vector(work))
            ranked = rank_dense(found, work.live.generation.index.metric)
            _one_side(work, "dense", ranked)
        case Mode.HYBRID:
            ranked = await _hybrid(work)
        case None:
            with timed(work.trace, "listing"):
                ranked = await listing(work)
            _one_side(work, "listing", ranked)
    return ranked


def _may_degrade(work: Work) -> bool:
    """Whether words can answer alone, and may: not where a page was ranked with meaning already."""
    allowed = work.collection.spec.degraded is Degraded.LEXICAL
    by_meaning = work.mode in (Mode.HYBRID, Mode.SEMANTIC)
    return allowed and by_meaning and bool(work.words) and not work.firm and words_beside(work.live.index) is not None


def _degrade(work: Work, exc: EngineUnavailable) -> None:
    log.debug("words alone answer: %s", exc)
    work.mode, work.degraded, work.share = Mode.LEXICAL, True, None
    work.lasting = False
    work.retrieval.access, work.retrieval.approximate = Access.NONE, False
    work.notes.append(f"engine {work.live.generation.engine} does not answer: words alone decided")
    if isinstance(work.ask, Search) and work.ask.diversity:
        work.notes.append("hits were not made diverse, which needs their vectors")


async def query_vector(work: Work) -> Float32Array:
    """The vector asked with: the one given, or that of the text, embedded once a search."""
    if work.vector is None:
        with timed(work.trace, "embed"):
            vectors = await work.live.embedder.embed([work.meaning or ""], role="query")
        work.vector = checked_vector(work.live, vectors[0])
    return work.vector


async def _hybrid(work: Work) -> Ranked:
    depth = depth_for(work.want)
    vector = await query_vector(work)
    # beside the search by meaning, not beside the embedding, which takes every core there is
    by_words = asyncio.create_task(_by_words(work, depth))
    try:
        dense = await _by_meaning(work, vector, depth * DENSE_DEPTH)
        lexical = await by_words
    finally:
        by_words.cancel()
        await asyncio.gather(by_words, return_exceptions=True)
    work.candidates = len(dense) + len(lexical)
    with timed(work.trace, "fuse"):
        fused = fuse(dense, lexical, work.live.generation.index.metric, work.words, work.fusion)
    ranked, work.share = fused.ranked, fused.share
    if work.trace is not None:
        work.trace.adds("dense", ranked.documents, fused.meaning)
        work.trace.adds("lexical", ranked.documents, fused.words)
        work.trace.listed("fuse", ranked.documents, ranked.scores)
    return ranked


async def _by_meaning(work: Work, vector: Float32Array, depth: int = 0) -> Candidates:
    with timed(work.trace, "dense"):
        found = await work.retrieval.dense(vector, work.want, depth=depth)
    work.candidates = len(found)
    if work.trace is not None:
        work.trace.listed("dense", found.documents, found.scores)
    return found


async def _by_words(work: Work, depth: int = 0) -> Candidates:
    with timed(work.trace, "lexical"):
        text = f"{work.words} {work.expansion}" if work.expansion else work.words
        found = await work.retrieval.lexical(text, work.want, depth=depth)
    work.candidates = len(found)
    if work.trace is not None:
        work.trace.listed("lexical", found.documents, found.scores)
    return found


def _one_side(work: Work, stage: str, ranked: Ranked) -> None:
    if work.trace is not None:
        work.trace.adds(stage, ranked.documents, ranked.scores)
