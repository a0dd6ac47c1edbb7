"""Rows of an engine in the process: vectors in a file, keys and fields in columns, all by place.

A row that is written takes the next place and never changes; one that is replaced or deleted is marked as gone, and its
place given back when the table is compacted. So a `View` stays true for as long as somebody reads it, without a lock.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import IndexDamaged
from nearfield.engines.columns import Columns, Growing
from nearfield.engines.segments import Segment, SegmentFiles
from nearfield.engines.vector_file import VectorFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.engines.columns import BoolArray
    from nearfield.protocols.engine import IndexSpec

MERGE_AT: Final = 64
"""Segments after which putting them into one is worth its writes."""
_PLACES: Final = "places"
_SUFFIX: Final = ".f32"
_BLOCK: Final = 4_096  # rows copied at a time


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows at one moment, by place. alive: bool, of each place. vectors: float32, shape (places, dimension)."""

    alive: BoolArray
    keys: Int64Array
    vectors: Float32Array
    columns: Columns

    def passing(self, where: Filter | None) -> BoolArray:
        """Which places hold a row that passes a bound filter."""
        return self.alive if where is None else self.alive & self.columns.passing(where, len(self.alive))


class RowTable:
    """The rows of one index and their files. Every method blocks; OSError passes through.

    beside: what its owner keeps with the rows, as of the last flush: any JSON object.
    """

    def __init__(self, folder: Path, spec: IndexSpec) -> None:
        self._folder, self._spec = folder, spec
        self._segments = SegmentFiles(folder, spec.fields, arrays=(_PLACES,))
        self._writing = threading.RLock()
        self._changing = threading.RLock()
        self._unwritten: set[int] = set()
        self._pending: dict[int, Row] = {}
        self._places: dict[int, int] = {}
        self.beside: Mapping[str, Any] = {}

    def make(self) -> None:
        """Begin empty."""
        self._hold(VectorFile(self._folder / f"1{_SUFFIX}", self._spec.dimension), Columns(self._spec.fields))

    def load(self) -> None:
        """Read what was flushed. Raises IndexDamaged."""
        places: dict[int, int] = {}
        rows: dict[int, Row] = {}
        keys: dict[int, int] = {}
        for segment in self._segments.load():
            for key in segment.deleted.tolist():
                places.pop(key, None)
            for key, place, row in zip(
                segment.keys.tolist(), segment.arrays[_PLACES].tolist(), segment.rows, strict=True
            ):
                places[key], rows[place], keys[place] = place, row, key
        if not self._segments.beside:
            self.make()
            return
        try:
            stored = self._segments.beside["vectors"]
            name, count, checksum = str(stored["file"]), int(stored["rows"]), int(stored["checksum"])
        except (KeyError, TypeError, ValueError) as exc:
            raise IndexDamaged(f"index {self._spec.name!r} does not tell where its vectors are; rebuild it") from exc
        if count <= max(places.values(), default=-1):
            raise IndexDamaged(f"index {self._spec.name!r} has fewer vectors than rows; rebuild it")
        vectors = VectorFile(self._folder / name, self._spec.dimension, rows=count, checksum=checksum)
        columns = Columns(self._spec.fields)
        columns.extend([rows.get(place, {}) for place in range(count)])
        self._hold(vectors, columns)
        self._keys.extend([keys.get(place, -1) for place in range(count)])
        self._alive.extend(np.zeros(count, np.bool_))
        self._places = places
        self._alive.first(count)[list(places.values())] = True
        self.beside = {name: value for name, value in self._segments.beside.items() if name != "vectors"}
        self._remove_but(vectors.path)

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def unchanged(self) -> Iterator[View]:
        """The rows as they are; while the block runs, no change is seen by others."""
        with self._changing:
            count = self._alive.count
            yield View(
                self._alive.first(count).copy(), self._keys.first(count), self._vectors.first(count), self._columns
            )

    def view(self) -> View:
        """The rows as they are."""
        with self.unchanged() as view:
            return view

    def places(self, keys: Int64Array) -> tuple[View, Int64Array]:
        """The rows, and where those of some keys are: -1 for one that is not there."""
        with self.unchanged() as view:
            return view, np.array([self._places.get(key, -1) for key in keys.tolist()], np.int64)

    def put(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row]) -> None:
        """Write rows in place of those under their keys; all are seen at once."""
        with self._writing:
            start = self._alive.count
            self._vectors.append(vectors)  # when the disk is full nothing has changed yet
            self._columns.extend(rows)
            self._keys.extend(keys)
            self._alive.extend(np.zeros(len(keys), np.bool_))
            places = range(start, start + len(keys))
            self._pending.update(zip(places, map(dict, rows), strict=True))
            self._unwritten.update(keys.tolist())
            with self._changing:
                alive = self._alive.first(self._alive.count)
                for key, place in zip(keys.tolist(), places, strict=True):
                    before = self._places.get(key)
                    if before is not None:
                        alive[before] = False
                        self._pending.pop(before, None)
                    self._places[key] = place
                    alive[place] = True

    def remove(self, keys: Int64Array) -> None:
        """Delete rows; keys that are not there are passed over."""
        with self._writing, self._changing:
            alive = self._alive.first(self._alive.count)
            for key in keys.tolist():
                place = self._places.pop(key, None)
                if place is not None:
                    alive[place] = False
                    self._pending.pop(place, None)
                    self._unwritten.add(key)

    def flush(self, beside: Mapping[str, Any] | None = None) -> None:
        """Make all that was written durable. beside: what the owner keeps with the rows from now on."""
        with self._writing:
            if not self._unwritten and beside is None:
                return
            self._vectors.sync()
            self.beside = self.beside if beside is None else beside
            segment = self._segment() if self._unwritten else None
            self._segments.append(segment, beside=self._noted(self._vectors))
            self._unwritten.clear()
            self._pending.clear()

    def merge(self) -> None:
        """Put the segments into one once there are many."""
        with self._writing:
            self.flush()
            if self._segments.count > MERGE_AT:
                self._segments.replace(self._whole(lambda place: place), beside=self._noted(self._vectors))

    def compact(self, places: Int64Array, seen: int, beside: Mapping[str, Any], publish: Callable[[], None]) -> None:
        """Give the places of rows that are gone back.

        places: those that were alive when the table had `seen`, ascending: they are numbered anew from 0, and rows that
        came since follow. beside: what the owner keeps with them. publish: called in the moment of the change.
        Readers go on meanwhile, writers wait.
        """
        with self._writing:
            self.flush()
            count = self._alive.count
            later = seen + np.flatnonzero(self._alive.first(count)[seen:])
            kept = np.concatenate([places, later])
            number = int(self._vectors.path.name.removesuffix(_SUFFIX)) + 1
            fresh = VectorFile(self._folder / f"{number}{_SUFFIX}", self._spec.dimension)
            for start in range(0, len(kept), _BLOCK):
                fresh.append(self._vectors.first(count)[kept[start : start + _BLOCK]])
            fresh.sync()
            columns, keys, alive = self._columns.take(kept), self._keys.first(count)[kept], self._alive.first(count)
            moved = dict(zip(kept.tolist(), range(len(kept)), strict=True))
            whole, before = self._whole(moved.__getitem__), self._vectors
            now = {key: moved[place] for key, place in self._places.items()}
            self.beside = beside
            self._segments.replace(whole, beside=self._noted(fresh))
            with self._changing:
                publish()
                self._hold(fresh, columns)
                self._keys.extend(keys)
                self._alive.extend(alive[kept])
                self._places = now
            before.close()
            self._remove_but(fresh.path)

    @property
    def gone(self) -> int:
        """Places whose rows are replaced or deleted."""
        return self._alive.count - len(self._places)

    @property
    def spare_bytes(self) -> int:
        """What the files are longer than their content."""
        return self._vectors.spare_bytes

    def close(self) -> None:
        """Close the files."""
        self._vectors.close()

    def _hold(self, vectors: VectorFile, columns: Columns) -> None:
        self._vectors, self._columns = vectors, columns
        self._keys, self._alive = Growing(np.int64), Growing(np.bool_)
        self._places = {}

    def _noted(self, vectors: VectorFile) -> Mapping[str, Any]:
        held = {"file": vectors.path.name, "rows": vectors.rows, "checksum": vectors.checksum}
        return {**self.beside, "vectors": held}

    def _segment(self) -> Segment:
        """What was written and deleted since the last flush."""
        here = [key for key in self._unwritten if key in self._places]
        places = [self._places[key] for key in here]
        gone = [key for key in self._unwritten if key not in self._places]
        return _segment(gone, here, places, [self._pending[place] for place in places])

    def _whole(self, moved: Callable[[int], int]) -> Segment:
        """Every row, read back from the segments, all of which were flushed."""
        rows: dict[int, tuple[int, Row]] = {}
        for segment in self._segments.load():
            for key, place, row in zip(
                segment.keys.tolist(), segment.arrays[_PLACES].tolist(), segment.rows, strict=True
            ):
                if self._places.get(key) == place:
                    rows[place] = key, row
        places = sorted(rows)
        keys = [rows[place][0] for place in places]
        return _segment([], keys, [moved(place) for place in places], [rows[place][1] for place in places])

    def _remove_but(self, kept: Path) -> None:
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path != kept:
                path.unlink(missing_ok=True)


def _segment(gone: list[int], keys: list[int], places: list[int], rows: Sequence[Row]) -> Segment:
    arrays = {_PLACES: np.array(places, np.int64)}
    return Segment(np.array(gone, np.int64), np.array(keys, np.int64), arrays, rows, [""] * len(keys))
