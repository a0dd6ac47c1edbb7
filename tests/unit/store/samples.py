"""Small collections and documents, and what a store holds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearfield.domain.documents import Document, StoredDocument
from nearfield.domain.schema import CollectionSpec, IndexSettings
from nearfield.domain.templates import Template
from nearfield.protocols.store import NewGeneration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearfield.domain.collections import Collection
    from nearfield.domain.documents import Float32Array
    from nearfield.store.sql_store import SqlStore


def spec(name: str = "books", **other: Any) -> CollectionSpec:
    return CollectionSpec(name, Template("{title}"), **other)


def document(id: str, title: str = "a title", vector: Float32Array | None = None, **more: Any) -> Document:
    return Document.of(id, {"id": id, "title": title, **more}, vector)


def new_generation(fingerprint: str = "model@1", dimension: int = 4) -> NewGeneration:
    return NewGeneration("exact", IndexSettings(), fingerprint, dimension, "model")


async def everything(store: SqlStore, collection: Collection) -> dict[str, StoredDocument]:
    found: dict[str, StoredDocument] = {}
    after = 0
    while page := await store.scan(collection, after_key=after, limit=7):
        found.update((one.id, one) for one in page)
        after = page[-1].key
    return found


async def bodies(store: SqlStore, collection: Collection) -> dict[str, Mapping[str, Any]]:
    return {name: one.body for name, one in (await everything(store, collection)).items()}
