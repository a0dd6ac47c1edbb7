"""What people (or clicks) said about documents for a query, and how good a search is by that."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

Float64Array = npt.NDArray[np.float64]

MAX_GRADE: Final = 100


class JudgmentSource(StrEnum):
    """given: by a person, through a file or the API. clicks: derived from events by the click model."""

    GIVEN = "given"
    CLICKS = "clicks"


@dataclass(frozen=True, slots=True)
class Judgment:
    """One document judged for one query of a collection.

    query: its text, as people type it. document_id: need not be in the collection (yet).
    grade: 0 (not relevant) to MAX_GRADE, higher is better; 0..1 and 0..3 are usual.
    """

    query: str
    document_id: str
    grade: int
    source: JudgmentSource = JudgmentSource.GIVEN


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query to measure by. id: unique in its set. grades: by document id, 0 or more."""

    id: str
    text: str
    grades: Mapping[str, int]

    @property
    def counts(self) -> bool:
        """Whether any document is relevant: without one there is nothing to find and no measure says anything."""
        return any(grade > 0 for grade in self.grades.values())


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line of a file of queries or judgments that was not used, and why. line: 1-based."""

    file: str
    line: int
    detail: str


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Queries to measure by, and what was left out of them.

    queries: each with a relevant document, in order of the file. bad_rows: lines that could not be read.
    without_relevant: ids of queries no judgment of which is above 0. without_text: ids that are judged, but whose
    query is not there.
    """

    queries: tuple[JudgedQuery, ...]
    bad_rows: tuple[BadRow, ...] = ()
    without_relevant: tuple[str, ...] = ()
    without_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What each query scored. values: by measure (`ndcg@10`), float64, shape (queries,), each 0..1."""

    values: Mapping[str, Float64Array]

    def mean(self, measure: str) -> float:
        """Over all queries; 0 when there are none."""
        values = self.values[measure]
        return float(values.mean()) if values.size else 0.0

    @property
    def means(self) -> dict[str, float]:
        return {measure: self.mean(measure) for measure in self.values}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of two configurations over the same queries; `difference` is ours minus the other's.

    p_randomization, p_t: the chance of a difference at least so large, either way, when both were equally good.
    low, high: 95% confidence interval of the mean difference, by Student's t.
    better, worse, same: queries where ours scored higher, lower, equal.
    """

    measure: str
    mean: float
    other_mean: float
    p_randomization: float
    p_t: float
    low: float
    high: float
    better: int
    worse: int
    same: int

    @property
    def difference(self) -> float:
        return self.mean - self.other_mean

    def significant(self, alpha: float = 0.05) -> bool:
        """Whether the randomisation test calls the difference real at this level."""
        return self.p_randomization < alpha


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """One query of an evaluation. measures, other_measures: by name; other_measures is empty without a comparison.

    found: the first ten ids, best first.
    """

    id: str
    text: str
    relevant: int
    measures: Mapping[str, float]
    found: tuple[str, ...]
    other_measures: Mapping[str, float] = field(default_factory=dict)
    other_found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How good a configuration is on judged queries, beside another where one was given.

    means: by measure, over `queries`. comparisons: one a measure, empty without another configuration.
    queries: in the order judged. judged: what was left out is in there.
    missing_documents: relevant documents that the collection does not hold and no search can find.
    took_s: seconds, wall clock.
    """

    judged: JudgedSet
    means: Mapping[str, float]
    queries: tuple[QueryResult, ...]
    other_means: Mapping[str, float] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    missing_documents: int = 0
    took_s: float = 0.0

    def worst(self, count: int, measure: str = "ndcg@10") -> list[QueryResult]:
        """The queries with the lowest measure, lowest first; ties in order of the file."""
        return sorted(self.queries, key=lambda query: query.measures[measure])[:count]

    def most_changed(self, count: int, measure: str = "ndcg@10") -> list[QueryResult]:
        """The queries on which two configurations differ most, largest difference first, unchanged ones left out."""
        changed = [query for query in self.queries if query.other_measures and _change(query, measure)]
        return sorted(changed, key=lambda query: -abs(_change(query, measure)))[:count]


def _change(query: QueryResult, measure: str) -> float:
    return query.measures[measure] - query.other_measures[measure]
