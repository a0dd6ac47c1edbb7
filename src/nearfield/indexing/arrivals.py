"""What an import is to make of its rows: a collection as wished, told and inferred, and the use of their vectors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import DimensionMismatch, InvalidFile, InvalidRequest, InvalidSchema
from nearfield.domain.inference import infer_fields, infer_template
from nearfield.domain.schema import GIVEN_VECTORS
from nearfield.domain.spec_json import spec_from_json
from nearfield.indexing.adopting import MadeElsewhere, check_made_by
from nearfield.protocols.source import VECTOR, SourceRow, VectorUse
from nearfield.sources.vector_field import vector_in, without_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearfield.domain.schema import CollectionSpec, FieldType
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.source import Told

DEFAULT_ID: Final = "id"


@dataclass(frozen=True, slots=True)
class Wish:
    """A collection as a person describes it; None and empty: not said.

    vector_field: where rows bring vectors. vectors_by: the model that made them. inferred: whether fields are those
    of the first rows beside those named.
    """

    name: str
    embed: str | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    engine: str | None = None
    embedder: str | None = None
    index: Mapping[str, Any] = field(default_factory=dict)
    vector_field: str | None = None
    vectors_by: str | None = None
    inferred: bool = True


@dataclass(frozen=True, slots=True)
class Arrival:
    """An import about to begin. rows: the first ones, as they came. bare: the same without vectors.

    id_field: None derives ids from the content.
    """

    spec: CollectionSpec
    use: VectorUse
    rows: Sequence[SourceRow]
    bare: Sequence[SourceRow]
    id_field: str | None
    vector_field: str


def arrival(
    wish: Wish,
    told: Told,
    rows: Sequence[SourceRow],
    *,
    existing: CollectionSpec | None,
    id_field: str | None,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Arrival:
    """Decide all that can be decided before a collection is made.

    rows: the first that could be read. existing: the collection's settings, where it exists. id_field: as asked for.
    defaults: see `Backend.with_defaults`.
    Raises InvalidRequest, InvalidSchema, InvalidFile, DimensionMismatch.
    """
    use, field_ = vector_use(wish, told, existing), wish.vector_field or VECTOR
    bare = rows
    if use is not VectorUse.NONE:
        bare = [SourceRow(row.line, without_vector(row.body, field_), row.textual) for row in rows]
    id_field = _id_field(bare, id_field, told)
    dimension = told.dimension
    if dimension is None and use is not VectorUse.NONE:
        dimension = dimension_of([vector_in(row.body, field_) for row in rows])
    spec = existing
    if spec is None:
        full = completed(wish, told, use, dimension=dimension)
        spec = inferred_spec(full, bare, id_field=id_field, defaults=defaults)
    if use is VectorUse.KEEP:
        check_dimension(dimension, spec)
    return Arrival(spec, use, rows, bare, id_field, field_)


async def check_adopted(arrival: Arrival, embedder: Embedder) -> float:
    """Have some of the first texts embedded, and compare; the least cosine. Raises as `check_made_by`."""
    brought = [
        SourceRow(row.line, {**row.body, VECTOR: vector_in(row.body, arrival.vector_field)}, row.textual)
        for row in arrival.rows
    ]
    made = await asyncio.to_thread(MadeElsewhere(embedder, arrival.spec.embed).of, brought)
    return await check_made_by(embedder, made)


def _id_field(rows: Sequence[SourceRow], asked: str | None, told: Told) -> str | None:
    """The field asked for or told, else `id` where rows have one, else None.

    Raises InvalidRequest for one no row has.
    """
    seen = dict.fromkeys(name for row in rows for name in row.body)
    if asked is None:
        return told.id_field or (DEFAULT_ID if DEFAULT_ID in seen else None)
    if rows and asked not in seen:
        raise InvalidRequest(f"--id {asked}: no such field in the first rows, which have {', '.join(seen)}", field="id")
    return asked


def vector_use(wish: Wish, told: Told, spec: CollectionSpec | None) -> VectorUse:
    """What becomes of the vectors. spec: of the collection, where it exists.

    They are kept as they are, unless a model that made them is named, or one that is to embed the texts anew.
    Raises InvalidRequest where what is said contradicts itself or the collection.
    """
    brings = told.dimension is not None or wish.vector_field is not None
    if not brings and wish.vectors_by is None:
        return VectorUse.NONE
    if not brings:
        raise InvalidRequest(
            f"vectors by {wish.vectors_by} are to be taken, and the rows bring none that is known; "
            "name the field they are in with --vector-field",
            field="vectors_by",
        )
    embedder = wish.embedder if spec is None else spec.embedder
    if wish.vectors_by is not None:
        if embedder not in (None, wish.vectors_by):
            raise InvalidRequest(
                f"the vectors were made by {wish.vectors_by} and the collection's embedder is {embedder}; "
                "they do not compare",
                field="vectors_by",
            )
        return VectorUse.ADOPT
    if embedder is None:
        by_us = told.dimension is not None and wish.vector_field is None and told.embed is not None
        return VectorUse.DROP if by_us else VectorUse.KEEP
    return VectorUse.KEEP if embedder.startswith(GIVEN_VECTORS) else VectorUse.DROP


def check_dimension(dimension: int | None, spec: CollectionSpec) -> None:
    """Raise DimensionMismatch, before any row is stored, where brought vectors do not fit a collection."""
    wanted = int(spec.embedder.removeprefix(GIVEN_VECTORS)) if spec.brings_vectors else None
    if wanted is not None and dimension is not None and dimension != wanted:
        raise DimensionMismatch(
            f"the rows bring vectors of {dimension} components; those of collection {spec.name} have {wanted}",
            field="embedder",
        )


def completed(wish: Wish, told: Told, use: VectorUse, *, dimension: int | None) -> Wish:
    """The wish for a new collection, with what the source tells where it is silent.

    dimension: of the vectors, where it is known. Raises InvalidRequest where it is needed and is not.
    """
    index, embedder = dict(wish.index), wish.embedder
    if use is VectorUse.KEEP:
        if embedder is None and dimension is None:
            raise InvalidRequest(
                f"no row has a vector in field {wish.vector_field!r}; name the field they are in", field="vector_field"
            )
        embedder = embedder or f"{GIVEN_VECTORS}{dimension}"
        if "metric" not in index and told.metric is not None:
            index["metric"] = told.metric.value
    elif use is VectorUse.ADOPT:
        embedder = wish.vectors_by
    fields = {**told.fields, **wish.fields}
    return replace(
        wish,
        embed=wish.embed or told.embed,
        fields=fields,
        embedder=embedder,
        index=index,
        inferred=told.embed is None,
    )


def dimension_of(vectors: Sequence[Any]) -> int | None:
    """Components of the first that is a list of numbers."""
    return next((len(one) for one in vectors if isinstance(one, list | tuple | np.ndarray)), None)


def inferred_spec(
    wish: Wish,
    rows: Sequence[SourceRow],
    *,
    id_field: str | None,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> CollectionSpec:
    """A collection from what is wished, and from the rows, without their vectors, where the wish is silent.

    defaults: completes a collection's JSON body; see `Backend.with_defaults`.
    Raises InvalidFile when there is no row to infer from, InvalidSchema.
    """
    bodies, textual = [row.body for row in rows], any(row.textual for row in rows)
    if not rows:
        raise InvalidFile("no row could be read, so no collection was made; the files hold no rows, or none is valid")
    fields = {**(infer_fields(bodies, textual, id_field=id_field) if wish.inferred else {}), **wish.fields}
    embed = wish.embed or _template(wish, fields, bodies, id_field)
    said = {"engine": wish.engine, "embedder": wish.embedder, "index": dict(wish.index) or None}
    given = defaults({key: value for key, value in said.items() if value is not None})
    spec = spec_from_json(wish.name, {**given, "embed": embed, "fields": fields})
    return _with_columns(spec, bodies) if wish.inferred else spec


def _template(
    wish: Wish, fields: Mapping[str, FieldType], bodies: Sequence[Mapping[str, Any]], id_field: str | None
) -> str:
    try:
        return infer_template(fields, bodies, id_field=id_field)
    except InvalidSchema:
        if id_field is None or not (wish.embedder or "").startswith(GIVEN_VECTORS):
            raise
        return f"{{{id_field}}}"  # nothing is embedded, and nothing else can be searched by words


def _with_columns(spec: CollectionSpec, bodies: Sequence[Mapping[str, Any]]) -> CollectionSpec:
    """The spec itself, once every name in it was seen in the rows. Raises InvalidSchema."""
    seen = dict.fromkeys(name for body in bodies for name in body)
    for name in spec.embed.fields:
        if name not in seen:
            raise InvalidSchema(
                f"embed template {spec.embed.source!r} names {name!r}, which no row has; rows have {', '.join(seen)}",
                field="embed",
            )
    return spec
