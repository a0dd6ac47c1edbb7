"""Collections: made, listed, dropped, and asked how they are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nearfield.domain.errors import CollectionNotFound, EngineUnavailable, IndexLagging, NearfieldError
from nearfield.domain.reports import CollectionStatus
from nearfield.domain.spec_json import changed_spec
from nearfield.indexing.check import check_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearfield.domain.collections import Collection
    from nearfield.domain.reports import CheckReport
    from nearfield.domain.schema import CollectionSpec
    from nearfield.indexing.generations import Generations
    from nearfield.protocols.store import Store


STATUS_S = 5.0  # who asks how things are is told in time that an engine does not answer


class Catalog:
    """The collections of one data directory, known by name. Keeps those it has seen: no other process changes them."""

    def __init__(self, store: Store, generations: Generations, *, wait_timeout_s: float) -> None:
        self._store, self._generations = store, generations
        self._wait_timeout_s = wait_timeout_s
        self._known: dict[str, Collection] = {}
        self._changes = 0
        generations.on_switch(self._adopt)

    async def create(self, spec: CollectionSpec) -> Collection:
        """Make a collection, or return the one that has an equal spec.

        Raises CollectionConflict when it exists with other settings, UnsupportedByEngine, ModelUnknown,
        ModelUnreachable.
        """
        known = self._known.get(spec.name)
        if known is not None and known.spec == spec:
            return known
        await self._generations.validate(spec)
        existed = await self.exists(spec.name)
        collection = await self._store.create_collection(spec)
        try:
            await self._generations.live(collection)
        except NearfieldError:
            if not existed:  # a collection that no engine can hold must not keep its name
                await self._generations.drop(collection, never_held=True)
            raise
        self._known[spec.name] = collection
        return collection

    async def get(self, name: str) -> Collection:
        """Raises CollectionNotFound."""
        known = self._known.get(name)
        if known is None:
            changes = self._changes
            known = await self._store.collection(name)
            if changes == self._changes:  # else it may have been dropped or changed since it was read
                self._known[name] = known
        return known

    async def exists(self, name: str) -> bool:
        """Whether there is a collection of that name."""
        try:
            await self.get(name)
        except CollectionNotFound:
            return False
        return True

    async def list(self) -> list[Collection]:
        """In order of name."""
        return await self._store.collections()

    async def configure(self, name: str, changes: Mapping[str, Any]) -> Collection:
        """Change what may be changed of a collection (see `changed_spec`); the next search goes by it.

        Where its texts are to be searched by words another way, another index is filled beside the live one from the
        cached vectors, and goes live when it has caught up: at the return where that came within `wait_timeout_s`.
        Raises MoveUnderWay, CollectionNotFound, InvalidSchema, UnsupportedByEngine.
        """
        collection = await self.get(name)
        if "search" in changes:
            await self._generations.validate(changed_spec(collection.spec, changes))
        # how documents are searched by words is in the index: it goes live with one that is made so
        changed = await self._store.respec(
            collection, lambda spec: replace(changed_spec(spec, changes), search=spec.search)
        )
        self._adopt(changed)
        if changed.spec.degraded != collection.spec.degraded:  # words beside are begun, or given up
            await self._generations.reopen(changed)
        wanted = changed_spec(collection.spec, changes)
        if wanted.search != changed.spec.search:
            await self._generations.begin(changed, replace(changed.spec, search=wanted.search), unattended=True)
            await self._generations.settled(changed, timeout_s=self._wait_timeout_s)
        elif "search" in changes:
            await self._generations.give_up_unattended(changed)
        return await self.get(name)

    def _adopt(self, collection: Collection) -> None:
        """Take over what the store says of a collection now."""
        self._changes += 1
        if collection.name in self._known:
            self._known[collection.name] = collection

    async def drop(self, name: str) -> None:
        """Remove a collection with all it holds. Raises CollectionNotFound."""
        collection = await self.get(name)
        try:
            await self._generations.drop(collection)
        finally:
            self._changes += 1
            self._known.pop(name, None)

    async def status(self, name: str) -> CollectionStatus:
        """How a collection is. An index that cannot be opened is told in `indexing_error`, not raised."""
        collection = await self.get(name)
        documents = await self._store.count(collection)
        seq = await self._store.last_seq(collection)
        try:
            async with asyncio.timeout(STATUS_S):
                live = await self._generations.live(collection)
        except (NearfieldError, TimeoutError) as exc:
            pending = await self._store.pending(collection, after=0)
            told = CollectionStatus(collection, documents, seq, pending, None, indexing_error=_told(exc))
            return replace(told, engine_down=_is_down(exc))
        told = CollectionStatus(
            collection,
            documents,
            seq,
            await self._store.pending(collection, after=live.applied_seq),
            replace(live.generation, applied_seq=live.applied_seq),
            indexing_error=live.indexer.progress.error,
        )
        try:
            async with asyncio.timeout(STATUS_S):
                stats = await live.index.stats()
        except (NearfieldError, TimeoutError) as exc:
            return replace(told, indexing_error=told.indexing_error or _told(exc), engine_down=_is_down(exc))
        return replace(told, rows=stats.rows, bytes=stats.bytes, unindexed=stats.unindexed)

    async def wait_for(self, name: str, seq: int, *, at_most_s: float) -> None:
        """Wait until a change is applied, or for some seconds when the indexer is not done by then."""
        live = await self._generations.live(await self.get(name))
        if live.applied_seq >= seq:
            await asyncio.sleep(at_most_s)  # what is still pending is somebody else's
            return
        with suppress(IndexLagging):
            await live.wait_for(seq, timeout_s=at_most_s)

    async def optimize(self, name: str) -> None:
        """Take every unindexed row of the live index into it now, with every core; searches go on."""
        await (await self._generations.live(await self.get(name))).indexer.optimize(all_cores=True)

    async def check(
        self, name: str, *, repair: bool = False, on_progress: Callable[[int, int], None] | None = None
    ) -> CheckReport:
        """Compare truth and index; `repair` mends what differs (see `indexing.check`)."""
        return await check_generation(
            self._store,
            await self._generations.live(await self.get(name)),
            repair=repair,
            on_progress=on_progress,
            wait_timeout_s=self._wait_timeout_s,
        )


def _told(exc: Exception) -> str:
    return f"no answer within {STATUS_S:g} s" if isinstance(exc, TimeoutError) else str(exc)


def _is_down(exc: Exception) -> bool:
    return isinstance(exc, EngineUnavailable | TimeoutError)
