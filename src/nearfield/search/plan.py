"""How a search will be made, and the truth about how it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nearfield.domain.errors import InvalidRequest, UnsupportedByEngine
from nearfield.domain.explanations import Explanation
from nearfield.domain.filter_text import to_text
from nearfield.domain.plans import Mode, Plan
from nearfield.domain.queries import Search
from nearfield.domain.schema import IndexKind
from nearfield.protocols.engine import check_vectors, words_beside, words_index
from nearfield.search.filters import is_light, place
from nearfield.search.retrieve import Retrieval

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.engine import VectorIndex
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store
    from nearfield.search.filters import PlacedFilter
    from nearfield.search.selectivity import Selectivity
    from nearfield.search.trace import Trace
    from nearfield.search.work import Work


FAR_BEHIND = 10_000
"""Changes: an index so far behind is new or being built again, and what it finds is no answer to rely on."""


async def plan(work: Work, store: Store, selectivity: Selectivity, *, patience_s: float | None) -> None:
    """Place the filter in force, settle the mode, check what is asked of the engine; `work.retrieval` is there then.

    patience_s: see `search.patience`.
    Raises InvalidFilter, InvalidRequest, UnsupportedByEngine.
    """
    ask, live, collection = work.ask, work.live, work.collection
    effort = ask.effort if isinstance(ask, Search) else None
    if ask.exact and not live.capabilities.exact:
        raise UnsupportedByEngine(f"engine {live.generation.engine} has no exact search", field="exact")
    if effort is not None and not live.capabilities.effort:
        raise UnsupportedByEngine(f"engine {live.generation.engine} takes no effort per query", field="ef")
    if effort is not None and effort < 1:
        raise InvalidRequest(f"ef is {effort}; expected at least 1", field="ef")
    words = words_index(live.index)
    placed = await _placed(work, live.index)
    said = placed if words is live.index else await _placed(work, words)
    work.planned = Retrieval(
        store, collection, live, placed, said, selectivity, ask.exact, effort, live.applied_seq, patience_s
    )
    _settle_mode(work)


async def _placed(work: Work, index: VectorIndex) -> PlacedFilter:
    parts = (work.where, work.collection.spec.fields, index)
    return place(*parts) if is_light(work.where) else await asyncio.to_thread(place, *parts)


def _settle_mode(work: Work) -> None:
    if work.mode in (None, Mode.SEMANTIC) or work.live.capabilities.lexical:
        return
    if work.mode is Mode.LEXICAL:
        engine = work.live.generation.engine
        raise UnsupportedByEngine(f"engine {engine} has no lexical search; use mode semantic", field="mode")
    work.mode = Mode.SEMANTIC
    work.notes.append("the engine has no lexical search; meaning alone decided")


def checked_vector(live: LiveIndex, vector: Float32Array) -> Float32Array:
    """A query vector as the index wants it. Raises DimensionMismatch, InvalidVector."""
    return check_vectors(vector, live.generation.dimension, metric=live.generation.index.metric)


def plan_of(work: Work) -> Plan:
    """What was done, once the answer is there."""
    retrieval = work.retrieval
    live, by_words = retrieval.live, work.mode is Mode.LEXICAL
    where = retrieval.said if by_words else retrieval.where
    settings = live.generation.index
    effort, notes = None, list(dict.fromkeys([*work.notes, *retrieval.notes]))
    if live.latest_seq - retrieval.as_of >= FAR_BEHIND:
        notes.append(f"the index is being filled: it had applied {retrieval.as_of} of {live.latest_seq} changes")
    beside = words_beside(live.index)
    if beside is not None and work.mode in (Mode.HYBRID, Mode.LEXICAL):
        notes.append("words were searched in an index beside the engine")
        if beside.unfilled:
            work.lasting = False
            notes.append("the index of words is being filled anew: it found what it holds so far")
    if retrieval.approximate:
        graph = settings.kind in (IndexKind.HNSW, IndexKind.DISKANN)
        effort = retrieval.effort or (settings.ef_search if graph else settings.probes or None)
    elif retrieval.effort is not None:
        notes.append("ef had no use: no approximate index was searched")
    return Plan(
        mode=work.mode,
        access=retrieval.access,
        engine=live.generation.engine,
        index=f"{settings.kind}/{settings.metric}/{settings.quantization}",
        embedder=live.embedder.name,
        generation=live.generation.number,
        applied_seq=retrieval.as_of,
        waited_for=work.waited_for,
        effort=effort,
        candidates=work.candidates,
        matches=None,
        filter_native=where.native_text,
        filter_residual=where.residual_text,
        notes=tuple(notes),
        degraded=work.degraded,
        corrections=work.corrections,
        fusion=work.fusion.method if work.mode is Mode.HYBRID else None,
        fusion_weight=work.share if work.mode is Mode.HYBRID else None,
    )


def explanation_of(work: Work, trace: Trace) -> Explanation:
    """How the answer came to be, but for the hits' own parts."""
    return Explanation(
        meaning=work.meaning if work.mode is not Mode.LEXICAL else None,
        words=work.words if work.mode in (Mode.HYBRID, Mode.LEXICAL) else None,
        where=None if work.where is None else to_text(work.where),
        stages=trace.stages(),
    )
