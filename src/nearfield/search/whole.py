"""Answers that need the values of all candidates: sorted, grouped, counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.binding import bind
from nearfield.domain.facets import FacetScope
from nearfield.domain.filters import fields_of, matches
from nearfield.domain.ordering import SCORE, check_group_by, check_sort
from nearfield.domain.queries import Search
from nearfield.domain.rows import row_of
from nearfield.search.cursors import Frozen
from nearfield.search.facets import Tally, relaxed
from nearfield.search.listing import PAGE, scan
from nearfield.search.paging import is_calm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.facets import FacetCounts
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.ordering import SortKey
    from nearfield.search.ranked import Ranked
    from nearfield.search.work import Work

CANDIDATES: Final = 1_000
"""Documents that are sorted and counted over, at least, where there are so many."""
EVERYTHING: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Settled:
    """Candidates that are there and pass, and the row of each: the fields that sort, facets and groups read."""

    ranked: Ranked
    rows: list[Row]


def is_whole(ask: object) -> bool:
    """Whether a request needs the values of all candidates."""
    return isinstance(ask, Search) and bool(ask.sort or ask.facets or ask.group_by)


def check_whole(work: Work, ask: Search) -> None:
    """Raise InvalidRequest where sort, facets or group_by do not suit the collection's fields."""
    fields = work.collection.spec.fields
    check_sort(ask.sort, fields)
    for place, facet in enumerate(ask.facets):
        Tally(facet, fields, place)
    if ask.group_by is not None:
        check_group_by(ask.group_by, fields)
    work.reads = ask.fields_read


async def settle(work: Work, ranked: Ranked) -> Settled:
    """Read the candidates' rows; those deleted meanwhile, or changed so that they no longer pass, are left out."""
    keys = ranked.documents.tolist()
    if work.rows:
        return Settled(ranked, [work.rows[key] for key in keys])
    retrieval, fields = work.retrieval, work.collection.spec.fields
    read = {name: fields[name] for name in work.reads}
    places: list[int] = []
    rows: list[Row] = []

    def take(first: int, stored: dict[int, StoredDocument]) -> None:
        for place, key in enumerate(keys[first : first + PAGE], first):
            one = stored.get(key)
            if one is not None and (one.seq <= retrieval.as_of or retrieval.where.keeps(one, fields)):
                places.append(place)
                rows.append(row_of(one.body, read))

    for first in range(0, len(keys), PAGE):
        stored = await retrieval.store.by_key(retrieval.collection, keys[first : first + PAGE])
        await asyncio.to_thread(take, first, stored)
    return Settled(ranked if len(places) == len(keys) else ranked.take(np.array(places, dtype=np.int64)), rows)


def in_order(found: Settled, sort: Sequence[SortKey]) -> Settled:
    """Candidates by the values of some fields, those without last, ties by document key."""
    order = np.argsort(found.ranked.documents, kind="stable").tolist()
    scores = found.ranked.scores.tolist()
    for key in reversed(sort):
        values: dict[int, object] = {}
        for place in order:
            have = scores[place] if key.field == SCORE else found.rows[place].get(key.field)
            if isinstance(have, tuple):
                have = max(have) if key.descending else min(have)
            if have is not None:
                values[place] = have
        having = [place for place in order if place in values]
        having.sort(key=values.__getitem__, reverse=key.descending)  # type: ignore[arg-type]
        order = [*having, *(place for place in order if place not in values)]
    return Settled(found.ranked.take(np.array(order, dtype=np.int64)), [found.rows[place] for place in order])


def nearest_in_order(found: Settled, sort: Sequence[SortKey], share: float) -> Settled:
    """As `in_order`, but only those with at least a share of the best score; the others follow, best first."""
    if not len(found.ranked):
        return found
    near = found.ranked.scores >= share * found.ranked.scores.max()
    first, rest = np.flatnonzero(near), np.flatnonzero(~near)
    head = in_order(Settled(found.ranked.take(first), [found.rows[place] for place in first]), sort)
    places = {key: place for place, key in enumerate(found.ranked.documents.tolist())}
    order = [*(places[key] for key in head.ranked.documents.tolist()), *rest.tolist()]
    return Settled(found.ranked.take(np.array(order, dtype=np.int64)), [found.rows[place] for place in order])


def freeze(work: Work, ask: Search, found: Settled) -> Frozen:
    """The list that this page and later ones are cut from. A sorted one is never made longer."""
    if ask.sort:
        found = (
            in_order(found, ask.sort) if work.near_share is None else nearest_in_order(found, ask.sort, work.near_share)
        )
        if work.trace is not None:
            work.trace.listed("sort", found.ranked.documents)
    frozen = Frozen(
        work, found.ranked, work.retrieval.as_of, complete=bool(ask.sort) or (work.exhausted and is_calm(work))
    )
    if ask.group_by is not None:
        frozen.groups = np.array([], dtype=np.int64)
        frozen.join_groups([row.get(ask.group_by.field) for row in found.rows])
    if work.trace is not None:
        frozen.traces.append((0, work.trace))
    return frozen


async def count(
    work: Work,
    ask: Search,
    found: Settled,
    *,
    plan: Callable[[Work], Awaitable[None]],
    candidates: Callable[[Work], Awaitable[Ranked]],
) -> tuple[FacetCounts, ...]:
    """Every facet asked, in the order asked."""
    fields = work.collection.spec.fields
    tallies = [Tally(facet, fields, place) for place, facet in enumerate(ask.facets)]
    wheres = [relaxed(work.where, one.facet.field) if one.facet.disjunctive else work.where for one in tallies]
    if ask.facet_scope is FacetScope.MATCHES and work.mode is not None:
        await _count_matches(work, tallies, wheres)
        return tuple(tally.counts() for tally in tallies)
    for where in dict.fromkeys(wheres):
        rows = found.rows
        if where is not work.where and where != work.where:
            other = replace(work, where=where, planned=None, trace=None, notes=[], rows={})
            await plan(other)
            other.want = work.want
            rows = (await settle(other, await candidates(other))).rows
        chosen = [tally for tally, its in zip(tallies, wheres, strict=True) if its == where]
        await asyncio.to_thread(_count_rows, chosen, rows)
    return tuple(tally.counts() for tally in tallies)


def _count_rows(tallies: Sequence[Tally], rows: Sequence[Row]) -> None:
    for tally in tallies:
        tally.count(rows)


async def _count_matches(work: Work, tallies: Sequence[Tally], wheres: Sequence[Filter | None]) -> None:
    """Count over every document that passes each facet's filter and is not hidden, in one pass over the store."""
    fields = work.collection.spec.fields
    bound = {where: None if where is None else bind(where, fields) for where in wheres}
    names = set(work.reads).union(*(fields_of(where) for where in wheres if where is not None))
    read = {name: kind for name, kind in fields.items() if name in names}

    def take(page: list[StoredDocument]) -> int:
        rows = [row_of(one.body, read) for one in page if one.key not in work.excluded]
        for where, its in bound.items():
            passing = rows if its is None else [row for row in rows if matches(its, row)]
            _count_rows([tally for tally, asked in zip(tallies, wheres, strict=True) if asked == where], passing)
        return len(page)

    total = 0
    async for read_now in scan(work.retrieval, take):
        total += read_now
    work.notes.append(f"facets over every match: {total:,} documents of the store were read")
