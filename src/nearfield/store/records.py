"""Rows to nouns and back. The JSON written here is the store's own form: it is read for as long as databases live."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from nearfield.domain.collections import Collection, Generation, GenerationState
from nearfield.domain.documents import StoredDocument
from nearfield.domain.errors import InvalidDocument
from nearfield.domain.fusion_json import fusion_from_json, fusion_to_json
from nearfield.domain.schema import (
    CollectionSpec,
    Degraded,
    FieldType,
    IndexKind,
    IndexSettings,
    Metric,
    Quantization,
    SearchSettings,
)
from nearfield.domain.templates import Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def spec_text(spec: CollectionSpec) -> str:
    """A spec as JSON, without its name, which has a column."""
    return orjson.dumps(
        {
            "embed": spec.embed.source,
            "fields": {name: kind.value for name, kind in spec.fields.items()},
            "embedder": spec.embedder,
            "engine": spec.engine,
            "index": asdict(spec.index),
            "fusion": fusion_to_json(spec.fusion),
            "search": _search_json(spec.search),
            "events": spec.events,
            "degraded": spec.degraded,
        }
    ).decode()


def spec_of(name: str, text: str) -> CollectionSpec:
    """The inverse of `spec_text`."""
    stored = orjson.loads(text)
    return CollectionSpec(
        name=name,
        embed=Template(stored["embed"]),
        fields={field: FieldType(kind) for field, kind in stored["fields"].items()},
        embedder=stored["embedder"],
        engine=stored["engine"],
        index=_index_of(stored["index"]),
        fusion=fusion_from_json(stored.get("fusion", {})),
        search=search_of(stored.get("search", {})),  # older ones have none
        events=stored.get("events", False),
        degraded=None if stored.get("degraded") is None else Degraded(stored["degraded"]),
    )


def search_text(search: SearchSettings) -> str:
    """Search settings as JSON."""
    return orjson.dumps(_search_json(search)).decode()


def search_of(stored: Mapping[str, Any]) -> SearchSettings:
    """The inverse of `search_text`, on JSON already read."""
    return SearchSettings(**stored)


def _search_json(search: SearchSettings) -> dict[str, Any]:
    return {"weights": dict(search.weights), "language": search.language}


def index_text(index: IndexSettings) -> str:
    """Index settings as JSON."""
    return orjson.dumps(asdict(index)).decode()


def _index_of(stored: Mapping[str, Any]) -> IndexSettings:
    numbers = {name: value for name, value in stored.items() if name not in {"kind", "metric", "quantization"}}
    return IndexSettings(
        kind=IndexKind(stored["kind"]),
        metric=Metric(stored["metric"]),
        quantization=Quantization(stored["quantization"]),
        **numbers,
    )


def collection_of(row: Sequence[Any]) -> Collection:
    """row: id, name, spec."""
    return Collection(row[0], spec_of(row[1], row[2]))


def generation_of(row: Sequence[Any]) -> Generation:
    """row: the columns of `generations` in their order, the report left out."""
    row_id, collection_id, number, engine, settings, fingerprint, dimension, state, applied_seq, *later = row
    embedder, search, unattended = later
    return Generation(
        id=row_id,
        collection_id=collection_id,
        number=number,
        engine=engine,
        index=_index_of(orjson.loads(settings)),
        fingerprint=fingerprint,
        dimension=dimension,
        state=GenerationState(state),
        applied_seq=applied_seq,
        embedder=embedder,
        search=search_of(orjson.loads(search)),
        unattended=bool(unattended),
    )


def document_of(row: Sequence[Any]) -> StoredDocument:
    """row: key, id, content_hash, seq, vector_hash, body."""
    key, document_id, content_hash, seq, vector_hash, body = row
    return StoredDocument(key, document_id, orjson.loads(body), content_hash, seq, vector_hash)


def body_bytes(id: str, body: Mapping[str, Any]) -> bytes:
    """A body as JSON, its fields in the order sent. Raises InvalidDocument when it is not JSON."""
    try:
        return orjson.dumps(dict(body))
    except orjson.JSONEncodeError as exc:
        raise InvalidDocument(f"document {id!r} is not JSON: {exc}") from exc
