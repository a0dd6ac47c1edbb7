"""Writes to a zvec collection, and the count of its rows kept beside them.

zvec's `stats` would tell the count, but while an optimize or a flush switches segments it waits, up to seconds, without
letting go of the GIL, and the whole process with it. So it is asked only when neither is under way.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nearfield.engines.local_schema import VECTOR, sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Tally:
    """Counts rows exactly: before rows are written, zvec is asked which of them it has."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._writing = threading.Lock()
        self._optimizing = threading.Lock()
        self._rows = int(collection.stats.doc_count)
        self._unflushed = False
        self._unindexed = self._ask_unindexed()

    def rows(self) -> int:
        """Rows stored, those of a batch that is being written not yet among them."""
        return self._rows

    def unindexed(self) -> int:
        """Rows that the next optimize takes in. While one is under way: what it was given, and what came since."""
        if self._optimizing.acquire(blocking=False):
            try:
                with self._writing:
                    self._unindexed = self._ask_unindexed()
            finally:
                self._optimizing.release()
        return min(self._unindexed, self._rows)

    def upsert(self, documents: Sequence[Any]) -> None:
        """Write a batch, at most 1,024 rows."""
        with self._writing:
            self._unflushed = True
            there = self._collection.fetch(
                [document.id for document in documents], output_fields=[], include_vector=False
            )
            new = [document.id not in there for document in documents]
            statuses = self._collection.upsert(list(documents))
            taken = [status.ok() for status in statuses]
            self._rows += sum(is_new and ok for is_new, ok in zip(new, taken, strict=True))
            self._unindexed += sum(taken)
            _raise_first(statuses)

    def delete(self, names: Sequence[str]) -> None:
        """Delete a batch; names that are not there are passed over."""
        with self._writing:
            self._unflushed = True
            statuses = self._collection.delete(list(names))
            self._rows -= sum(status.ok() for status in statuses)
            _raise_first(statuses)

    def flush(self, copy: Callable[[], None]) -> bool:
        """Have zvec write down what it holds in memory, and copy its files before anything else is written.

        Waits for an optimize. Returns whether there was anything to flush.
        """
        with self._optimizing, self._writing:
            if not self._unflushed:
                return False
            self._collection.flush()
            copy()
            self._unflushed = False
            return True

    def optimize(self, threads: int) -> None:
        """Have zvec take rows into the index. Searches and writes go on."""
        with self._optimizing:
            self._collection.optimize(sdk().OptimizeOption(concurrency=threads))
            with self._writing:
                self._unflushed = True
                self._unindexed = self._ask_unindexed()

    def _ask_unindexed(self) -> int:
        stats = self._collection.stats
        missing: float = 1 - stats.index_completeness.get(VECTOR, 1.0)
        return round(int(stats.doc_count) * missing)


def _raise_first(statuses: Sequence[Any]) -> None:
    """Raise for the first row that zvec did not take; a key that was not there to delete is no failure."""
    absent = sdk().StatusCode.NOT_FOUND
    for status in statuses:
        if not status.ok() and status.code() != absent:
            raise RuntimeError(status.message())
