"""FAISS in the process: codes in memory, full vectors on disk, one folder per index.

FAISS only finds candidates. Each is scored again from its stored vector in double precision, so that scores and order
are true under every quantization, and an exact search compares stored vectors alone. Rows that a structure does not
hold yet are compared one by one; `optimize` takes them in, trains where the kind needs it, and builds anew once a
quarter of the rows a structure holds is gone or there are four times as many as it was trained for.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar

import numpy as np

from nearfield.disk import sync_folder
from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines import faiss_structure as structures
from nearfield.engines.durable import disk_errors, tree_bytes
from nearfield.engines.faiss_search import nearest
from nearfield.engines.faiss_structure import Structure, faiss_errors, least_rows
from nearfield.engines.ranking import EVERY_FILTER, admit_limit, admit_rows, admit_vectors
from nearfield.engines.row_table import RowTable
from nearfield.engines.spec_file import check_stored_spec, remove_index, write_spec
from nearfield.engines.threads import CallsUnderWay, Threads, in_thread
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec, unclaimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.engines.row_table import View
    from nearfield.protocols.engine import IndexSpec

T = TypeVar("T")
LAYOUT: Final = 1
_KEY_BATCH: Final = 8_192
_CROWDED: Final = 2_000  # places of rows that are gone, below which giving them back is not worth it
_GONE: Final = 0.25
_GROWN: Final = 4
_SCALAR: Final = frozenset({Quantization.NONE, Quantization.FLOAT16, Quantization.INT8})
_CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT, IndexKind.HNSW, IndexKind.IVF}),
    quantizations={
        IndexKind.FLAT: _SCALAR,
        IndexKind.HNSW: _SCALAR,
        IndexKind.IVF: _SCALAR | {Quantization.PRODUCT},
    },
    filters=EVERY_FILTER,
    exact=True,
    effort=True,
    durable=True,
)


class FaissEngine:
    """Keeps one folder per index and the threads that all of them share. Tested against FAISS 1.15 itself."""

    name: ClassVar[str] = "faiss"
    capabilities: ClassVar[EngineCapabilities] = _CAPABILITIES

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, FaissIndex] = {}
        self._threads = Threads(self.name)

    @classmethod
    def at(cls, folder: Path) -> Self:
        structures.sdk()
        return cls(folder)

    async def create(self, spec: IndexSpec) -> FaissIndex:
        check_spec(self.name, self.capabilities, spec)
        await self.drop(spec.name)
        return await self._hand_out(spec, _make)

    async def open(self, spec: IndexSpec) -> FaissIndex:
        check_spec(self.name, self.capabilities, spec)
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

    async def _hand_out(
        self, spec: IndexSpec, enter: Callable[[Path, IndexSpec], tuple[RowTable, Structure | None]]
    ) -> FaissIndex:
        folder = self._folder / spec.name
        table, structure = await in_thread(self._threads.writing, lambda: enter(folder, spec))
        index = self._open[spec.name] = FaissIndex(folder, spec, table, structure, self._threads)
        return index


class FaissIndex:
    """One open index: a table of rows, and a structure over most of them."""

    def __init__(
        self, folder: Path, spec: IndexSpec, table: RowTable, structure: Structure | None, threads: Threads
    ) -> None:
        self._folder, self._spec, self._settings = folder, spec, spec.settings
        self._table = table
        self._structure = structure
        self._number = int(table.beside.get("index", {}).get("number", 0))
        self._threads = threads
        self._calls = CallsUnderWay(spec.name)

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return unclaimed(_CAPABILITIES, where)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)
        await self._run(self._threads.writing, "writing rows", lambda: self._table.put(keys, vectors, rows))

    async def delete(self, keys: Int64Array) -> None:
        await self._run(self._threads.writing, "deleting rows", lambda: self._table.remove(keys))

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        """As the protocol says. effort: candidates (HNSW) or lists probed (IVF); of no meaning when exact."""
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._settings.metric)
        if effort is not None and not exact:
            _check_effort(self._settings.kind, effort)

        def search() -> Matches:
            with self._table.unchanged() as view:
                structure = self._structure
            passing = view.passing(where)
            return nearest(view, passing, structure, self._settings, vector, limit=limit, effort=effort, exact=exact)

        return await self._run(self._threads.reading, "searching", search)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        raise UnsupportedByEngine("engine faiss holds no texts; it has no lexical search", field="mode")

    async def count(self, where: Filter | None = None) -> int:
        def count() -> int:
            return len(self._table) if where is None else int(np.count_nonzero(self._table.view().passing(where)))

        return await self._run(self._threads.reading, "counting", count)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        """As given, bit by bit, under every quantization."""

        def read() -> tuple[Int64Array, Float32Array]:
            view, places = self._table.places(keys)
            here = places >= 0
            return keys[here], np.array(view.vectors[places[here]])

        return await self._run(self._threads.reading, "reading vectors", read)

    async def keys(self) -> AsyncIterator[Int64Array]:
        def read() -> Int64Array:
            view = self._table.view()
            return view.keys[view.alive]

        every = await self._run(self._threads.reading, "listing keys", read)
        for start in range(0, len(every), _KEY_BATCH):
            yield every[start : start + _KEY_BATCH]

    async def flush(self) -> None:
        await self._run(self._threads.writing, "flushing", self._table.flush)

    async def optimize(self, *, all_cores: bool = False) -> None:
        cores = os.cpu_count() or 1
        threads = cores if all_cores else max(1, cores - 1)
        await self._run(self._threads.upkeep, "optimizing", lambda: self._optimize(threads))

    async def stats(self) -> IndexStats:
        def stats() -> IndexStats:
            with self._table.unchanged() as view:
                structure, rows = self._structure, len(self._table)
            least = least_rows(self._settings)
            covered = 0 if structure is None else structure.covered
            waiting = 0 if least is None or rows < least else int(np.count_nonzero(view.alive[covered:]))
            return IndexStats(rows, max(0, tree_bytes(self._folder) - self._table.spare_bytes), waiting)

        return await self._run(self._threads.reading, "reading statistics", stats)

    async def close(self) -> None:
        def end() -> None:
            self._calls.drain()
            try:
                with disk_errors("closing"):
                    self._table.flush()
            finally:
                self._table.close()

        if self._calls.refuse():
            await asyncio.to_thread(end)

    async def _run(self, pool: ThreadPoolExecutor, doing: str, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with faiss_errors(doing, self._folder):
                return work()

        return await self._calls.run(pool, guarded)

    # -- upkeep ----------------------------------------------------------------------------------------------------
    def _optimize(self, threads: int) -> None:
        self._table.merge()
        view, current, least = self._table.view(), self._structure, least_rows(self._settings)
        live, seen = np.flatnonzero(view.alive), len(view.alive)
        crowded = self._table.gone > max(_CROWDED, _GONE * seen)
        if least is None or len(live) < least:
            if crowded:
                self._replace(None, live, seen)
            return
        fresh = live if current is None else live[live >= current.covered]
        if crowded:
            built = structures.build(self._settings, view.vectors, live, seen, threads)
            moved = Structure(built.index, np.arange(len(live)), len(live), built.trained)
            self._replace(moved, live, seen)
        elif current is None or self._outgrown(current, view, len(live)):
            self._publish(structures.build(self._settings, view.vectors, live, seen, threads))
        elif len(fresh):
            more = structures.extended(
                current, self._settings, view.vectors, places=fresh, covered=seen, threads=threads
            )
            self._publish(more)

    def _outgrown(self, structure: Structure, view: View, rows: int) -> bool:
        gone = len(structure.members) - int(np.count_nonzero(view.alive[structure.members]))
        trains = self._settings.kind is IndexKind.IVF
        return gone > _GONE * len(structure.members) or (trains and rows > _GROWN * structure.trained)

    def _publish(self, structure: Structure) -> None:
        self._table.flush({"index": self._save(structure)})
        with self._table.unchanged():
            self._structure = structure
        structures.remove_but(self._folder, self._number)

    def _replace(self, structure: Structure | None, live: Int64Array, seen: int) -> None:
        """Put a structure in place, and the table's rows closer together."""

        def publish() -> None:
            self._structure = structure

        beside = {} if structure is None else {"index": self._save(structure)}
        self._table.compact(live, seen, beside, publish)
        structures.remove_but(self._folder, None if structure is None else self._number)

    def _save(self, structure: Structure) -> object:
        self._number += 1
        return structures.save(structure, self._folder, self._number)


def _check_effort(kind: IndexKind, effort: int) -> None:
    """Raise UnsupportedByEngine for an effort that this kind of index has not, or does not take."""
    if kind is IndexKind.FLAT:
        raise UnsupportedByEngine("a flat index compares every row; it has no effort", field="effort")
    if effort < 1:
        raise UnsupportedByEngine(f"effort is {effort}; expected at least 1", field="effort")


def _make(folder: Path, spec: IndexSpec) -> tuple[RowTable, None]:
    with disk_errors("making an index"):
        folder.mkdir(parents=True)
        table = RowTable(folder, spec)
        table.make()
        write_spec(folder, spec, layout=LAYOUT)
        sync_folder(folder.parent)
        return table, None


def _reopen(folder: Path, spec: IndexSpec) -> tuple[RowTable, Structure | None]:
    check_stored_spec(folder, spec, layout=LAYOUT)
    with disk_errors("opening an index"):
        table = RowTable(folder, spec)
        table.load()
        note = table.beside.get("index")
        try:
            structure = None if note is None else structures.load(folder, note)
        except BaseException:
            table.close()
            raise
        structures.remove_but(folder, None if note is None else note["number"])
        return table, structure
