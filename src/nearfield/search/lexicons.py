"""The lexicons of collections, kept up in the background. A search never waits long for one."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearfield.domain.documents import ChangeKind
from nearfield.domain.errors import NearfieldError
from nearfield.search import lexicon_file
from nearfield.search.lexicon import Gathering, Lexicon

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.collections import Collection
    from nearfield.domain.schema import CollectionSpec
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.store import Store

log = logging.getLogger("nearfield.search")

PAGE: Final = 250  # documents read and counted at a time: 15 ms in a thread
WAIT_S: Final = 0.25
"""The longest a search waits for a lexicon that is nearly there: a small collection's, or a few changes behind."""
NEAR: Final = 2_000  # changes behind that can be read in that time, about
QUICK_S: Final = 0.02
"""A lexicon that took longer to make is not waited for once there is an older one."""
FRESH_SHARE: Final = 20
"""A new snapshot is made once the one before is this many times older than it took to make: 5% of a core at most."""
DRIFT: Final = 0.25
"""The collection is scanned anew when this share of its documents was changed since: changes are counted twice."""
DRIFT_LEAST: Final = 1_000
MAX_KEPT: Final = 64
"""Collections whose lexicon is kept; the one that was refreshed longest ago goes."""


@dataclass(frozen=True, slots=True)
class _Kept:
    spec: CollectionSpec
    gathering: Gathering
    lexicon: Lexicon
    changed: int  # documents read again since the scan
    cost_s: float
    made_at: float
    filed: int  # the change up to which its file goes, -1 without one


