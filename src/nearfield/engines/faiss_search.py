"""Searches over a table of rows and the structure that holds most of them. All of it blocks and belongs in a thread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.engines import faiss_structure as structures
from nearfield.engines.ranking import no_matches, ranked

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.hits import Matches
    from nearfield.domain.schema import IndexSettings
    from nearfield.engines.columns import BoolArray
    from nearfield.engines.faiss_structure import Structure
    from nearfield.engines.row_table import View

_SPARE: Final = 8  # candidates beyond the limit, so that ties at the last place show
_MAX_TIES: Final = 1_024
_FEW: Final = 2_000  # rows compared in less than a millisecond
_OVERFETCH: Final = {Quantization.PRODUCT: (4, 100), Quantization.INT8: (2, _SPARE)}
"""Candidates for a limit: so many times as many, and so many more."""


def nearest(
    view: View,
    passing: BoolArray,
    structure: Structure | None,
    settings: IndexSettings,
    vector: Float32Array,
    *,
    limit: int,
    effort: int | None,
    exact: bool,
) -> Matches:
    """The nearest of the rows that pass. A structure may give up before it has found enough; then all are compared."""
    matching = int(np.count_nonzero(passing))
    limit = min(limit, matching)
    if not limit:
        return no_matches()

    def everything(hits: int) -> Int64Array:
        return structures.scan(view.vectors, vector, passing, hits, settings.metric)

    def by(ask: Callable[[int], Int64Array], first: int, most: int) -> Matches:
        """Ask for more candidates until the last of them is not tied with the last place, so that keys decide."""
        hits = min(first, most)
        while True:
            places = ask(hits)
            scores = _similarities(view.vectors[places], vector, settings.metric)
            best = ranked(view.keys[places], scores, limit)
            if len(places) < hits or hits == most or scores.min() < best.scores[-1]:
                return best
            hits = min(4 * hits, most)

    if structure is not None and not exact:
        candidates = _candidates(view, passing, structure, settings, vector, effort=effort)
        if candidates is not None:
            times, more = _OVERFETCH.get(settings.quantization, (1, _SPARE))
            first = times * limit + more
            found = by(candidates, first, first + _MAX_TIES)
            if len(found) == limit:
                return found
    return by(everything, limit + _SPARE, matching)


def _candidates(
    view: View,
    passing: BoolArray,
    structure: Structure,
    settings: IndexSettings,
    vector: Float32Array,
    *,
    effort: int | None,
) -> Callable[[int], Int64Array] | None:
    """What finds candidates in a structure and among the rows beside it; None where comparing all is as quick."""
    members = passing[structure.members]
    inside = int(np.count_nonzero(members))
    asked = _effort(settings, structure, inside, effort)
    if asked is None:
        return None
    waiting, rest = view.vectors[structure.covered :], passing[structure.covered :]
    beside = int(np.count_nonzero(rest))

    def find(hits: int) -> Int64Array:
        near = structures.search(
            structure, vector, members=members, hits=min(hits, inside), settings=settings, effort=asked
        )
        if not beside:
            return near
        others = structures.scan(waiting, vector, rest, min(hits, beside), settings.metric)
        return np.concatenate([near, others + structure.covered])

    return find


def _effort(settings: IndexSettings, structure: Structure, inside: int, effort: int | None) -> int | None:
    """Candidates or lists to look at, more where few members pass; None where comparing those is as quick."""
    if not inside or (inside <= _FEW and effort is None):
        return None
    if settings.kind is IndexKind.FLAT:
        return 1
    if effort is not None:
        return effort
    thinner = len(structure.members) / inside
    if settings.kind is IndexKind.HNSW:
        candidates = round(settings.ef_search * thinner)
        return candidates if candidates * settings.m < inside else None
    lists = structures.lists_of(structure.index)
    probes = settings.probes or structures.usual_probes(lists)
    return min(lists, round(probes * math.sqrt(thinner)))


def _similarities(block: Float32Array, vector: Float32Array, metric: Metric) -> Float32Array:
    """In double precision, and by the same steps for each row: equal vectors have equal scores."""
    wide, query = block.astype(np.float64), vector.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return np.asarray(-np.linalg.norm(wide - query, axis=1), np.float32)
    return np.asarray(np.einsum("ij,j->i", wide, query), np.float32)
