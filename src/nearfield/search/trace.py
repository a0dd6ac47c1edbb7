"""The record behind `explain`: what each stage did to each document, and how long it took.

There is a Trace only where a request asks for it; everywhere else `work.trace` is None, and what would be recorded is
never computed. A stage between fusion and the answer is recorded by the service: its ranks, its scores, and as its part
the difference it made. So a stage need do nothing, and may add what only it knows:

    if work.trace is not None:
        work.trace.tell("boosts", key, {"popularity": 1.2})

What makes lists of its own says so (`listed`), and what composes a score of several says which has how much (`adds`):

    trace.listed("dense", found.documents, found.scores)      # ranks and the list's own scores
    trace.adds("dense", documents, share * similarity)        # parts of the score; all parts of a document add up to it
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearfield.domain.explanations import Part, StageTime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from nearfield.domain.documents import Int64Array
    from nearfield.search.ranked import Ranked

Scores = npt.NDArray[np.floating[Any]]
_UNTIMED = nullcontext()


@dataclass(slots=True, eq=False)
class _Record:
    ms: float = 0.0
    documents: Int64Array | None = None
    scores: Scores | None = None
    gainers: Int64Array | None = None
    gains: Scores | None = None
    details: dict[int, dict[str, Any]] = field(default_factory=dict)

    def part(self, stage: str, document: int) -> Part | None:
        rank, score, adds = None, None, 0.0
        if self.documents is not None and (place := _place(self.documents, document)) is not None:
            rank = place + 1
            score = None if self.scores is None else float(self.scores[place])
        if self.gainers is not None and self.gains is not None:
            place = _place(self.gainers, document)
            adds = 0.0 if place is None else float(self.gains[place])
        detail = self.details.get(document, {})
        if rank is None and not adds and not detail:
            return None
        return Part(stage, rank, score, adds, detail)


def _place(documents: Int64Array, document: int) -> int | None:
    found = np.flatnonzero(documents == document)
    return int(found[0]) if len(found) else None


class Trace:
    """What was recorded of one search, by stage in the order first heard of. A later pass replaces what an earlier one
    recorded, times add up."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time within as the stage's."""
        record = self._of(stage)
        began = time.perf_counter()
        try:
            yield
        finally:
            record.ms += (time.perf_counter() - began) * 1000

    def listed(self, stage: str, documents: Int64Array, scores: Scores | None = None) -> None:
        """The list a stage made, best first: document keys, shape (n,), and scores in its own measure."""
        record = self._of(stage)
        record.documents, record.scores = documents, scores

    def adds(self, stage: str, documents: Int64Array, gains: Scores) -> None:
        """What the score of each of some documents has from a stage; nothing for all others. Shape (n,) both."""
        record = self._of(stage)
        record.gainers, record.gains = documents, gains

    def changed(self, stage: str, before: Ranked, after: Ranked) -> None:
        """The list a stage made of another; what it added to each score is the difference. One it put in counts as
        having had nothing before."""
        self.listed(stage, after.documents, after.scores)
        if after.documents is before.documents and after.scores is before.scores:
            self.adds(stage, after.documents[:0], after.scores[:0])
            return
        had = dict(zip(before.documents.tolist(), before.scores.tolist(), strict=True))
        old = np.array([had.get(key, 0.0) for key in after.documents.tolist()], dtype=np.float64)
        self.adds(stage, after.documents, after.scores.astype(np.float64) - old)

    def tell(self, stage: str, document: int, detail: Mapping[str, Any]) -> None:
        """Something more about one document: JSON values by name."""
        self._of(stage).details.setdefault(document, {}).update(detail)

    def parts(self, document: int) -> tuple[Part, ...]:
        """What each stage said of a document, by its key; stages with nothing to say of it left out."""
        parts = (record.part(stage, document) for stage, record in self._records.items())
        return tuple(part for part in parts if part is not None)

    def stages(self) -> tuple[StageTime, ...]:
        """Each stage with its time and what it left."""
        return tuple(
            StageTime(stage, record.ms, None if record.documents is None else len(record.documents))
            for stage, record in self._records.items()
        )

    def _of(self, stage: str) -> _Record:
        return self._records.setdefault(stage, _Record())


def timed(trace: Trace | None, stage: str) -> AbstractContextManager[None]:
    """`trace.timed`, or nothing where there is no trace."""
    return _UNTIMED if trace is None else trace.timed(stage)
