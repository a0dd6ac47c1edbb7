"""Other stores of vectors as sources: whichever it is, its rows become documents the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from nearfield.protocols.source import VECTOR, SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Rejection
    from nearfield.protocols.source import Told

PAGE: Final = 500  # rows asked for at a time
ID: Final = "id"
TEXT: Final = "text"
_COMPONENT_BYTES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class StoreRow:
    """One row of a store. text: what the vector was made of, where the store keeps it apart from the other fields.

    vector: float32, one axis, as the store holds it; None where it holds none.
    """

    id: str | int
    fields: Mapping[str, Any]
    vector: Float32Array | None
    text: str | None = None


class StoreReader(Protocol):
    """Reads one collection of a store, with bounded memory. All methods block; calls come from one thread at a time."""

    @property
    def name(self) -> str:
        """For messages and for the name of the file of rejected rows; no password in it."""
        ...

    def told(self) -> Told:
        """Connect, and tell what the vectors are. Raises EngineUnavailable, InvalidRequest, InvalidFile."""
        ...

    def total(self) -> int | None:
        """Rows there are, about; None where that is not known."""
        ...

    def pages(self) -> Iterator[Sequence[StoreRow | SourceRow | Rejection]]:
        """Every row once, from the first. Raises as `told`."""
        ...


class StoreSource:
    """See `Source`. Bytes are those of the vectors."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._told: Told | None = None
        self._size: int | None = None
        self._position = 0

    @property
    def name(self) -> str:
        return self._reader.name

    @property
    def size(self) -> int | None:
        return self._size

    @property
    def position(self) -> int:
        return self._position

    def told(self) -> Told:
        if self._told is None:
            self._told = self._reader.told()
        return self._told

    def rows(self) -> Iterator[SourceRow | Rejection]:
        row_bytes = _COMPONENT_BYTES * (self.told().dimension or 1)
        total = self._reader.total()
        self._size = None if total is None else total * row_bytes
        self._position = number = 0
        for page in self._reader.pages():
            self._position += len(page) * row_bytes
            for row in page:
                number += 1
                yield SourceRow(number, body_of(row)) if isinstance(row, StoreRow) else row


def body_of(row: StoreRow) -> dict[str, Any]:
    """A document's body: the fields as they are, beside ID, TEXT and VECTOR.

    A field of one of those names is kept under the name with `_` behind it, unless it says the same.
    """
    own: dict[str, Any] = {ID: row.id}
    if row.text is not None:
        own[TEXT] = row.text
    reserved = {*own, VECTOR}
    body: dict[str, Any] = {}
    for name, value in row.fields.items():
        if name not in reserved:
            body[name] = value
        elif not (isinstance(value, str | int) and name in own and str(value) == str(own[name])):
            free = name
            while free in row.fields or free in reserved:
                free += "_"
            body[free] = value
    return body | own | ({} if row.vector is None else {VECTOR: row.vector})


def lifted(fields: Mapping[str, Any], lift: str | None) -> dict[str, Any]:
    """The fields with those of the object `lift` among them in its place; any of the same name outside of it wins."""
    inner = fields.get(lift) if lift is not None else None
    if not isinstance(inner, dict):
        return dict(fields)
    return {**inner, **{name: value for name, value in fields.items() if name != lift}}
