"""The Parquet files that `export` writes: which columns they have, and how a document goes into them and comes back.

A declared field has a typed column, a field of the template one of strings. What those do not give back to the letter
(fields that are not declared, a date as it was spelled, a null) is in the column `rest`, a JSON object.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from nearfield.domain.filters import GeoPoint
from nearfield.domain.rows import row_of
from nearfield.domain.schema import FieldType, Metric
from nearfield.protocols.source import PASSAGES, VECTOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.documents import StoredDocument
    from nearfield.domain.schema import CollectionSpec

MARK: Final = b"nearfield"
"""The key of a file's metadata that holds its layout."""
VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Layout:
    """id_field: where a body holds its document's id. fields: declared. words: of the template, not declared.

    id, rest, vector, passages: the names of those columns. `id` holds the ids as text.
    """

    embed: str
    fields: Mapping[str, FieldType]
    words: tuple[str, ...]
    metric: Metric
    dimension: int
    fingerprint: str
    id_field: str
    id: str
    rest: str
    vector: str
    passages: str

    @classmethod
    def of(cls, spec: CollectionSpec, first: Sequence[StoredDocument], *, dimension: int, fingerprint: str) -> Self:
        """The layout of a collection, whose first documents tell where they hold their ids."""
        words = tuple(name for name in spec.embed.fields if name not in spec.fields)
        taken = {*spec.fields, *words}

        def free(name: str) -> str:
            while name in taken:
                name += "_"
            return name

        named = {key: free(key) for key in ("id", "rest", "vector", "passages")}
        return cls(
            spec.embed.source,
            dict(spec.fields),
            words,
            spec.index.metric,
            dimension,
            fingerprint,
            _id_field(first),
            **named,
        )

    def columns_of(self, document: StoredDocument) -> dict[str, Any]:
        """The values of one document by column, without its vectors: what Arrow takes for `kinds`."""
        body = document.body
        row = row_of(body, self.fields)
        columns: dict[str, Any] = {name: _arrow(value) for name, value in row.items()}
        given = {name: _given_back(value, self.fields[name]) for name, value in row.items()}
        for name in self.words:
            if isinstance(body.get(name), str):
                columns[name] = given[name] = body[name]
        if isinstance(body.get(self.id_field), str) and self.id_field not in given:
            given[self.id_field] = document.id
        rest = {name: value for name, value in body.items() if name not in given or not _same(given[name], value)}
        columns[self.id] = document.id
        columns[self.rest] = orjson.dumps(rest).decode() if rest else None
        return columns

    def restored(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a row, as JSON values, with its vectors under VECTOR and PASSAGES. Undoes `columns_of`.

        Raises ValueError where the column of the rest holds no JSON object.
        """
        system = {self.id, self.rest, self.vector, self.passages}
        body = {name: value for name, value in columns.items() if value is not None and name not in system}
        body |= dict(orjson.loads(columns.get(self.rest) or "{}"))
        id = columns.get(self.id)  # noqa: A001 - the column's own word
        if id is not None and str(body.get(self.id_field)) != id:
            body = {self.id_field: id, **{name: value for name, value in body.items() if name != self.id_field}}
        for name, key in ((self.vector, VECTOR), (self.passages, PASSAGES)):
            if columns.get(name) is not None:
                body[key] = columns[name]
        return body

    def to_json(self) -> bytes:
        """As the file's metadata holds it."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return orjson.dumps({"version": VERSION, **told})

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Raises ValueError, KeyError or TypeError for what is no layout, or one of a later version."""
        told = dict(orjson.loads(text))
        if told.pop("version") != VERSION:
            raise ValueError("a later version")
        told["fields"] = {name: FieldType(kind) for name, kind in told["fields"].items()}
        return cls(**{**told, "words": tuple(told["words"]), "metric": Metric(told["metric"])})


def _id_field(documents: Sequence[StoredDocument]) -> str:
    """The field that holds every document's id; `id`, which each then gets, where there is none."""
    held: dict[str, None] | None = None
    for document in documents:
        mine = {
            name: None
            for name, value in document.body.items()
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value) == document.id
        }
        held = mine if held is None else {name: None for name in held if name in mine}
    return "id" if not held or "id" in held else next(iter(held))


def _arrow(value: Any) -> Any:
    """A row's value as Arrow takes it; a datetime stays microseconds."""
    if isinstance(value, GeoPoint):
        return value._asdict()
    return [_arrow(item) for item in value] if isinstance(value, tuple) else value


def _given_back(value: Any, kind: FieldType) -> Any:
    """What reading the column gives, as JSON values."""
    if isinstance(value, tuple) and not isinstance(value, GeoPoint):
        return [_given_back(item, kind.element) for item in value]
    if kind is FieldType.DATETIME:
        return (_EPOCH + timedelta(microseconds=value)).isoformat()
    return _arrow(value)


def _same(given: Any, value: Any) -> bool:
    if isinstance(given, str) or isinstance(value, str):
        return bool(given == value)
    return orjson.dumps(given) == orjson.dumps(value)
