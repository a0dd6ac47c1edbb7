"""Rows whose vectors are where an import looks for them, or are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from nearfield.protocols.source import PASSAGES, VECTOR, SourceRow, VectorUse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nearfield.domain.documents import Rejection
    from nearfield.protocols.source import Source, Told


class VectorField:
    """See `Source`. Takes the vector of each row from a field of any name."""

    def __init__(self, source: Source, *, field: str, use: VectorUse) -> None:
        self._source, self._field, self._use = source, field, use

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def size(self) -> int | None:
        return self._source.size

    @property
    def position(self) -> int:
        return self._source.position

    def told(self) -> Told:
        return self._source.told()

    def rows(self) -> Iterator[SourceRow | Rejection]:
        for row in self._source.rows():
            yield self._of(row) if isinstance(row, SourceRow) else row

    def _of(self, row: SourceRow) -> SourceRow:
        body = without_vector(row.body, self._field)
        if self._use is not VectorUse.DROP:
            body[VECTOR] = vector_in(row.body, self._field)
        if self._use is VectorUse.ADOPT and row.body.get(PASSAGES) is not None:
            body[PASSAGES] = row.body[PASSAGES]
        return SourceRow(row.line, body, row.textual)


def with_vectors(sources: Sequence[Source], *, field: str, use: VectorUse) -> list[Source]:
    """Sources whose rows bring their vectors under VECTOR, or none where they are left behind."""
    if use is VectorUse.NONE:
        return list(sources)
    return [VectorField(source, field=field, use=use) for source in sources]


def without_vector(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A body without what it brings as vectors."""
    return {name: value for name, value in body.items() if name not in (field, PASSAGES)}


def vector_in(body: Mapping[str, Any], field: str) -> Any:
    """The vector a body brings, None for none; a text, as CSV has it, is read as JSON where it is that."""
    given = body.get(field)
    if not isinstance(given, str):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        return given
