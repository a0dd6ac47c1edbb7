"""Writes to a zvec collection, and the count of its rows kept beside them.

zvec's `stats` would tell the count, but while an optimize or a flush switches segments it waits, up to seconds, without
letting go of the GIL, and the whole process with it. So it is asked only when neither is under way.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from nearfield.engines.local_schema import VECTOR, sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_REPLACED_AT_ONCE: Final = 16  # 2 ms, for which searches wait


class Passage:
    """Lets searches through together, and the replacing of rows alone: zvec takes a row out before it puts it in anew,
    and a search between the two would miss it. Who is to be alone goes before searches that come later.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._searching = 0
        self._alone = 0  # those that are, or wait to be

    @contextmanager
    def together(self) -> Iterator[None]:
        """Search meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._searching += 1
        try:
            yield
        finally:
            with self._changed:
                self._searching -= 1
                if not self._searching:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Replace rows meanwhile. One at a time, which is the caller's to see to."""
        with self._changed:
            self._alone += 1
            self._changed.wait_for(lambda: not self._searching)
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
                self._changed.notify_all()


class Tally:
    """Counts rows exactly: before rows are written, zvec is asked which of them it has."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._writing = threading.Lock()
        self._optimizing = threading.Lock()
        self._rows = int(collection.stats.doc_count)
        self._arriving = 0
        self._unflushed = False
        self.passage = Passage()
        self._unindexed = self._ask_unindexed()

    def rows(self) -> int:
        """Rows stored, those of a batch that is being written not yet among them."""
        return self._rows

    def most_rows(self) -> int:
        """Rows a search may see, those of a batch that is being written among them."""
        return self._rows + self._arriving

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
            new = [document for document in documents if document.id not in there]
            self._arriving = len(new)
            try:
                added = self._collection.upsert(new) if new else []
                self._rows += sum(status.ok() for status in added)
            finally:
                self._arriving = 0
            changed = [document for document in documents if document.id in there]
            replaced: list[Any] = []
            for start in range(0, len(changed), _REPLACED_AT_ONCE):
                with self.passage.alone():
                    replaced += self._collection.upsert(changed[start : start + _REPLACED_AT_ONCE])
            self._unindexed += sum(status.ok() for status in (*added, *replaced))
            _raise_first([*added, *replaced])

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
