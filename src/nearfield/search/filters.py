"""Where a filter is decided: as much as possible inside the engine, the rest on the store's documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearfield.domain.binding import bind
from nearfield.domain.filter_text import to_text
from nearfield.domain.filters import And, GeoRadius, around, matches, values_in
from nearfield.domain.rows import row_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.filters import Filter
    from nearfield.domain.schema import FieldType
    from nearfield.protocols.engine import VectorIndex


LIGHT = 200  # conditions and list values: placed in half a millisecond


@dataclass(frozen=True, slots=True)
class PlacedFilter:
    """A bound filter in two parts that hold together: `native` for the engine, `residual` for the store.

    The texts are as the caller wrote the parts; None where a part is empty.
    """

    whole: Filter | None = None
    native: Filter | None = None
    residual: Filter | None = None
    native_text: str | None = None
    residual_text: str | None = None

    def keeps(self, document: StoredDocument, fields: Mapping[str, FieldType]) -> bool:
        """Whether a document passes the whole filter, decided on what the store holds."""
        return self.whole is None or matches(self.whole, row_of(document.body, fields))


def place(where: Filter | None, fields: Mapping[str, FieldType], index: VectorIndex) -> PlacedFilter:
    """Bind a filter and split it at its outermost `and`. Raises InvalidFilter."""
    if where is None:
        return PlacedFilter()
    parts = where.parts if isinstance(where, And) else (where,)
    native: list[tuple[Filter, Filter]] = []  # as written, as bound
    residual: list[tuple[Filter, Filter]] = []
    for part in parts:
        bound = bind(part, fields)
        (residual if index.unsupported(bound) else native).append((part, bound))
    while len(native) > 1 and index.unsupported(And(tuple(bound for _, bound in native))):
        # each part could be said, all of them are too much for the engine: the later half goes
        half = len(native) // 2
        residual += native[half:]
        del native[half:]
    asked = [bound for _, bound in native]
    for _, bound in residual:
        # a circle the engine cannot draw is searched within its box, and decided on the store
        if isinstance(bound, GeoRadius) and not index.unsupported(And((*asked, around(bound)))):
            asked.append(around(bound))
    return PlacedFilter(
        whole=_all([bound for _, bound in native + residual]),
        native=_all(asked),
        residual=_all([bound for _, bound in residual]),
        native_text=_text([part for part, _ in native]),
        residual_text=_text([part for part, _ in residual]),
    )


def is_light(where: Filter | None) -> bool:
    """Whether `place` is quick enough for the event loop; for a list of 10,000 values it takes 30 ms."""
    return values_in(where) <= LIGHT


def _all(parts: list[Filter]) -> Filter | None:
    if len(parts) == 1:
        return parts[0]
    return And(tuple(parts)) if parts else None


def _text(parts: list[Filter]) -> str | None:
    whole = _all(parts)
    return None if whole is None else to_text(whole)
