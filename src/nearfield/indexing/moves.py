"""Moves: a generation of another engine, model or index is filled beside the live one, switched to, taken back.

Every step is on record before it is told, so that a move that was cut short anywhere goes on by asking for it again.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from nearfield.domain.collections import BESIDE, GenerationState
from nearfield.domain.errors import GenerationNotFound, GenerationNotReady, IndexLagging, InvalidRequest, NearfieldError
from nearfield.domain.moves import GenerationStatus
from nearfield.domain.schema import IndexKind, Quantization
from nearfield.domain.spec_json import moved_spec
from nearfield.indexing.estimate import estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.moves import Estimate
    from nearfield.domain.schema import CollectionSpec, IndexSettings
    from nearfield.indexing.catalog import Catalog
    from nearfield.indexing.generations import Generations
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.protocols.engine import EngineCapabilities
    from nearfield.protocols.store import Store

LOOK_S = 0.1  # between two looks at how far a generation is
NEAR_S = 2.0
STANDSTILL_S = 60.0  # without a change applied, for a reason that is known


class Moves:
    """The generations of each collection, by its name. All methods raise CollectionNotFound."""

    def __init__(self, store: Store, catalog: Catalog, generations: Generations, *, wait_timeout_s: float) -> None:
        self._store, self._catalog, self._generations = store, catalog, generations
        self._wait_timeout_s = wait_timeout_s

    async def shape(self, name: str, wish: Mapping[str, Any]) -> tuple[CollectionSpec, tuple[str, ...]]:
        """A collection's settings after a move, and what of its index settings had to be suited to the engine.

        wish: any of `engine`, `embedder`, `index`, `search` (see `moved_spec`). Raises InvalidSchema, InvalidRequest,
        UnsupportedByEngine.
        """
        spec = (await self._catalog.get(name)).spec
        moved = moved_spec(spec, wish)
        if (moved.brings_vectors or spec.brings_vectors) and moved.embedder != spec.embedder:
            raise InvalidRequest(
                f"embedder {moved.embedder}: a collection whose documents bring their vectors cannot be embedded, "
                "nor the other way round; make another collection and import into it",
                field="embedder",
            )
        capabilities = self._generations.engine(moved.engine).capabilities
        index, adapted = suited(moved.index, capabilities, wish.get("index") or {})
        return replace(moved, index=index), adapted

    async def estimate(self, name: str, wish: Mapping[str, Any], *, price: float | None = None) -> Estimate:
        """What a move would cost, measured on a sample. price: of a million tokens embedded."""
        shape, adapted = await self.shape(name, wish)
        embedder = await self._generations.validate(shape)
        collection = await self._catalog.get(name)
        engine = self._generations.engine(shape.engine)
        found = await estimate(self._store, collection, shape, engine, embedder, price=price)
        return replace(found, adapted=adapted)

    async def begin(self, name: str, wish: Mapping[str, Any]) -> Generation:
        """Begin a move, or go on with it; the generation it is to. An empty wish goes on with the one under way.

        The live generation is returned where it is what is wished already. Raises MoveUnderWay, GenerationNotFound,
        and as `shape` does.
        """
        collection = await self._catalog.get(name)
        records = await self._generations.records(collection)
        if not wish:
            for one in records:
                if one.state in (GenerationState.BUILDING, GenerationState.READY):
                    return await self._generations.begin(collection, one.shape(collection.spec))
            raise GenerationNotFound(f"no move of {name} is under way; say where to: an engine, an embedder, an index")
        shape, _ = await self.shape(name, wish)
        for one in records:
            if one.state is GenerationState.LIVE and one.shape(shape) == shape:
                embedder = await self._generations.validate(shape)
                if one.fingerprint == embedder.fingerprint:
                    return one
        return await self._generations.begin(collection, shape)

    async def generations(self, name: str) -> list[GenerationStatus]:
        """All generations in order of number, and how far each is."""
        collection = await self._catalog.get(name)
        return [await self._status(collection, one) for one in await self._generations.records(collection)]

    async def status(self, name: str, number: int) -> GenerationStatus:
        """One generation. Raises GenerationNotFound."""
        collection = await self._catalog.get(name)
        return await self._status(collection, await self._record(collection, number))

    async def opened(self, name: str, number: int) -> OpenGeneration:
        """A generation that is open. Raises GenerationNotFound, EngineUnavailable where it cannot be had now."""
        collection = await self._catalog.get(name)
        record = await self._record(collection, number)
        if record.state is GenerationState.LIVE:
            return await self._generations.live(collection)
        return await self._generations.open_beside(collection, record)

    async def caught_up(
        self, name: str, number: int, *, on_progress: Callable[[GenerationStatus], None] | None = None
    ) -> GenerationStatus:
        """Wait until a generation has applied what is written, and taken it into its index.

        Where writes go on, it is NEAR_S behind them at most, or as near as it gets.
        Raises GenerationNotFound, IndexLagging when it has not moved for STANDSTILL_S.
        """
        collection = await self._catalog.get(name)
        opened = await self.opened(name, number)
        status = await self._reached(collection, number, on_progress)
        if status.unindexed:
            await opened.indexer.optimize()
            status = await self._reached(collection, number, on_progress)
        return status

    async def record(self, name: str, number: int, report: str) -> GenerationState:
        """Keep what a verification found, JSON with a member `passed`; a generation for which it holds is ready."""
        collection = await self._catalog.get(name)
        one = await self._record(collection, number)
        await self._store.put_report(one, report)
        if one.state not in (GenerationState.BUILDING, GenerationState.READY):
            return one.state
        state = GenerationState.READY if orjson.loads(report)["passed"] else GenerationState.BUILDING
        return (await self._store.set_state(one, state)).state

    async def report(self, name: str, number: int) -> dict[str, Any] | None:
        """What the last verification of a generation found, as JSON; None before the first."""
        collection = await self._catalog.get(name)
        text = await self._store.report(await self._record(collection, number))
        return None if text is None else orjson.loads(text)

    async def switch(self, name: str, number: int) -> Collection:
        """Let a generation take the place of the live one. The live one itself is passed over.

        Raises GenerationNotFound, GenerationNotReady, IndexLagging.
        """
        collection = await self._catalog.get(name)
        one = await self._record(collection, number)
        if one.state is GenerationState.LIVE:
            return collection
        if one.state is GenerationState.BUILDING:
            raise GenerationNotReady(f"generation {number} of {name} is not verified, or did not hold; verify it first")
        return await self._generations.switch(collection, number, timeout_s=self._wait_timeout_s)

    async def rollback(self, name: str) -> int:
        """Go back to the generation that was live before; the number of what is live now.

        The one it replaces is kept in its turn. Raises GenerationNotFound where none is kept, IndexLagging.
        """
        collection = await self._catalog.get(name)
        kept = [one for one in await self._generations.records(collection) if one.state is GenerationState.RETIRED]
        if not kept:
            raise GenerationNotFound(f"no earlier generation of {name} is kept; there is nothing to go back to")
        await self._generations.switch(collection, kept[-1].number, timeout_s=self._wait_timeout_s)
        return kept[-1].number

    async def drop(self, name: str, number: int | None = None) -> list[int]:
        """Give up a generation beside the live one, or all of them; their numbers. Raises GenerationNotFound."""
        collection = await self._catalog.get(name)
        records = await self._generations.records(collection)
        beside = [one.number for one in records if one.state in BESIDE or one.number == number]
        numbers = [number] if number is not None else beside
        for each in numbers:
            await self._generations.discard(collection, each)
        return numbers

    async def removed(self) -> None:
        """Wait until what was given up is gone."""
        await self._generations.removed()

    async def _record(self, collection: Collection, number: int) -> Generation:
        for one in await self._generations.records(collection):
            if one.number == number and one.state is not GenerationState.DROPPING:
                return one
        raise GenerationNotFound(f"{collection.name} has no generation {number}; `nearfield generations` lists them")

    async def _status(self, collection: Collection, one: Generation) -> GenerationStatus:
        opened = self._generations.found(collection, one)
        rows = size = unindexed = None
        trouble = self._generations.trouble(one)
        if opened is not None:
            try:
                stats = await opened.index.stats()
                rows, size, unindexed = stats.rows, stats.bytes, stats.unindexed
            except NearfieldError as exc:
                trouble = trouble or str(exc)
        report = await self._store.report(one)
        return GenerationStatus(
            replace(one, applied_seq=opened.applied_seq) if opened is not None else one,
            await self._store.pending(collection, after=opened.applied_seq if opened is not None else one.applied_seq),
            await self._store.pending(collection, after=0),
            rows,
            size,
            unindexed,
            trouble,
            None if report is None else orjson.loads(report)["passed"],
        )

    async def _reached(
        self, collection: Collection, number: int, on_progress: Callable[[GenerationStatus], None] | None
    ) -> GenerationStatus:
        least = math.inf
        while True:
            began = time.monotonic()
            status = await self._waited(collection, number, await self._store.last_seq(collection), on_progress)
            took = time.monotonic() - began
            if not status.pending or took < NEAR_S or took >= least:  # the last: it gets no nearer
                return status
            least = took

    async def _waited(
        self,
        collection: Collection,
        number: int,
        seq: int,
        on_progress: Callable[[GenerationStatus], None] | None,
    ) -> GenerationStatus:
        moved_at, before, name = time.monotonic(), -1, collection.name
        while True:
            status = await self.status(name, number)
            if on_progress is not None:
                on_progress(status)
            if status.generation.applied_seq >= seq:
                return status
            if status.generation.applied_seq != before:
                moved_at, before = time.monotonic(), status.generation.applied_seq
            elif status.trouble and time.monotonic() - moved_at > STANDSTILL_S:
                raise IndexLagging(f"generation {number} of {name} does not get on: {status.trouble}")
            await asyncio.sleep(LOOK_S)


def suited(
    index: IndexSettings, capabilities: EngineCapabilities, given: Mapping[str, Any]
) -> tuple[IndexSettings, tuple[str, ...]]:
    """Index settings with what the engine does not know, and nobody asked for, put aside; and what that was."""
    told = []
    if index.kind not in capabilities.kinds and "kind" not in given:
        kind = IndexKind.HNSW if IndexKind.HNSW in capabilities.kinds else min(capabilities.kinds)
        told.append(f"index kind {kind} instead of {index.kind}")
        index = replace(index, kind=kind)
    known = capabilities.quantizations.get(index.kind, frozenset({Quantization.NONE}))
    if index.quantization not in known and "quantization" not in given:
        coded = Quantization.NONE if Quantization.NONE in known else min(known)
        told.append(f"quantization {coded} instead of {index.quantization}")
        index = replace(index, quantization=coded)
    return index, tuple(told)
