"""How many documents pass a filter, estimated on a sample of real ones."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nearfield.domain.documents import document_keys
from nearfield.domain.errors import NearfieldError
from nearfield.domain.filters import matches, values_in
from nearfield.domain.rows import row_of
from nearfield.protocols.engine import words_index

if TYPE_CHECKING:
    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.search")

SAMPLE = 1_000  # documents; a share of 1% is then known to about a third of itself
GROWTH = 1.25  # a sample is drawn anew once the log has grown by this factor
KEPT_ESTIMATES = 1_000
LONGEST_KEPT = 50  # conditions and values: a longer filter is estimated each time, and a thousand of them are not kept
MAX_SAMPLES = 64  # generations; the one drawn longest ago goes


@dataclass(slots=True)
class _Sample:
    rows: list[Row]
    population: int  # passages in the index when drawn
    seq: int
    estimates: dict[Filter, float] = field(default_factory=dict)


class Selectivity:
    """Samples of collections, drawn in the background; a search never waits for one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._samples: dict[int, _Sample] = {}
        self._drawing: dict[int, asyncio.Task[None]] = {}

    async def expected(self, collection: Collection, live: LiveIndex, where: Filter) -> float | None:
        """Passages expected to pass a bound filter; None while no sample is there yet.

        About 1 ms, in a thread, for a new filter of a few conditions; nothing for one seen since the sample was drawn.
        """
        sample = self._samples.get(live.generation.id)
        if sample is None or live.applied_seq > sample.seq * GROWTH + SAMPLE:
            self.draw(collection, live)
        if sample is None or not sample.rows:
            return None
        share = sample.estimates.get(where)
        if share is None:
            if len(sample.estimates) >= KEPT_ESTIMATES:
                sample.estimates.clear()
            share = await asyncio.to_thread(_share, where, sample.rows)
            if values_in(where) <= LONGEST_KEPT:
                sample.estimates[where] = share
        return share * sample.population

    async def close(self) -> None:
        """Abandon what is being drawn."""
        for task in self._drawing.values():
            task.cancel()
        await asyncio.gather(*self._drawing.values(), return_exceptions=True)

    def draw(self, collection: Collection, live: LiveIndex) -> None:
        """Begin to draw a sample. Half a second for 100,000 passages, and searches beside it wait for some of that."""
        generation = live.generation.id
        if generation not in self._drawing:
            task = asyncio.create_task(self._draw_now(collection, live), name=f"sample of {collection.name}")
            self._drawing[generation] = task
            task.add_done_callback(lambda _: self._drawing.pop(generation, None))

    async def _draw_now(self, collection: Collection, live: LiveIndex) -> None:
        try:
            seq = live.applied_seq
            batches = [document_keys(batch) async for batch in words_index(live.index).keys()]  # noqa: SIM118 - an engine, not a dict
            keys = np.concatenate(batches) if batches else np.array([], dtype=np.int64)
            documents = await self._store.by_key(collection, await asyncio.to_thread(_chosen, keys))
            fields = collection.spec.fields
            rows = await asyncio.to_thread(lambda: [row_of(found.body, fields) for found in documents.values()])
            self._samples.pop(live.generation.id, None)
            self._samples[live.generation.id] = _Sample(rows, len(keys), seq)
            if len(self._samples) > MAX_SAMPLES:
                del self._samples[next(iter(self._samples))]
        except NearfieldError:
            log.exception("no sample of %s could be drawn; plans go without", collection.name)


def _chosen(keys: Int64Array) -> list[int]:
    """Documents of some passages. In a thread: the first use of `np.random` imports it."""
    chosen = np.random.default_rng(0).choice(keys, size=min(SAMPLE, len(keys)), replace=False)
    return sorted(set(chosen.tolist()))


def _share(where: Filter, rows: list[Row]) -> float:
    return sum(matches(where, row) for row in rows) / len(rows)