class Lexicons:
    """One lexicon per collection, made when first asked for.

    folder: where counts are kept from one start to the next, by collection; None keeps none.
    """

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        self._store, self._folder = store, folder
        self._kept: dict[int, _Kept] = {}
        self._working: dict[int, asyncio.Task[None]] = {}

    async def current(self, collection: Collection, live: LiveIndex, *, wait_s: float = WAIT_S) -> Lexicon | None:
        """The lexicon as it is, which may be some changes behind; None while the first one is being made.

        Waits `wait_s` at most, and only where few changes are missing.
        """
        steady = self.steady(collection, live)
        if steady is not None:
            return steady
        kept = self._of(collection)
        task = self._work(collection, live)
        behind = live.applied_seq - (0 if kept is None else kept.lexicon.seq)
        quick = behind <= NEAR and (kept is None or kept.cost_s <= QUICK_S)
        if quick and wait_s:
            await asyncio.wait({task}, timeout=wait_s)
            kept = self._of(collection)
        return None if kept is None else kept.lexicon

    async def made(self, collection: Collection, live: LiveIndex) -> Lexicon | None:
        """The lexicon as it is; the first one is waited for, however long it takes. None where it cannot be made."""
        if self._of(collection) is None:
            await asyncio.shield(self._work(collection, live))
        kept = self._of(collection)
        return None if kept is None else kept.lexicon

    def steady(self, collection: Collection, live: LiveIndex) -> Lexicon | None:
        """The lexicon that `current` gives now and a moment later; None where there is none yet, or one is due."""
        kept = self._of(collection)
        if kept is None:
            return None
        behind = live.applied_seq - kept.lexicon.seq
        fresh = behind <= 0 or time.monotonic() - kept.made_at < kept.cost_s * FRESH_SHARE
        return kept.lexicon if fresh else None

    async def close(self) -> None:
        """Abandon what is being made, and file what is not."""
        still = {number: kept for number, kept in self._kept.items() if number not in self._working}
        for task in self._working.values():
            task.cancel()
        await asyncio.gather(*self._working.values(), return_exceptions=True)
        for number, kept in still.items():
            if kept.filed < kept.lexicon.seq:
                await self._file(number, kept.gathering, kept.lexicon.seq, kept.changed)

    def _of(self, collection: Collection) -> _Kept | None:
        """What is kept, unless the collection's settings are others now."""
        kept = self._kept.get(collection.id)
        if kept is None or kept.spec is collection.spec or kept.spec == collection.spec:
            return kept
        return None

    def _work(self, collection: Collection, live: LiveIndex) -> asyncio.Task[None]:
        task = self._working.get(collection.id)
        if task is None:
            task = asyncio.create_task(self._bring_up(collection, live), name=f"lexicon of {collection.name}")
            self._working[collection.id] = task
            task.add_done_callback(lambda _: self._working.pop(collection.id, None))
        return task

    async def _bring_up(self, collection: Collection, live: LiveIndex) -> None:
        try:
            kept = self._of(collection) or await self._read(collection)
            if kept is None or _drifted(kept, live.applied_seq):
                await self._scan(collection)
            elif kept.lexicon.seq < live.applied_seq:
                await self._follow(collection, kept, live.applied_seq)
        except NearfieldError:
            log.exception("the lexicon of %s could not be made; searches go without", collection.name)

    async def _scan(self, collection: Collection) -> None:
        """Read every document. Half of the time is left to others: the interpreter runs one thread at a time."""
        seq = await self._store.last_seq(collection)
        gathering, after = Gathering(collection.spec), 0
        while page := await self._store.scan(collection, after_key=after, limit=PAGE):
            after = page[-1].key
            began = time.monotonic()
            await asyncio.to_thread(gathering.take, page)
            if len(page) == PAGE:
                await asyncio.sleep(time.monotonic() - began)
        filed = await self._file(collection.id, gathering, seq, 0)
        await self._tidy()
        await self._publish(collection, gathering, seq, changed=0, filed=filed)

    async def _follow(self, collection: Collection, kept: _Kept, seq: int) -> None:
        """Read what changed since."""
        after, changed = kept.lexicon.seq, kept.changed
        while after < seq:
            changes = await self._store.changes(collection, after=after, limit=PAGE)
            if not changes:  # the last ones may be compacted away: deletes
                after = seq
                break
            after = changes[-1].seq
            keys = list({change.document_key for change in changes if change.kind is ChangeKind.UPSERT})
            documents = await self._store.by_key(collection, keys)
            await asyncio.to_thread(kept.gathering.take, list(documents.values()))
            changed += len(changes)
        await self._publish(collection, kept.gathering, after, changed=changed, filed=kept.filed)

    async def _publish(
        self, collection: Collection, gathering: Gathering, seq: int, *, changed: int, filed: int
    ) -> _Kept:
        began = time.monotonic()
        lexicon = await asyncio.to_thread(gathering.snapshot, seq)
        now = time.monotonic()
        self._kept.pop(collection.id, None)
        made = self._kept[collection.id] = _Kept(collection.spec, gathering, lexicon, changed, now - began, now, filed)
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return made

    # -- files -----------------------------------------------------------------------------------------------------
    async def _read(self, collection: Collection) -> _Kept | None:
        """What an earlier process filed, published; None where there is nothing of use."""
        if self._folder is None:
            return None
        found = await asyncio.to_thread(lexicon_file.read, self._path(self._folder, collection.id), collection.spec)
        if found is None or found[1] > await self._store.last_seq(collection):  # of a later state of the store
            return None
        gathering, seq, changed = found
        return await self._publish(collection, gathering, seq, changed=changed, filed=seq)

    async def _file(self, number: int, gathering: Gathering, seq: int, changed: int) -> int:
        """File what was counted, where there is a folder. The change up to which the file goes, -1 for none."""
        if self._folder is None:
            return -1
        path = self._path(self._folder, number)
        try:
            await asyncio.to_thread(lexicon_file.write, path, gathering, seq=seq, changed=changed)
        except (OSError, TypeError) as exc:
            log.warning("the words counted could not be kept in %s, a start will count them anew: %s", path, exc)
            return -1
        return seq

    async def _tidy(self) -> None:
        """Remove the files of collections that are gone."""
        if self._folder is not None:
            there = {self._path(self._folder, one.id) for one in await self._store.collections()}
            for path in set(self._folder.glob("*.counts")) - there:
                path.unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, number: int) -> Path:
        return folder / f"{number}.counts"


def _drifted(kept: _Kept, seq: int) -> bool:
    """Whether so much was changed, or is about to be read as changed, that a scan is due."""
    return kept.changed + seq - kept.lexicon.seq > DRIFT * kept.lexicon.documents + DRIFT_LEAST
