"""The engine that compares everything: NumPy in memory, kept in a folder. The oracle others are tested against.

Its answers are right by construction: float64 arithmetic, filters by `domain.filters.matches`, ties by key. It holds
all rows in memory and a search costs time in proportion to them, so it fits collections of up to some 100,000 rows.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import numpy as np

from nearfield.disk import sync_folder
from nearfield.domain import filters
from nearfield.domain.errors import EngineUnavailable, UnsupportedByEngine
from nearfield.domain.languages import LANGUAGES
from nearfield.domain.schema import IndexKind, Metric
from nearfield.engines.bm25 import Bm25
from nearfield.engines.durable import disk_errors, tree_bytes
from nearfield.engines.ranking import EVERY_FILTER, admit_limit, admit_rows, admit_vectors, no_matches, ranked
from nearfield.engines.segments import Segment, SegmentFiles
from nearfield.engines.spec_file import check_stored_spec, remove_index, write_spec
from nearfield.protocols.engine import EngineCapabilities, IndexStats, check_spec, unclaimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec

    Float64Array = npt.NDArray[np.float64]

T = TypeVar("T")
LAYOUT = 1
_BLOCK = 8192  # rows widened to float64 at a time
_MERGE_AT = 64  # segments after which `optimize` is worth its writes
_CAPABILITIES = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT}),
    filters=EVERY_FILTER,
    lexical=True,
    languages=LANGUAGES,
    exact=True,
    effort=False,
    durable=True,
    max_dimension=65_536,
)


class ExactEngine:
    """Keeps one folder per index.

    Tested as itself: it is the oracle that the others are compared with.
    """

    name: ClassVar[str] = "exact"
    capabilities: ClassVar[EngineCapabilities] = _CAPABILITIES

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, ExactIndex] = {}

    @classmethod
    def at(cls, folder: Path) -> Self:
        return cls(folder)

    async def create(self, spec: IndexSpec) -> ExactIndex:
        check_spec(self.name, self.capabilities, spec)
        await self.drop(spec.name)
        folder = self._folder / spec.name
        await asyncio.to_thread(_make, folder, spec)
        self._open[spec.name] = ExactIndex(folder, spec)
        return self._open[spec.name]

    async def open(self, spec: IndexSpec) -> ExactIndex:
        check_spec(self.name, self.capabilities, spec)
        if spec.name in self._open and not self._open[spec.name].closed:
            await self._open[spec.name].close()
        folder = self._folder / spec.name
        await asyncio.to_thread(check_stored_spec, folder, spec, layout=LAYOUT)
        index = ExactIndex(folder, spec)
        await index.load()
        self._open[spec.name] = index
        return index

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        await asyncio.to_thread(remove_index, self._folder / name)

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()


class ExactIndex:
    """One index. Its single thread runs one operation after another, so each sees the rows whole."""

    def __init__(self, folder: Path, spec: IndexSpec) -> None:
        self._spec = spec
        self._folder = folder
        self._files = SegmentFiles(folder, spec.fields, arrays=("vectors",))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"exact-{spec.name}")
        self._rows = _Rows(spec)
        self._unwritten: set[int] = set()
        self.closed = False

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        return unclaimed(_CAPABILITIES, where)

    async def load(self) -> None:
        """Read what was flushed. Raises IndexDamaged."""

        def read() -> None:
            for segment in self._files.load():
                self._rows.remove(segment.deleted)
                self._rows.put(segment.keys, segment.arrays["vectors"], segment.rows, segment.texts)

        await self._run("opening an index", read)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        vectors = admit_vectors(vectors, self._spec.dimension, self._spec.settings.metric)
        admit_rows(keys, vectors, rows, texts, self._spec.fields)

        def put() -> None:
            self._rows.put(keys, vectors, rows, texts)
            self._unwritten.update(keys.tolist())

        await self._run("writing rows", put)

    async def delete(self, keys: Int64Array) -> None:
        def remove() -> None:
            self._unwritten.update(self._rows.remove(keys))

        await self._run("deleting rows", remove)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        if effort is not None:
            raise UnsupportedByEngine("engine exact compares every row; it has no effort", field="effort")
        admit_limit(limit)
        vector = admit_vectors(vector, self._spec.dimension, self._spec.settings.metric)
        return await self._run("searching", lambda: self._rows.nearest(vector, limit, where))

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        admit_limit(limit)
        return await self._run("searching", lambda: self._rows.lexical(text, limit, where))

    async def count(self, where: Filter | None = None) -> int:
        return await self._run("counting", lambda: len(self._rows.passing(where)))

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        return await self._run("reading vectors", lambda: self._rows.vectors(keys))

    async def keys(self) -> AsyncIterator[Int64Array]:
        every = await self._run("listing keys", self._rows.keys)
        for start in range(0, len(every), _BLOCK):
            yield every[start : start + _BLOCK]

    async def flush(self) -> None:
        await self._run("flushing", self._write_pending)

    async def optimize(self, *, all_cores: bool = False) -> None:
        """Put all segments into one once there are many."""

        def merge() -> None:
            self._write_pending()
            if self._files.count > _MERGE_AT:
                self._files.replace(self._rows.segment(self._rows.keys().tolist()))

        await self._run("optimizing", merge)

    async def stats(self) -> IndexStats:
        return await self._run("counting", lambda: IndexStats(len(self._rows), tree_bytes(self._folder), unindexed=0))

    async def close(self) -> None:
        self.closed = True
        await asyncio.to_thread(self._thread.shutdown)

    def _write_pending(self) -> None:
        if self._unwritten:
            self._files.append(self._rows.segment(sorted(self._unwritten)))
            self._unwritten.clear()

    async def _run(self, doing: str, work: Callable[[], T]) -> T:
        if self.closed:
            raise EngineUnavailable(f"index {self._spec.name!r} is closed")

        def guarded() -> T:
            with disk_errors(doing):
                return work()

        return await asyncio.wrap_future(self._thread.submit(guarded))


class _Rows:
    """The rows in memory: a matrix with a slot per row, the last row moving into the slot of one that is removed."""

    def __init__(self, spec: IndexSpec) -> None:
        self._metric = spec.settings.metric
        self._matrix = np.empty((16, spec.dimension), np.float32)
        self._keys = np.empty(16, np.int64)
        self._slots: dict[int, int] = {}
        self._row: list[Row] = []
        self._text: list[str] = []
        self._words = Bm25(spec.language)

    def __len__(self) -> int:
        return len(self._slots)

    def keys(self) -> Int64Array:
        return self._keys[: len(self)].copy()

    def put(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        for key, vector, row, text in zip(keys.tolist(), vectors, rows, texts, strict=True):
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = len(self._slots)
                self._row.append(row)
                self._text.append(text)
                self._make_room(slot)
            self._keys[slot], self._matrix[slot], self._row[slot], self._text[slot] = key, vector, dict(row), text
            self._words.put(key, text)

    def remove(self, keys: Int64Array) -> list[int]:
        """Returns the keys that were there."""
        gone = []
        for key in keys.tolist():
            slot = self._slots.pop(key, None)
            if slot is None:
                continue
            gone.append(key)
            self._words.remove(key)
            last = len(self._slots)
            moved_row, moved_text = self._row.pop(), self._text.pop()
            if slot != last:
                self._keys[slot], self._matrix[slot] = self._keys[last], self._matrix[last]
                self._row[slot], self._text[slot] = moved_row, moved_text
                self._slots[int(self._keys[slot])] = slot
        return gone

    def segment(self, keys: Sequence[int]) -> Segment:
        """The present state of some keys: those that are gone as deleted."""
        here = [key for key in keys if key in self._slots]
        slots = [self._slots[key] for key in here]
        return Segment(
            np.array([key for key in keys if key not in self._slots], np.int64),
            np.array(here, np.int64),
            {"vectors": self._matrix[slots]},
            [self._row[slot] for slot in slots],
            [self._text[slot] for slot in slots],
        )

    def passing(self, where: Filter | None) -> Int64Array:
        """The slots of the rows that pass."""
        if where is None:
            return np.arange(len(self))
        return np.array([slot for slot, row in enumerate(self._row) if filters.matches(where, row)], np.int64)

    def nearest(self, vector: Float32Array, limit: int, where: Filter | None) -> Matches:
        slots = self.passing(where)
        if not len(slots):
            return no_matches()
        wide = vector.astype(np.float64)
        scores = np.concatenate(
            [self._similarity(self._matrix[slots[i : i + _BLOCK]], wide) for i in range(0, len(slots), _BLOCK)]
        )
        return ranked(self._keys[slots], scores.astype(np.float32), limit)

    def lexical(self, text: str, limit: int, where: Filter | None) -> Matches:
        scores = self._words.scores(
            text, lambda key: where is None or filters.matches(where, self._row[self._slots[key]])
        )
        return ranked(np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32), limit)

    def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        found = [key for key in keys.tolist() if key in self._slots]
        return np.array(found, np.int64), self._matrix[[self._slots[key] for key in found]]

    def _similarity(self, block: Float32Array, vector: Float64Array) -> Float64Array:
        wide: Float64Array = block.astype(np.float64)
        if self._metric is Metric.EUCLIDEAN:
            return np.asarray(-np.linalg.norm(wide - vector, axis=1))
        return np.asarray(wide @ vector)

    def _make_room(self, slot: int) -> None:
        if slot >= len(self._keys):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
            self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])


def _make(folder: Path, spec: IndexSpec) -> None:
    with disk_errors("making an index"):
        folder.mkdir(parents=True)
        write_spec(folder, spec, layout=LAYOUT)
        sync_folder(folder.parent)
