"""Rankings and judgments → measures, by ir-measures. The one file that knows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import InvalidRequest, MissingDependency
from nearfield.domain.judgments import Float64Array, JudgedQuery, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURES: Final = ("ndcg@10", "mrr@10", "recall@100", "p@10", "judged@10")
"""What an evaluation reports; the first is the one it sorts by."""
DEPTH: Final = 100
"""Ranks that the deepest of MEASURES looks at."""

_NAMES: Final = {"ndcg": "nDCG", "mrr": "RR", "recall": "R", "p": "P", "judged": "Judged"}
_SPELLING: Final = re.compile(r"([a-z]+)@([1-9][0-9]{0,3})")


class Grader:
    """Measures rankings of the same judged queries, any number of times.

    nDCG has linear gains and a discount of log2(rank + 1), as in trec_eval. Source: Järvelin & Kekäläinen, TOIS 2002.
    """

    def __init__(self, queries: Sequence[JudgedQuery], measures: Sequence[str] = MEASURES) -> None:
        """measures: `ndcg`, `mrr`, `recall`, `p` or `judged`, each `@` a rank.

        Raises InvalidRequest, MissingDependency.
        """
        ir_measures = _library()
        self.measures = tuple(measures)
        self._by_theirs = {ir_measures.parse_measure(_theirs(name)): name for name in measures}
        # Short names of ours: an id may hold anything, and theirs end at a NUL.
        self._places = [{name: f"d{place}" for place, name in enumerate(query.grades)} for query in queries]
        qrels = {
            f"q{number}": {f"d{place}": grade for place, grade in enumerate(query.grades.values())}
            for number, query in enumerate(queries)
        }
        self._evaluator: Any = ir_measures.evaluator(list(self._by_theirs), qrels) if qrels else None

    def grade(self, rankings: Sequence[Sequence[str]]) -> Scores:
        """rankings: one a query, in the order of the queries: document ids, best first; an id given twice counts once.

        A query that found nothing scores 0 in every measure.
        """
        if len(rankings) != len(self._places):
            raise ValueError(f"{len(rankings)} rankings for {len(self._places)} queries")
        values = {name: np.zeros(len(rankings)) for name in self.measures}
        run = {}
        for number, (ranking, places) in enumerate(zip(rankings, self._places, strict=True)):
            ids = list(dict.fromkeys(ranking))
            if ids:
                run[f"q{number}"] = {places.get(name, f"u{rank}"): float(-rank) for rank, name in enumerate(ids)}
        if run:
            for metric in self._evaluator.iter_calc(run):
                values[self._by_theirs[metric.measure]][int(metric.query_id[1:])] = metric.value
        return Scores(values)


def grade(
    queries: Sequence[JudgedQuery], rankings: Sequence[Sequence[str]], measures: Sequence[str] = MEASURES
) -> Scores:
    """Measure once. See `Grader`."""
    return Grader(queries, measures).grade(rankings)


def ndcg(queries: Sequence[JudgedQuery], rankings: Sequence[Sequence[str]], depth: int = 10) -> Float64Array:
    """nDCG of each query at a depth: float64, shape (queries,)."""
    name = f"ndcg@{depth}"
    return grade(queries, rankings, (name,)).values[name]


def check_measure(name: str) -> str:
    """The name in our spelling. Raises InvalidRequest naming those there are."""
    _theirs(name.strip().lower())
    return name.strip().lower()


def _theirs(name: str) -> str:
    match = _SPELLING.fullmatch(name)
    if match is None or match[1] not in _NAMES:
        known = ", ".join(f"{ours}@k" for ours in _NAMES)
        raise InvalidRequest(f"unknown measure {name!r}; expected one of {known}", field="measure")
    return f"{_NAMES[match[1]]}@{match[2]}"


def _library() -> Any:
    try:
        import ir_measures  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependency("ir-measures is not installed; pip install 'nearfield[evaluate]'") from exc
    return ir_measures
