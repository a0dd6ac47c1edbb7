"""What every engine does before and after its search: admit vectors, rank what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain import filters
from nearfield.domain.errors import DimensionMismatch, InvalidVector, UnsupportedByEngine
from nearfield.domain.hits import Matches
from nearfield.domain.schema import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.schema import FieldType

EVERY_FILTER: Final[frozenset[type[Filter]]] = frozenset(
    {
        filters.And,
        filters.ContainsAll,
        filters.ContainsAny,
        filters.Eq,
        filters.Exists,
        filters.GeoBox,
        filters.GeoRadius,
        filters.Gt,
        filters.Gte,
        filters.In,
        filters.Lt,
        filters.Lte,
        filters.Ne,
        filters.Not,
        filters.NotIn,
        filters.Or,
    }
)
LENGTH_TOLERANCE: Final = 1e-3
"""How far from 1 a cosine vector's length may be: float32 rounding and float16 storage stay well below."""


def admit_vectors(vectors: Float32Array, dimension: int, metric: Metric) -> Float32Array:
    """Refuse what `check_vectors` would not have let through; return contiguous float32 of the same shape.

    vectors: shape (dimension,) or (n, dimension). An engine that took a NaN would answer nonsense for ever.
    Raises DimensionMismatch, InvalidVector.
    """
    given = np.ascontiguousarray(vectors, dtype=np.float32)
    if given.ndim not in (1, 2) or given.shape[-1] != dimension:
        raise DimensionMismatch(f"vector has shape {given.shape}; expected {dimension} components", field="vector")
    if not np.isfinite(given).all():
        raise InvalidVector("vector holds a NaN or an infinity; expected finite numbers", field="vector")
    if metric is Metric.COSINE and given.size:
        lengths = np.sqrt(np.einsum("...i,...i->...", given, given, dtype=np.float64))
        if np.abs(lengths - 1).max() > LENGTH_TOLERANCE:
            raise InvalidVector("cosine needs vectors of unit length; pass them through check_vectors", field="vector")
    return given


def refuses(
    compiler: Callable[[Filter, Mapping[str, FieldType]], object], where: Filter, fields: Mapping[str, FieldType]
) -> bool:
    """Whether an engine's compiler of filters cannot say one."""
    try:
        compiler(where, fields)
    except UnsupportedByEngine:
        return True
    return False


def admit_limit(limit: int) -> None:
    """Raise ValueError, a defect of the caller, for a limit below 1."""
    if limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1")


def admit_rows(
    keys: Int64Array,
    vectors: Float32Array,
    rows: Sequence[Row],
    texts: Sequence[str],
    fields: Container[str],
) -> None:
    """Raise ValueError, a defect of the caller, unless all tell of the same rows, each key once and 0 or more, with no
    field that was not declared."""
    if keys.ndim != 1 or not len(keys) == len(vectors) == len(rows) == len(texts) or vectors.ndim != 2:
        raise ValueError(f"{keys.shape} keys, {vectors.shape} vectors, {len(rows)} rows, {len(texts)} texts")
    if len(keys) and (keys.min() < 0 or len(np.unique(keys)) != len(keys)):
        raise ValueError("keys must be 0 or more, each once")
    unknown = next((name for row in rows for name in row if name not in fields), None)
    if unknown is not None:
        raise ValueError(f"a row holds field {unknown!r}, which the index was not told of")


def ranked(keys: Int64Array, scores: Float32Array, limit: int) -> Matches:
    """The best `limit` of some rows, best first, ties in order of key."""
    if len(keys) > limit:
        bar = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        kept = scores >= bar  # all that tie with the last place, so that keys decide
        keys, scores = keys[kept], scores[kept]
    order = np.lexsort((keys, -scores))[:limit]
    return Matches(np.asarray(keys[order], dtype=np.int64), np.asarray(scores[order], dtype=np.float32))


def no_matches() -> Matches:
    """The answer when nothing can match."""
    return Matches(np.empty(0, np.int64), np.empty(0, np.float32))
