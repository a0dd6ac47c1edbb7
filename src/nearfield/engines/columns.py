"""Rows in memory by column, and filters decided on whole columns: what `domain.filters.matches` says, in NumPy.

Rows are only ever added. Who asks about the first `count` rows gets the answer for those, whatever one writer adds
meanwhile: arrays grow before their count does, and what is below it never changes.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from nearfield.domain import filters
from nearfield.domain.filters import EARTH_RADIUS_M, GeoPoint, distance_m
from nearfield.domain.schema import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from nearfield.domain.documents import Int64Array
    from nearfield.domain.filters import FieldValue, Filter, GeoBox, GeoRadius, Row, Scalar

    BoolArray = npt.NDArray[np.bool_]
    Array = np.ndarray[Any, np.dtype[Any]]

_DTYPES: Final[Mapping[FieldType, type[np.generic]]] = {
    FieldType.INT: np.int64,
    FieldType.DATETIME: np.int64,
    FieldType.FLOAT: np.float64,
    FieldType.BOOL: np.bool_,
    FieldType.TEXT: np.int64,  # places in the vocabulary
    FieldType.KEYWORD: np.int64,
}
_UNSURE_M: Final = 10.0
"""Distances this close to a radius are taken again as the domain does: near the antipode, where the arcsine is steep,
two ways of rounding differ by up to a metre."""
_COMPARISONS: Final[Mapping[type[Filter], Callable[[Any, Any], Any]]] = {
    filters.Lt: operator.lt,
    filters.Lte: operator.le,
    filters.Gt: operator.gt,
    filters.Gte: operator.ge,
}


class Growing:
    """An array that is added to at its end. Only its first `count` lines mean anything."""

    def __init__(self, dtype: type[np.generic], *, width: int | None = None) -> None:
        self._values: Array = np.empty((16,) if width is None else (16, width), dtype)
        self.count = 0

    def extend(self, added: Array | Sequence[Any]) -> None:
        """Add lines."""
        new = np.asarray(added, self._values.dtype).reshape(-1, *self._values.shape[1:])
        total = self.count + len(new)
        if total > len(self._values):
            grown = np.empty((max(total, 2 * len(self._values)), *self._values.shape[1:]), self._values.dtype)
            grown[: self.count] = self._values[: self.count]
            self._values = grown
        self._values[self.count : total] = new
        self.count = total

    def first(self, count: int) -> Array:
        """The first so many lines."""
        return self._values[:count]


class Columns:
    """The filterable values of rows, a column per field. One writer, any number of readers."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self._columns = {name: _Column(kind) for name, kind in fields.items()}

    def extend(self, rows: Sequence[Row]) -> None:
        """Add rows."""
        for name, column in self._columns.items():
            column.extend([row.get(name) for row in rows])

    def passing(self, where: Filter, count: int) -> BoolArray:
        """Which of the first `count` rows pass a bound filter."""
        match where:
            case filters.And(parts):
                return _joined(np.logical_and, [self.passing(part, count) for part in parts], count, empty=True)
            case filters.Or(parts):
                return _joined(np.logical_or, [self.passing(part, count) for part in parts], count, empty=False)
            case filters.Not(part):
                return ~self.passing(part, count)
        return self._columns[where.field].passing(where, count)  # type: ignore[attr-defined]

    def take(self, places: Int64Array) -> Columns:
        """New columns of the rows at some places, in that order, each once."""
        taken = Columns(self._fields)
        taken._columns = {name: column.take(places) for name, column in self._columns.items()}
        return taken


