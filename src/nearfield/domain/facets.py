"""Facets: how many of the documents have which values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.schema import FieldType
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import READERS, Misfit, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.filters import Scalar

MAX_FACETS: Final = 32
MAX_VALUES: Final = 1_000
MAX_RANGES: Final = 100
SPANS: Final = ("hour", "day", "week", "month", "year")
"""Widths of a histogram over instants, in UTC; a week begins on Monday."""
_KEYS: Final = ("field", "limit", "ranges", "histogram", "disjunctive")
_NUMBERS: Final = (FieldType.INT, FieldType.FLOAT)


class FacetScope(StrEnum):
    """candidates: the documents the search ranked. matches: every document that passes the filter."""

    CANDIDATES = "candidates"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class Facet:
    """One question: the values of a field, or where given the ranges or the histogram buckets it falls in.

    limit: values told, the most frequent. ranges: as written, the lower end included and the upper not; None is open.
    histogram: the width of a bucket, a number or one of SPANS. disjunctive: count as if the filter's own conditions on
    this field were not there.
    """

    field: str
    limit: int = 10
    ranges: tuple[tuple[Any, Any], ...] = ()
    histogram: float | int | str | None = None
    disjunctive: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """count: documents. value: of a facet of values; low, high: ends of a range or histogram bucket, None when open.

    Instants are ISO 8601 in UTC.
    """

    count: int
    value: Any = None
    low: Any = None
    high: Any = None


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """values: most frequent first, then in order of value; ranges: as asked; histogram buckets: ascending, those
    without a document left out.

    kind: `values`, `ranges` or `histogram`. documents: counted over. missing: those without the field. others: distinct
    values beyond those told.
    A document counts once for each of its values, and once in each bucket.
    """

    field: str
    kind: str
    buckets: tuple[Bucket, ...]
    documents: int
    missing: int
    others: int = 0


def read_facets(spelled: Sequence[str | Mapping[str, Any]] | None) -> tuple[Facet, ...]:
    """`["brand", {"field": "price", "ranges": [[null, 50], [50, null]]}]`. Raises InvalidRequest naming the place."""
    if spelled is None:
        return ()
    if isinstance(spelled, str | Mapping):
        raise InvalidRequest(f"expected a list of facets, got {describe(spelled)}", field="facets")
    if len(spelled) > MAX_FACETS:
        raise InvalidRequest(f"{len(spelled)} facets; at most {MAX_FACETS} are counted at once", field="facets")
    return tuple(_read(one, f"facets[{i}]") for i, one in enumerate(spelled))


def _read(spelled: object, at: str) -> Facet:
    if isinstance(spelled, str):
        return Facet(spelled)
    if not isinstance(spelled, Mapping):
        raise InvalidRequest(f"expected the name of a field or an object, got {describe(spelled)}", field=at)
    for name in spelled:
        if name not in _KEYS:
            raise InvalidRequest(unknown_name("key", str(name), _KEYS), field=f"{at}.{name}")
    field, limit = spelled.get("field"), spelled.get("limit", 10)
    if not isinstance(field, str):
        raise InvalidRequest(f"expected the name of a field, got {describe(field)}", field=f"{at}.field")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_VALUES:
        raise InvalidRequest(f"limit is {limit!r}; expected 1 to {MAX_VALUES}", field=f"{at}.limit")
    ranges, histogram = _ranges(spelled.get("ranges"), f"{at}.ranges"), spelled.get("histogram")
    if ranges and histogram is not None:
        raise InvalidRequest("give either ranges or histogram; ask twice for both", field=at)
    disjunctive = spelled.get("disjunctive", False)
    if not isinstance(disjunctive, bool):
        raise InvalidRequest(f"expected true or false, got {describe(disjunctive)}", field=f"{at}.disjunctive")
    return Facet(field, limit, ranges, histogram, disjunctive)


def _ranges(spelled: object, at: str) -> tuple[tuple[Any, Any], ...]:
    if spelled is None:
        return ()
    if not isinstance(spelled, list | tuple) or not 1 <= len(spelled) <= MAX_RANGES:
        raise InvalidRequest(f"expected a list of 1 to {MAX_RANGES} pairs, such as [[null, 50], [50, 100]]", field=at)
    for i, pair in enumerate(spelled):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidRequest(f"expected a pair [low, high], got {describe(pair)}", field=f"{at}[{i}]")
    return tuple((low, high) for low, high in spelled)


Bounds = tuple["Scalar | None", "Scalar | None"]


def bind_facet(facet: Facet, fields: Mapping[str, FieldType], place: int) -> tuple[Bounds, ...]:
    """Check a facet against a collection's fields; its ranges as values of the field's rows.

    Raises InvalidRequest: an unknown field, a place, ranges or a histogram over what is no number or instant.
    """
    at = f"facets[{place}]"
    if facet.field not in fields:
        raise InvalidRequest(unknown_name("field", facet.field, fields), field=f"{at}.field")
    kind = fields[facet.field].element
    if kind is FieldType.GEO:
        raise InvalidRequest(
            f"field {facet.field!r} is {fields[facet.field]}; places are not counted", field=f"{at}.field"
        )
    if (facet.ranges or facet.histogram is not None) and kind not in (*_NUMBERS, FieldType.DATETIME):
        raise InvalidRequest(
            f"field {facet.field!r} is {fields[facet.field]}; ranges and histograms need int, float or datetime",
            field=f"{at}.field",
        )
    if facet.histogram is not None:
        _check_width(facet.histogram, kind, f"{at}.histogram")
    return tuple((_bound(low, kind, f"{at}.ranges"), _bound(high, kind, f"{at}.ranges")) for low, high in facet.ranges)


def _check_width(width: object, kind: FieldType, at: str) -> None:
    if kind is FieldType.DATETIME:
        if width not in SPANS:
            raise InvalidRequest(f"expected one of {', '.join(SPANS)}, got {describe(width)}", field=at)
    elif isinstance(width, bool) or not isinstance(width, int | float) or not (0 < width < math.inf):
        raise InvalidRequest(f"expected a width above 0, got {describe(width)}", field=at)


def _bound(given: object, kind: FieldType, at: str) -> Scalar | None:
    if given is None:
        return None
    try:
        read = READERS[FieldType.FLOAT if kind is FieldType.INT else kind](given)
    except Misfit as exc:
        raise InvalidRequest(str(exc), field=at) from exc
    return read  # type: ignore[return-value]
