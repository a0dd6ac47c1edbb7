"""Pages of groups: the best hit of each value of a field, and some others beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.rows import row_of
from nearfield.search.paging import AHEAD, Page, deepen
from nearfield.search.present import hit_of, passes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.hits import Hit
    from nearfield.domain.ordering import GroupBy
    from nearfield.search.cursors import Frozen
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Work

MAX_GROUPED: Final = 100_000
"""Documents looked at for groups, at most."""


async def cut_groups(
    work: Work, frozen: Frozen, group: GroupBy, first: int, candidates: Callable[[Work], Awaitable[Ranked]]
) -> Page:
    """The page of `work.ask.limit` groups that begins with group number `first`; its `next` is a group's number.

    A group's hit is its best document that is still there. The list is made longer until there are groups enough.
    """
    limit, retrieval = work.ask.limit, work.retrieval
    hits: list[Hit] = []
    while True:
        need = first + limit - len(hits) + AHEAD
        while frozen.group_count < need and not frozen.complete:
            await _lengthen(work, frozen, group, candidates)
        last = min(need, frozen.group_count)
        if first >= last:
            return Page(hits, None)
        places = _places(frozen, first, last, 1 + group.limit + AHEAD)
        keys = [int(frozen.ranked.documents[place]) for some in places for place in some]
        stored = await retrieval.store.by_key(retrieval.collection, keys)
        for number, some in enumerate(places, first):
            members = _members(work, frozen, some, stored)
            if not members:
                continue
            if len(hits) == limit:
                return Page(hits, number)
            hits.append(_group_hit(frozen, group, members))
        first = last


def _places(frozen: Frozen, first: int, last: int, most: int) -> list[list[int]]:
    """Of each group the places of its best documents, best first."""
    groups = frozen.groups
    assert groups is not None  # noqa: S101 - for the type checker
    found: list[list[int]] = [[] for _ in range(first, last)]
    for place in np.flatnonzero((groups >= first) & (groups < last)).tolist():
        some = found[int(groups[place]) - first]
        if len(some) < most:
            some.append(place)
    return found


def _members(
    work: Work, frozen: Frozen, places: list[int], stored: dict[int, StoredDocument]
) -> list[tuple[int, StoredDocument]]:
    found = []
    for place in places:
        key = int(frozen.ranked.documents[place])
        document = stored.get(key)
        if document is not None and passes(work, document, frozen.as_of) and not frozen.is_repeat(document.id, key):
            found.append((place, document))
    return found


def _group_hit(frozen: Frozen, group: GroupBy, members: list[tuple[int, StoredDocument]]) -> Hit:
    hits = []
    for place, document in members[: 1 + group.limit]:
        frozen.shown[hash(document.id)] = document.key
        chunk, score = int(frozen.ranked.chunks[place]), float(frozen.ranked.scores[place])
        hits.append(hit_of(document, chunk, score, frozen.trace_at(place)))
    best = hits[0]
    return best.with_group(best.document.get(group.field), tuple(hits[1:]))


async def _lengthen(
    work: Work, frozen: Frozen, group: GroupBy, candidates: Callable[[Work], Awaitable[Ranked]]
) -> None:
    await deepen(work, frozen, len(frozen.ranked) + 1, candidates, most=MAX_GROUPED)
    known = frozen.grouped
    keys = frozen.ranked.documents[known:].tolist()
    kind = {group.field: work.collection.spec.fields[group.field]}
    values: list[object] = []
    for first in range(0, len(keys), 1_000):
        stored = await work.retrieval.store.by_key(work.collection, keys[first : first + 1_000])

        def read(some: list[int], stored: dict[int, StoredDocument]) -> list[object]:
            return [row_of(stored[key].body, kind).get(group.field) if key in stored else None for key in some]

        values += await asyncio.to_thread(read, keys[first : first + 1_000], stored)
    # another page may have joined them meanwhile
    frozen.join_groups(values[frozen.grouped - known :])