class _Column:
    """One field. Its values stand one after another; `owners` says of which row each is, where a row has several."""

    def __init__(self, kind: FieldType) -> None:
        self._kind = kind
        self._present = Growing(np.bool_)
        self._owners = Growing(np.int64) if kind.is_list else None
        geo = kind.element is FieldType.GEO
        self._values = Growing(np.float64, width=2) if geo else Growing(_DTYPES[kind.element])
        self._words = _Vocabulary() if kind.element in (FieldType.TEXT, FieldType.KEYWORD) else None

    def extend(self, values: Sequence[FieldValue | None]) -> None:
        """Add a value, or none, per row."""
        start = self._present.count
        if self._owners is None:
            blank: Any = (0.0, 0.0) if self._kind is FieldType.GEO else "" if self._words else 0
            self._values.extend(self._coded([blank if value is None else value for value in values]))
        else:
            lists = [cast("tuple[Any, ...]", value or ()) for value in values]
            elements = [element for value in lists for element in value]
            if elements:
                self._values.extend(self._coded(elements))
                self._owners.extend(np.repeat(np.arange(start, start + len(lists)), [len(value) for value in lists]))
        self._present.extend([value is not None for value in values])

    def passing(self, where: Filter, count: int) -> BoolArray:  # noqa: PLR0911 - one arm per node
        """Which of the first `count` rows pass a node that is about this field."""
        present = self._present.first(count)
        match where:
            case filters.Exists(_, wanted):
                return present if wanted else ~present
            case filters.Ne(_, value):
                return ~self._any(lambda values: self._among(values, (value,)), count)
            case filters.NotIn(_, many):
                return ~self._any(lambda values: self._among(values, many), count)
            case filters.Eq(_, value):
                return self._any(lambda values: self._among(values, (value,)), count)
            case filters.In(_, many) | filters.ContainsAny(_, many):
                return self._any(lambda values: self._among(values, many), count)
            case filters.ContainsAll(_, many):
                each = [self._any(lambda values, v=value: self._among(values, (v,)), count) for value in many]  # type: ignore[misc]
                return _joined(np.logical_and, [present, *each], count, empty=True)
            case filters.GeoRadius():
                return self._any(lambda points: _within(points, where), count)
            case filters.GeoBox():
                return self._any(lambda points: _inside(points, where), count)
        compare = _COMPARISONS[type(where)]
        return self._any(lambda values: self._compared(values, compare, where.value), count)  # type: ignore[attr-defined]

    def take(self, places: Int64Array) -> _Column:
        taken = _Column(self._kind)
        taken._present.extend(self._present.first(self._present.count)[places])
        if self._owners is None or taken._owners is None:
            chosen = self._values.first(self._values.count)[places]
        else:
            order = np.full(self._present.count, -1, np.int64)
            order[places] = np.arange(len(places))
            owners = order[self._owners.first(self._owners.count)]
            kept = np.flatnonzero(owners >= 0)
            kept = kept[np.argsort(owners[kept], kind="stable")]
            taken._owners.extend(owners[kept])
            chosen = self._values.first(self._values.count)[kept]
        if self._words is not None and taken._words is not None:
            used, chosen = np.unique(chosen, return_inverse=True)
            taken._words.codes([self._words.words[code] for code in used.tolist()])
        taken._values.extend(chosen)
        return taken

    def _coded(self, values: Sequence[Any]) -> Sequence[Any]:
        return values if self._words is None else self._words.codes(values)

    def _any(self, test: Callable[[Array], BoolArray], count: int) -> BoolArray:
        """The rows one of whose values passes a test."""
        if self._owners is None:
            return test(self._values.first(count)) & self._present.first(count)
        owners = self._owners.first(self._owners.count)
        owners = owners[: np.searchsorted(owners, count)]
        passing = np.zeros(count, np.bool_)
        passing[owners[test(self._values.first(len(owners)))]] = True
        return passing

    def _among(self, values: Array, wanted: Sequence[Scalar]) -> BoolArray:
        if self._words is not None:
            wanted = [code for word in wanted if (code := self._words.known(cast("str", word))) is not None]
        if not wanted:
            return np.zeros(len(values), np.bool_)
        if len(wanted) == 1:
            return cast("BoolArray", values == wanted[0])
        return np.isin(values, np.array(wanted, values.dtype), kind="sort")

    def _compared(self, values: Array, compare: Callable[[Any, Any], Any], value: Scalar) -> BoolArray:
        if self._words is None:
            return cast("BoolArray", compare(values, value))
        words = self._words.words
        passing = np.fromiter((compare(word, value) for word in words[: len(words)]), np.bool_)
        return passing[values]


class _Vocabulary:
    """The distinct words of a column, each with its place."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._places: dict[str, int] = {}

    def codes(self, words: Sequence[str]) -> list[int]:
        """Places of words; new ones are added."""
        return [self._place(word) for word in words]

    def known(self, word: str) -> int | None:
        """The place of a word, None where no row has it."""
        return self._places.get(word)

    def _place(self, word: str) -> int:
        place = self._places.get(word)
        if place is None:
            place = len(self.words)
            self.words.append(word)
            self._places[word] = place
        return place


def _joined(join: Any, parts: Sequence[BoolArray], count: int, *, empty: bool) -> BoolArray:
    return cast("BoolArray", join.reduce(parts)) if parts else np.full(count, empty)


def _inside(points: Array, box: GeoBox) -> BoolArray:
    lat, lon = points[:, 0], points[:, 1]
    east_of, west_of = lon >= box.west, lon <= box.east
    across = east_of & west_of if box.west <= box.east else east_of | west_of
    return (lat >= box.south) & (lat <= box.north) & across


def _within(points: Array, circle: GeoRadius) -> BoolArray:
    lat_a, lon_a = np.radians(circle.center)
    lat, lon = np.radians(points[:, 0]), np.radians(points[:, 1])
    h = np.sin((lat - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat) * np.sin((lon - lon_a) / 2) ** 2
    distances = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, np.sqrt(h)))
    within = distances <= circle.radius_m
    for place in np.flatnonzero(np.abs(distances - circle.radius_m) < _UNSURE_M).tolist():
        within[place] = distance_m(circle.center, GeoPoint(*points[place].tolist())) <= circle.radius_m
    return cast("BoolArray", within)
