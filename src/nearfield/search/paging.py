"""Later pages: cut from the list that the first page froze, which is made longer where it ends too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from nearfield.search.present import hit_of, passes
from nearfield.search.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.hits import Hit
    from nearfield.search.cursors import Frozen
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Work

MAX_LISTED: Final = 10_000
"""Documents one list ever holds; pages end there."""
DEEPER: Final = 4  # times as many candidates, each time a list ends too early
LOOKS: Final = 3
"""Times the end of a list is looked for while others write: an engine may not find a document at the very moment it is
replaced (the local one misses one in some 400 searches beside a busy writer), and none may be lost."""
AHEAD: Final = 4  # documents read beyond a page, for those deleted meanwhile


class Page(NamedTuple):
    """hits: of this page. next: the place in the list where the following one begins, None after the last."""

    hits: list[Hit]
    next: int | None


async def cut(work: Work, frozen: Frozen, place: int, candidates: Callable[[Work], Awaitable[Ranked]]) -> Page:
    """The page of `work.ask.limit` hits that begins at a place of a list.

    Documents deleted meanwhile are passed over, and those changed meanwhile that no longer pass the filter. An id that
    was given out comes never again, though it was deleted and stored anew.
    """
    limit = work.ask.limit
    retrieval = work.retrieval
    hits: list[Hit] = []
    while True:
        need = place + limit - len(hits) + AHEAD
        if need > len(frozen.ranked) and not frozen.complete:
            await deepen(work, frozen, need, candidates)
        ranked = frozen.ranked
        end = min(need, len(ranked))
        if place >= end:
            return Page(hits, None)
        keys = ranked.documents[place:end].tolist()
        stored = await retrieval.store.by_key(retrieval.collection, keys)
        for at, key in enumerate(keys, place):
            document = stored.get(key)
            if document is None or not passes(work, document, frozen.as_of) or frozen.is_repeat(document.id, key):
                continue
            if len(hits) == limit:
                return Page(hits, at)
            frozen.shown[hash(document.id)] = key
            chunk, score = int(ranked.chunks[at]), float(ranked.scores[at])
            hits.append(hit_of(document, chunk, score, frozen.trace_at(at)))
        place = end


async def deepen(
    work: Work,
    frozen: Frozen,
    need: int,
    candidates: Callable[[Work], Awaitable[Ranked]],
    *,
    most: int | None = None,
) -> None:
    """Make a list `need` long, if there are so many: search again for more, keep what is frozen, append what is new.

    most: documents it may ever hold, MAX_LISTED unless told.
    """
    most = MAX_LISTED if most is None else most
    want = len(frozen.ranked)
    while not frozen.complete and len(frozen.ranked) < need:
        want = min(max(need, DEEPER * want), most)
        if len(frozen.ranked) >= most:
            frozen.complete = frozen.cut = True
            return
        work.want = want + len(work.excluded)
        work.settled = len(frozen.ranked)
        trace = Trace() if frozen.traces else None
        before, work.trace = work.trace, trace
        began = work.live.applied_seq
        try:
            found = await candidates(work)
        finally:
            work.trace = before
        first = len(frozen.ranked)
        if frozen.append(found) and trace is not None:
            frozen.traces.append((first, trace))
        frozen.seen_all += work.exhausted
        calm = work.live.applied_seq == began and is_calm(work)
        frozen.complete = want == most or (work.exhausted and (calm or frozen.seen_all >= LOOKS))
        frozen.cut = not work.exhausted and want == most


def is_calm(work: Work) -> bool:
    """Whether the index has applied all that was heard of: no document is being replaced."""
    return work.live.latest_seq <= work.live.applied_seq
