"""From rows as sent to documents fit to be stored: every check a document must pass, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.domain.documents import MAX_ID_LENGTH, Document, Rejection
from nearfield.domain.errors import CallerError, InvalidDocument, InvalidVector
from nearfield.domain.rows import check_body, json_ready, read_textual, row_of
from nearfield.protocols.engine import check_vectors
from nearfield.protocols.source import VECTOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.source import SourceRow


class Intake:
    """Turns rows into documents of one collection."""

    def __init__(self, collection: Collection, *, dimension: int, max_text_length: int) -> None:
        self._spec = collection.spec
        self._brings_vectors = collection.spec.brings_vectors
        self._dimension, self._max_text_length = dimension, max_text_length

    def take(
        self, rows: Sequence[SourceRow | Rejection], *, id_field: str | None
    ) -> tuple[list[Document], list[Rejection]]:
        """Documents and rejections, each in the order given. Blocks for about 20 µs a row: call in a thread.

        id_field: the field that holds the id; None derives it from the content, so that equal rows are one document.
        """
        documents: list[Document] = []
        rejected: list[Rejection] = []
        for row in rows:
            if isinstance(row, Rejection):
                rejected.append(row)
                continue
            try:
                documents.append(self.document(self._body(row), id_field=id_field))
            except CallerError as exc:
                rejected.append(Rejection(row.line, exc.code, _printable(str(exc)), _given_id(row.body, id_field)))
        return documents, rejected

    def document(
        self, body: Mapping[str, Any], *, id_field: str | None = "id", vector: Float32Array | None = None
    ) -> Document:
        """One document from its JSON body. Raises InvalidDocument, InvalidVector, DimensionMismatch."""
        if not isinstance(body, Mapping):
            raise InvalidDocument(f"document is a {type(body).__name__}; expected a JSON object")
        if self._brings_vectors and isinstance(body.get(VECTOR), np.ndarray):
            body = dict(body)
            vector = body.pop(VECTOR)  # before it would be made a list of Python's numbers
        body = dict(json_ready(body))
        if self._brings_vectors:
            vector = self._vector(body.pop(VECTOR, vector))
        check_body(body)
        row_of(body, self._spec.fields)
        self._check_text(body)
        if id_field is not None:
            return Document.of(_id(body, id_field), body, vector)
        anonymous = Document.of("", body, vector)
        return Document(f"row-{anonymous.content_hash.hex()}", body, anonymous.content_hash, vector)

    def _body(self, row: SourceRow) -> Mapping[str, Any]:
        return read_textual(row.body, self._spec.fields) if row.textual else row.body

    def _check_text(self, body: Mapping[str, Any]) -> None:
        text = self._spec.embed.render(body)
        if not text and not self._brings_vectors:
            names = ", ".join(self._spec.embed.fields)
            raise InvalidDocument(f"nothing to embed: {names} missing or blank; give at least one", field=names)
        if len(text) > self._max_text_length:
            raise InvalidDocument(
                f"the text to embed has {len(text)} characters; at most {self._max_text_length} are taken "
                "(setting max_text_length)"
            )

    def _vector(self, given: object) -> Float32Array:
        if given is None:
            raise InvalidVector(
                f"document brings no vector; expected a field {VECTOR!r} of {self._dimension} numbers",
                field=VECTOR,
            )
        vector = _numbers(given)
        if vector.ndim != 1:
            raise InvalidVector(f"vector has {vector.ndim} axes; expected a flat list of numbers", field=VECTOR)
        # checked for the metric, kept as given: the store holds what was sent
        check_vectors(vector, self._dimension, metric=self._spec.index.metric)
        return vector


def _numbers(given: object) -> Float32Array:
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as exc:
        raise InvalidVector(f"vector is not a list of numbers: {exc}", field=VECTOR) from exc
    if array.dtype.kind not in "iuf":  # NumPy would read texts and booleans as numbers too
        raise InvalidVector("vector holds something other than numbers", field=VECTOR)
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused as such
        return array.astype(np.float32)


def _given_id(body: object, id_field: str | None) -> str | None:
    given = body.get(id_field) if id_field and isinstance(body, Mapping) else None
    return None if given is None else _printable(str(given)[:100])


def _printable(text: str) -> str:
    """Without lone surrogates, which no answer and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _id(body: Mapping[str, Any], id_field: str) -> str:
    given = body.get(id_field)
    if isinstance(given, bool) or not isinstance(given, str | int):
        what = "no id" if given is None else f"id of type {type(given).__name__}"
        raise InvalidDocument(f"{what} in field {id_field!r}; expected a text or an integer", field=id_field)
    id = str(given)  # noqa: A001 - the field's own word
    if not 1 <= len(id) <= MAX_ID_LENGTH:
        raise InvalidDocument(f"id has {len(id)} characters; expected 1 to {MAX_ID_LENGTH}", field=id_field)
    return id
