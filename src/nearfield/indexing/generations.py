"""The open generations of each collection: the one that answers, and those that follow the log beside it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from nearfield.domain.collections import BESIDE, GenerationState
from nearfield.domain.errors import (
    CollectionNotFound,
    EngineUnavailable,
    GenerationNotFound,
    IndexLagging,
    IndexMissing,
    MoveUnderWay,
    NearfieldError,
    ShuttingDown,
)
from nearfield.indexing.embedding import stop
from nearfield.indexing.opening import Opener, OpenGeneration
from nearfield.protocols.store import NewGeneration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import VectorEngine
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.indexing")
T = TypeVar("T")

SETTLE_S = 5.0  # in which a new generation catches up while the live one is held: for a switch, one batch
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0


class Generations:
    """Makes, opens, switches and drops generations. Each collection's live one is opened once and shared."""

    def __init__(
        self,
        store: Store,
        *,
        engine: Callable[[str], VectorEngine],
        embedder: Callable[[str], Awaitable[Embedder]],
        index_batch: int,
        optimize_after: int,
        build_share: float = 0.5,
        linger_s: float = 5.0,
    ) -> None:
        """build_share: of the time a generation beside the live one works while it has much to apply. linger_s: how
        long a search may go on with a generation that is no longer live."""
        self._store = store
        self._opener = Opener(
            store,
            engine=engine,
            embedder=embedder,
            index_batch=index_batch,
            optimize_after=optimize_after,
            on_damage=self._heal,
        )
        self._build_share, self._linger_s = build_share, linger_s
        self._open: dict[int, OpenGeneration] = {}
        self._beside: dict[int, dict[int, OpenGeneration]] = {}  # by collection, then by number
        self._stuck: dict[int, str] = {}  # why a generation, by id, cannot be opened or dropped
        self._retired_at: dict[int, float] = {}  # by generation, on the monotonic clock
        self._locks: dict[int, asyncio.Lock] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._followers: dict[int, asyncio.Task[None]] = {}
        self._attending: dict[int, asyncio.Task[None]] = {}
        self._removing: set[asyncio.Task[None]] = set()
        self._healing: set[asyncio.Task[None]] = set()
        self._switching: set[asyncio.Task[Collection]] = set()
        self._on_switch: list[Callable[[Collection], None]] = []
        self._closing = asyncio.Event()

    # -- the live one ----------------------------------------------------------------------------------------------
    async def validate(self, spec: CollectionSpec) -> Embedder:
        """See `Opener.validate`."""
        return await self._opener.validate(spec)

    async def live(self, collection: Collection) -> OpenGeneration:
        """The open live generation; made empty when the collection has none yet.

        An index whose files are gone or damaged is built again from the store and its cached vectors.
        Raises EngineUnavailable, EmbedderUnavailable, ModelUnreachable, InvalidSetting, CollectionNotFound,
        ShuttingDown.
        """
        found = self._open.get(collection.id)
        if found is not None:
            return found
        async with self._lock(collection):
            if collection.id not in self._open:
                if self._closed:
                    raise ShuttingDown("the data directory is being closed")
                self._follow(collection)  # whether or not the live one can be opened: a move away from it must go on
                self._open[collection.id] = await self._open_live(collection)
            return self._open[collection.id]

    def opened(self, collection: Collection) -> OpenGeneration | None:
        """The live generation where it is open already."""
        return self._open.get(collection.id)

    def notify(self, collection: Collection, seq: int) -> None:
        """Tell the collection's indexers that the log has grown; open the collection where nobody has yet."""
        for beside in self._beside.get(collection.id, {}).values():
            beside.indexer.notify(seq)
        found = self._open.get(collection.id)
        if found is not None:
            found.indexer.notify(seq)
        elif collection.id not in self._opening and not self._closed:
            task = asyncio.create_task(self._open_quietly(collection), name=f"opening {collection.name}")
            self._opening[collection.id] = task
            task.add_done_callback(lambda _: self._opening.pop(collection.id, None))

    async def _open_quietly(self, collection: Collection) -> None:
        """Open what was written to, sooner or later. The write is safe whatever comes of it: who searches is told."""
        pause_s = RETRY_FIRST_S
        while not self._closed:
            try:
                await self.live(collection)
            except NearfieldError as exc:
                log.warning("collection %s cannot be opened, its changes wait: %s", collection.name, exc)
                if not exc.retryable:
                    return
            else:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closing.wait()
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def rebuild(self, collection: Collection) -> OpenGeneration:
        """Empty the live index and fill it again from the store; vectors come from the cache."""
        async with self._lock(collection):
            await self._close_live(collection.id)
            generation = await self._live_record(collection)
            await self._store.set_watermark(generation, 0)
            await self._opener.engine(generation.engine).drop(generation.index_name)
            self._open[collection.id] = await self._open_live(collection)
            return self._open[collection.id]

    async def reopen(self, collection: Collection) -> None:
        """Close every open index of a collection and open it for the collection as it is now."""
        async with self._lock(collection):
            await self._close_live(collection.id)
            numbers = list(self._beside.get(collection.id, {}))
            await self._close_beside(collection.id)
            self._open[collection.id] = await self._open_live(collection)
            for one in await self._store.generations(collection):
                if one.number in numbers:
                    await self._open_beside(collection, one)

    # -- those beside it -------------------------------------------------------------------------------------------
    def on_switch(self, tell: Callable[[Collection], None]) -> None:
        """Have `tell` called with each collection whose live generation was switched, before anybody searches it."""
        self._on_switch.append(tell)

    async def records(self, collection: Collection) -> list[Generation]:
        """All generations, in order of number, the watermarks of open ones as they are now."""
        found = await self._store.generations(collection)
        applied = {one.generation.id: one.applied_seq for one in self._all_open(collection.id)}
        return [replace(one, applied_seq=applied.get(one.id, one.applied_seq)) for one in found]

    def beside(self, collection: Collection, number: int) -> OpenGeneration | None:
        """A generation that is open beside the live one."""
        return self._beside.get(collection.id, {}).get(number)

    def engine(self, address: str) -> VectorEngine:
        """The engine of an address. Raises UnsupportedByEngine, InvalidSetting, MissingDependency."""
        return self._opener.engine(address)

    def found(self, collection: Collection, generation: Generation) -> OpenGeneration | None:
        """A generation, live or beside, where it is open."""
        return next((one for one in self._all_open(collection.id) if one.generation.id == generation.id), None)

    async def open_beside(self, collection: Collection, generation: Generation) -> OpenGeneration:
        """A generation beside the live one, opened where it is not yet. Raises EngineUnavailable and its like."""
        async with self._lock(collection):
            return await self._open_beside(collection, generation)

    def trouble(self, generation: Generation) -> str | None:
        """Why a generation beside the live one does not get on; None where it does."""
        opened = self._beside.get(generation.collection_id, {}).get(generation.number)
        return self._stuck.get(generation.id) if opened is None else opened.indexer.progress.error

    async def begin(self, collection: Collection, shape: CollectionSpec, *, unattended: bool = False) -> Generation:
        """Begin to fill a generation of another shape beside the live one, or go on with one of that shape.

        One of that shape that is kept for a rollback serves as it is; one of another shape is dropped for the new one.
        unattended: it goes live by itself once it has caught up, and what was live is dropped.
        Raises MoveUnderWay where one of yet another shape is being filled, and what `validate` and opening raise.
        """
        embedder = await self._opener.validate(shape)
        async with self._lock(collection):
            records = await self._store.generations(collection)
            found = await self._resumed(collection, records, shape, embedder.fingerprint, unattended=unattended)
            if found is not None:
                return found
            new = NewGeneration(
                engine=shape.engine,
                index=shape.index,
                fingerprint=embedder.fingerprint,
                dimension=embedder.dimension,
                embedder=shape.embedder,
                search=shape.search,
                unattended=unattended,
            )
            made = await self._store.create_generation(collection, new)
            try:
                await self._open_beside(collection, made)
            except NearfieldError:
                await self._store.drop_generation(made)  # what no engine can hold is no move
                raise
            for one in records:
                if one.state is GenerationState.RETIRED:
                    await self._discard(collection, one)
        if unattended:
            self._attend(collection, made)
        return made

    async def _resumed(
        self,
        collection: Collection,
        records: list[Generation],
        shape: CollectionSpec,
        fingerprint: str,
        *,
        unattended: bool,
    ) -> Generation | None:
        """The generation that is what is asked for already; what stands in the way is refused, or given up."""
        filling = [one for one in records if one.state in (GenerationState.BUILDING, GenerationState.READY)]
        kept = [one for one in records if one.state is GenerationState.RETIRED and not unattended]
        for one in (*filling, *kept):
            same = one.shape(shape) == shape and one.fingerprint == fingerprint
            if same and (one.state is GenerationState.RETIRED or one.unattended == unattended):
                await self._open_beside(collection, one)
                return one
        for one in filling:
            if not one.unattended:
                raise MoveUnderWay(
                    f"generation {one.number} of {collection.name} is under way to other settings; "
                    "finish that move or drop the generation first"
                )
            await self._discard(collection, one)
        return None

    async def switch(self, collection: Collection, number: int, *, timeout_s: float) -> Collection:
        """Make a generation beside the live one the live one, and keep the other beside it; the collection as it is.

        Waits until it has applied whatever the live one has: nobody sees a search go back in time. Searches under way
        finish on the one they began with. Nothing has changed where it raises GenerationNotFound,
        IndexLagging or EngineUnavailable.
        """
        # a caller who goes away between the row in the store and the one here must not part them
        task = self._task(self._switch(collection, number, timeout_s), "switching to")
        self._switching.add(task)
        task.add_done_callback(self._switching.discard)
        return await asyncio.shield(task)

    async def _switch(self, collection: Collection, number: int, timeout_s: float) -> Collection:
        async with self._lock(collection):
            new = self.beside(collection, number)
            if new is None:
                records = {one.number: one for one in await self._store.generations(collection)}
                if number not in records or records[number].state not in BESIDE:
                    raise GenerationNotFound(f"no generation {number} is kept beside the live one of {collection.name}")
                new = await self._open_beside(collection, records[number])
            old = self._open.get(collection.id)
            latest = await self._store.last_seq(collection) if old is None else old.applied_seq
            await new.wait_for(latest, timeout_s=timeout_s)
            async with nullcontext() if old is None else old.indexer.held():
                if old is not None:  # which goes no further now: nobody sees a search go back in time
                    await new.wait_for(old.applied_seq, timeout_s=SETTLE_S)
                switched = await self._store.switch(new.generation)
                self._swap(new, old)
            for tell in self._on_switch:
                tell(switched)
            return switched

    def _swap(self, new: OpenGeneration, old: OpenGeneration | None) -> None:
        beside = self._beside.setdefault(new.collection.id, {})
        del beside[new.generation.number]
        self._open[new.collection.id] = new
        new.generation = replace(new.generation, state=GenerationState.LIVE)
        new.indexer.pace(1.0)
        if old is not None:
            old.generation = replace(old.generation, state=GenerationState.RETIRED)
            old.indexer.pace(self._build_share)
            beside[old.generation.number] = old
            self._retired_at[old.generation.id] = time.monotonic()

    async def discard(self, collection: Collection, number: int) -> None:
        """Give up a generation beside the live one. Raises GenerationNotFound."""
        async with self._lock(collection):
            for one in await self._store.generations(collection):
                if one.number == number and one.state is not GenerationState.LIVE:
                    await self._discard(collection, one)
                    return
        raise GenerationNotFound(f"no generation {number} is kept beside the live one of {collection.name}")

    async def give_up_unattended(self, collection: Collection) -> None:
        """Discard a generation that would go live by itself."""
        async with self._lock(collection):
            for one in await self._store.generations(collection):
                if one.unattended and one.state is GenerationState.BUILDING:
                    await self._discard(collection, one)

    async def settled(self, collection: Collection, *, timeout_s: float) -> bool:
        """Wait until no generation is about to go live by itself; whether that came in time."""
        task = self._attending.get(collection.id)
        if task is not None:
            await asyncio.wait({task}, timeout=timeout_s)
        return collection.id not in self._attending or self._attending[collection.id].done()

    async def removed(self) -> None:
        """Wait until every generation given up is gone, or cannot be removed for now."""
        if self._removing:
            await asyncio.wait(set(self._removing))

    # -- the end -------------------------------------------------------------------------------------------------
    async def drop(self, collection: Collection, *, never_held: bool = False) -> None:
        """Close the collection, remove the indexes of all its generations, and have the store forget it.

        Who asks for it meanwhile waits, and finds it gone, instead of opening it anew. never_held: no index of it came
        to be, so that an engine that is down need not be asked.
        """
        await stop(self._attending.pop(collection.id, None))
        await stop(self._followers.pop(collection.id, None))
        async with self._lock(collection):
            await self._close_live(collection.id)
            await self._close_beside(collection.id)
            for generation in await self._store.generations(collection):
                try:
                    await self._opener.engine(generation.engine).drop(generation.index_name)
                except EngineUnavailable:
                    if not never_held:
                        raise
            await self._store.drop_collection(collection)
        self._locks.pop(collection.id, None)

    async def close(self) -> None:
        """Stop every indexer, flush and close every index. Idempotent."""
        self._closing.set()
        await asyncio.gather(*self._opening.values(), *self._healing)
        for task in (*self._attending.values(), *self._followers.values(), *self._removing):
            await stop(task)
        for collection_id, lock in list(self._locks.items()):
            async with lock:  # one that is being opened is closed after
                await self._close_live(collection_id)
                await self._close_beside(collection_id)

    # -- healing ---------------------------------------------------------------------------------------------------
    def _heal(self, collection: Collection, generation: Generation) -> None:
        """Build an index again that was found lost or damaged only after it was opened."""
        log.warning("index %s is of no use; building it again from the store", generation.index_name)
        task = self._task(self._build_again(collection, generation), "healing")
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)

    async def _build_again(self, collection: Collection, generation: Generation) -> None:
        try:
            async with self._lock(collection):
                opened = self.found(collection, generation)
                if opened is None or self._closed:
                    return
                await self._store.set_watermark(generation, 0)
                live = opened is self._open.get(collection.id)
                await opened.close()
                if live:
                    del self._open[collection.id]
                    self._open[collection.id] = await self._open_live(collection)
                else:
                    del self._beside[collection.id][generation.number]
                    await self._open_beside(collection, replace(opened.generation, applied_seq=0))
        except NearfieldError as exc:
            log.warning("index %s cannot be built yet: %s", generation.index_name, exc)
            self.notify(collection, 0)

    # -- inside ----------------------------------------------------------------------------------------------------
    @property
    def _closed(self) -> bool:
        return self._closing.is_set()

    def _lock(self, collection: Collection) -> asyncio.Lock:
        return self._locks.setdefault(collection.id, asyncio.Lock())

    def _all_open(self, collection_id: int) -> list[OpenGeneration]:
        live = self._open.get(collection_id)
        return [*([] if live is None else [live]), *self._beside.get(collection_id, {}).values()]

    async def _close_live(self, collection_id: int) -> None:
        found = self._open.pop(collection_id, None)
        if found is not None:
            await found.close()

    async def _close_beside(self, collection_id: int) -> None:
        for opened in self._beside.pop(collection_id, {}).values():
            await opened.close()

    async def _open_live(self, collection: Collection) -> OpenGeneration:
        return await self._opener.open(collection, await self._live_record(collection))

    async def _live_record(self, collection: Collection) -> Generation:
        for one in await self._store.generations(collection):
            if one.state is GenerationState.LIVE:
                return one
        spec = collection.spec
        embedder = await self._opener.embedder(spec.embedder)
        made = await self._store.create_generation(
            collection,
            NewGeneration(
                spec.engine, spec.index, embedder.fingerprint, embedder.dimension, spec.embedder, spec.search
            ),
        )
        return await self._store.set_state(made, GenerationState.LIVE)

    async def _open_beside(self, collection: Collection, generation: Generation) -> OpenGeneration:
        beside = self._beside.setdefault(collection.id, {})
        if generation.number not in beside:
            if self._closed:
                raise ShuttingDown("the data directory is being closed")
            beside[generation.number] = await self._opener.open(collection, generation, share=self._build_share)
            self._stuck.pop(generation.id, None)
        return beside[generation.number]

    def _follow(self, collection: Collection) -> None:
        """Open what is beside the live generation in the background, and finish what a crash left half removed."""
        if collection.id not in self._followers:
            self._followers[collection.id] = asyncio.create_task(
                self._follow_all(collection), name=f"opening what is beside {collection.name}"
            )

    async def _follow_all(self, collection: Collection) -> None:
        pause = RETRY_FIRST_S
        while not await self._follow_once(collection):
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST_S)

    async def _follow_once(self, collection: Collection) -> bool:
        """Whether there is nothing left to try again."""
        done = True
        for one in await self._store.generations(collection):
            try:
                async with self._lock(collection):
                    if self._closed:
                        return True
                    if one.state in BESIDE and self.found(collection, one) is None:
                        await self._open_beside(collection, one)
                if one.state is GenerationState.DROPPING and not self._removing:
                    await self._remove(one)
                if one.unattended and one.state is GenerationState.BUILDING:
                    self._attend(collection, one)
            except (CollectionNotFound, IndexMissing):  # dropped meanwhile
                return True
            except NearfieldError as exc:
                done = False
                self._stuck[one.id] = str(exc)
                log.warning("generation %d of %s does not get on: %s", one.number, collection.name, exc)
        return done

    def _attend(self, collection: Collection, generation: Generation) -> None:
        before = self._attending.get(collection.id)
        if before is None or before.done():
            self._attending[collection.id] = self._task(self._go_live(collection, generation.number), "attending")

    async def _go_live(self, collection: Collection, number: int) -> None:
        """Switch to a generation as soon as it has caught up, and drop what was live before it."""
        pause = RETRY_FIRST_S
        while (new := self.beside(collection, number)) is not None:
            try:
                latest = await self._store.last_seq(collection)
                await new.wait_for(latest, timeout_s=RETRY_MOST_S)
                old = self._open.get(collection.id)
                await self.switch(collection, number, timeout_s=RETRY_MOST_S)
                if old is not None:
                    await self.discard(collection, old.generation.number)
            except (CollectionNotFound, GenerationNotFound):
                return
            except IndexLagging:
                continue
            except NearfieldError as exc:
                log.warning("generation %d of %s cannot go live yet: %s", number, collection.name, exc)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST_S)

    async def _discard(self, collection: Collection, generation: Generation) -> None:
        """Durably no longer there for anyone; its index goes in the background, once no search can be using it."""
        await self._store.set_state(generation, GenerationState.DROPPING)
        opened = self._beside.get(collection.id, {}).pop(generation.number, None)
        task = self._task(self._let_go(generation, opened), "removing")
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def _let_go(self, generation: Generation, opened: OpenGeneration | None) -> None:
        try:
            since = self._retired_at.pop(generation.id, None)
            if since is not None:
                await asyncio.sleep(max(0.0, since + self._linger_s - time.monotonic()))
        finally:
            if opened is not None:
                await opened.close()
        try:
            await self._remove(generation)
        except NearfieldError as exc:
            self._stuck[generation.id] = str(exc)
            log.warning("%s cannot be removed now; the next start tries again: %s", generation.index_name, exc)

    async def _remove(self, generation: Generation) -> None:
        await self._opener.engine(generation.engine).drop(generation.index_name)
        await self._store.drop_generation(generation)
        self._stuck.pop(generation.id, None)

    def _task(self, work: Coroutine[Any, Any, T], what: str) -> asyncio.Task[T]:
        return asyncio.create_task(work, name=f"{what} a generation")
