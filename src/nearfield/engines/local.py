"""The embedded engine: zvec in the process, one folder per index.

zvec releases the GIL and lets searches, writes, flushes and an optimize run side by side; only closing must be alone.
So every call runs in a thread of this engine, never on the event loop, and close waits for the calls under way.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from nearfield.disk import sync_folder
from nearfield.domain.errors import DiskFull, EngineUnavailable, IndexDamaged, NearfieldError
from nearfield.engines.durable import disk_errors, tree_bytes
from nearfield.engines.local_files import LocalFiles
from nearfield.engines.local_filters import compile_filter
from nearfield.engines.local_schema import (
    CAPABILITIES,
    check_effort,
    check_local_spec,
    collection_schema,
    documents,
    sdk,
)
from nearfield.engines.local_search import Searcher
from nearfield.engines.local_tally import Tally
from nearfield.engines.ranking import admit_limit, admit_rows, admit_vectors, no_matches, refuses
from nearfield.engines.spec_file import check_stored_spec, remove_index, write_spec
from nearfield.engines.threads import CallsUnderWay, Threads, in_thread
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec

T = TypeVar("T")
LAYOUT: Final = 2
_BATCH: Final = 1_000  # zvec takes 1,024 rows in one call
_KEY_BATCH: Final = 8_192


class LocalEngine:
    """Keeps one folder per index and the threads that all of them share.

    Tested against zvec 0.8, the real library, killed with -9 as well.
    """

    name: ClassVar[str] = "local"
    capabilities: ClassVar[EngineCapabilities] = CAPABILITIES

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, LocalIndex] = {}
        self._threads = Threads(self.name)

    @classmethod
    def at(cls, folder: Path) -> Self:
        return cls(folder)

    async def create(self, spec: IndexSpec) -> LocalIndex:
        check_spec(self.name, self.capabilities, spec)
        check_local_spec(spec)
        await self.drop(spec.name)
        return await self._hand_out(spec, _make)

    async def open(self, spec: IndexSpec) -> LocalIndex:
        check_spec(self.name, self.capabilities, spec)
        check_local_spec(spec)
        if spec.name in self._open:
            await self._open.pop(spec.name).close()
        return await self._hand_out(spec, _reopen)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        await in_thread(self._threads.writing, lambda: remove_index(self._folder / name))

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await asyncio.to_thread(self._threads.shutdown)

    async def _hand_out(self, spec: IndexSpec, enter: Callable[[LocalFiles, IndexSpec], Any]) -> LocalIndex:
        files = LocalFiles(self._folder / spec.name)
        collection = await in_thread(self._threads.writing, lambda: enter(files, spec))
        index = self._open[spec.name] = LocalIndex(collection, spec, files, self._threads)
        return index


class LocalIndex:
    """One open zvec collection."""

    def __init__(self, collection: Any, spec: IndexSpec, files: LocalFiles, threads: Threads) -> None:
        self._collection = collection
        self._spec = spec
        self._files = files
        self._keeping = threading.Lock()
        self._threads = threads
        self._tally = Tally(collection)
        self._search = Searcher(collection, spec, self._tally.most_rows)
        self._calls = CallsUnderWay(spec.name)

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return refuses(compile_filter, where, self._spec.fields)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)

        def write() -> None:
            for start in range(0, len(keys), _BATCH):
                part = slice(start, start + _BATCH)
                self._tally.upsert(documents(keys[part], vectors[part], rows[part], texts[part], self._spec))

        await self._run(self._threads.writing, "writing rows", write)

    async def delete(self, keys: Int64Array) -> None:
        def write() -> None:
            names = [str(key) for key in keys.tolist()]
            for start in range(0, len(names), _BATCH):
                self._tally.delete(names[start : start + _BATCH])

        await self._run(self._threads.writing, "deleting rows", write)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. effort: efSearch (HNSW, DiskANN) or lists probed (IVF); of no meaning when exact."""
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        if effort is not None and not exact:
            check_effort(self._spec.settings, effort)

        def search(compiled: str | None) -> Matches:
            return self._search.nearest(vector, limit=limit, where=compiled, effort=effort, exact=exact)

        return await self._where(where, "searching", search, no_matches())

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        admit_limit(limit)

        def search(compiled: str | None) -> Matches:
            return self._search.lexical(text, limit=limit, where=compiled)

        return await self._where(where, "searching", search, no_matches())

    async def count(self, where: Filter | None = None) -> int:
        """As the protocol says. With a filter about 2 microseconds per row that passes."""

        def count(compiled: str | None) -> int:
            return self._tally.rows() if compiled is None else len(self._search.passing(compiled))

        return await self._where(where, "counting", count, 0)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, bit by bit, under every quantization: zvec keeps the vectors beside their codes."""
        return await self._run(self._threads.reading, "reading vectors", lambda: self._search.vectors(keys))

    async def keys(self) -> AsyncIterator[Int64Array]:
        every = await self._run(self._threads.reading, "listing keys", lambda: self._search.passing(None))
        for start in range(0, len(every), _KEY_BATCH):
            yield every[start : start + _KEY_BATCH]

    async def flush(self) -> None:
        """As the protocol says. Waits for an optimize that is under way."""
        await self._run(self._threads.writing, "flushing", self._keep)

    async def optimize(self, *, all_cores: bool = False) -> None:
        cores = os.cpu_count() or 1
        threads = cores if all_cores else max(1, cores - 1)

        def optimize() -> None:
            self._tally.optimize(threads)
            self._keep()

        await self._run(self._threads.upkeep, "optimizing", optimize)

    async def stats(self) -> IndexStats:
        def stats() -> IndexStats:
            return IndexStats(self._tally.rows(), tree_bytes(self._files.working), self._tally.unindexed())

        return await self._run(self._threads.reading, "reading statistics", stats)

    async def close(self) -> None:
        def end() -> None:
            self._calls.drain()
            try:
                with _zvec_errors("closing"):
                    self._keep()
            finally:
                self._collection.close()
                self._files.release()

        if self._calls.refuse():
            await asyncio.to_thread(end)

    def _keep(self) -> None:
        with self._keeping:
            if self._tally.flush(self._files.copy):
                self._files.keep()

    async def _where(self, where: Filter | None, doing: str, search: Callable[[str | None], T], nothing: T) -> T:
        """Search with the compiled filter, or not at all when it lets nothing pass."""

        def run() -> T:
            # here, not on the event loop: a list of 10,000 values takes 21 ms to compile
            compiled = True if where is None else compile_filter(where, self._spec.fields)
            if compiled is False:
                return nothing
            with self._tally.passage.together():
                return search(None if compiled is True else compiled)

        return await self._run(self._threads.reading, doing, run)

    async def _run(self, pool: ThreadPoolExecutor, doing: str, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with _zvec_errors(doing):
                return work()

        return await self._calls.run(pool, guarded)


def _make(files: LocalFiles, spec: IndexSpec) -> Any:
    with disk_errors("making an index"):
        files.folder.mkdir(parents=True)
        with files.held_on_success(), _zvec_errors("making an index"):
            collection = sdk().create_and_open(str(files.working), collection_schema(spec))
            collection.flush()
            files.copy()
            files.keep()
            write_spec(files.folder, spec, layout=LAYOUT)
            sync_folder(files.folder.parent)
            return collection


def _reopen(files: LocalFiles, spec: IndexSpec) -> Any:
    check_stored_spec(files.folder, spec, layout=LAYOUT)
    with files.held_on_success():
        with disk_errors("opening an index"):
            files.restore()
        try:
            return sdk().open(str(files.working))
        except Exception as exc:  # zvec raises ValueError, RuntimeError and others for files it cannot make sense of
            raise IndexDamaged(f"index {spec.name!r} cannot be opened; rebuild it from the store") from exc


@contextmanager
def _zvec_errors(doing: str) -> Iterator[None]:
    """zvec raises plain RuntimeError and ValueError; to callers both are a failure of the engine."""
    try:
        with disk_errors(doing):
            yield
    except NearfieldError:
        raise
    except (RuntimeError, ValueError) as exc:
        if "no space left" in str(exc).lower():
            raise DiskFull(f"no space left on the disk while {doing}; free some and try again") from exc
        raise EngineUnavailable(f"zvec failed while {doing}: {str(exc)[:200]}") from exc
