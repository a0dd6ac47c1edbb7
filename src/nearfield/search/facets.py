"""Counting: one pass over rows, all facets side by side."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.facets import Bucket, FacetCounts, bind_facet
from nearfield.domain.filters import And, fields_of
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearfield.domain.facets import Facet
    from nearfield.domain.filters import Filter, Row

MAX_BUCKETS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Tally:
    """One facet being counted. Raises InvalidRequest where the facet does not suit the fields."""

    __slots__ = ("_bounds", "_counts", "_instants", "documents", "facet", "missing")

    def __init__(self, facet: Facet, fields: Mapping[str, FieldType], place: int) -> None:
        self.facet = facet
        self._bounds = bind_facet(facet, fields, place)
        self._instants = fields[facet.field].element is FieldType.DATETIME
        self._counts: Counter[Any] = Counter()
        self.documents = self.missing = 0

    def count(self, rows: Iterable[Row]) -> None:
        """Count some documents. Raises InvalidRequest where a histogram gets more than MAX_BUCKETS."""
        field = self.facet.field
        for row in rows:
            self.documents += 1
            have = row.get(field)
            if have is None:
                self.missing += 1
            elif isinstance(have, tuple):
                self._counts.update({place for value in have for place in self._places(value)})
            else:
                self._counts.update(self._places(have))
        if self.facet.histogram is not None and len(self._counts) > MAX_BUCKETS:
            raise InvalidRequest(
                f"the histogram of {field!r} has more than {MAX_BUCKETS} buckets; make them wider", field="facets"
            )

    def counts(self) -> FacetCounts:
        """What was counted."""
        facet = self.facet
        told = FacetCounts(facet.field, "values", (), self.documents, self.missing)
        if facet.ranges:
            buckets = tuple(
                Bucket(self._counts[place], low=low, high=high) for place, (low, high) in enumerate(facet.ranges)
            )
            return FacetCounts(facet.field, "ranges", buckets, told.documents, told.missing)
        if facet.histogram is not None:
            buckets = tuple(self._bucket(place) for place in sorted(self._counts))
            return FacetCounts(facet.field, "histogram", buckets, told.documents, told.missing)
        best = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        buckets = tuple(Bucket(count, value=self._shown(value)) for value, count in best[: facet.limit])
        return FacetCounts(
            facet.field, "values", buckets, told.documents, told.missing, max(0, len(best) - facet.limit)
        )

    def _places(self, value: Any) -> Iterable[Any]:
        """What one value counts for: itself, the ranges that hold it, or its bucket."""
        if self._bounds:
            return [
                place
                for place, (low, high) in enumerate(self._bounds)
                if (low is None or value >= low) and (high is None or value < high)
            ]
        width = self.facet.histogram
        if width is None:
            return (value,)
        if isinstance(width, str):
            return (_begin(value, width),)
        bucket = value / width
        if not math.isfinite(bucket):
            raise InvalidRequest(f"a bucket of width {width} is too narrow for {value}", field="facets")
        return (math.floor(bucket),)

    def _bucket(self, place: Any) -> Bucket:
        width = self.facet.histogram
        if isinstance(width, str):
            return Bucket(self._counts[place], low=_iso(place), high=_iso(_end(place, width)))
        assert width is not None  # noqa: S101 - for the type checker
        return Bucket(self._counts[place], low=place * width, high=(place + 1) * width)

    def _shown(self, value: Any) -> Any:
        return _iso(_EPOCH + timedelta(microseconds=value)) if self._instants else value


def _begin(micros: int, span: str) -> datetime:
    moment = (_EPOCH + timedelta(microseconds=micros)).replace(minute=0, second=0, microsecond=0)
    match span:
        case "hour":
            return moment
        case "day":
            return moment.replace(hour=0)
        case "week":
            day = moment.replace(hour=0)
            # the first Monday of year 1 is its first day, so that no week begins before the calendar
            return day - timedelta(days=day.weekday())
        case "month":
            return moment.replace(hour=0, day=1)
    return moment.replace(hour=0, day=1, month=1)


def _end(begin: datetime, span: str) -> datetime | None:
    try:
        match span:
            case "month":
                return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
            case "year":
                return begin.replace(year=begin.year + 1)
        return begin + timedelta(**{f"{span}s": 1})
    except (ValueError, OverflowError):  # the calendar ends with year 9999
        return None


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def relaxed(where: Filter | None, field: str) -> Filter | None:
    """A filter without its own top-level conditions on a field; the same object where it has none."""
    parts = where.parts if isinstance(where, And) else (where,) if where is not None else ()
    left = tuple(part for part in parts if fields_of(part) != {field})
    if len(left) == len(parts):
        return where
    if not left:
        return None
    return left[0] if len(left) == 1 else And(left)
