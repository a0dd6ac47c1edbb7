"""Collections and their generations, as the store records them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.schema import CollectionSpec, IndexSettings


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents and what was decided about them. `id` is the store's, never reused."""

    id: int
    spec: CollectionSpec

    @property
    def name(self) -> str:
        return self.spec.name


class GenerationState(StrEnum):
    """building: catching up, not searched. live: the one that answers. retired: kept for rollback."""

    BUILDING = "building"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Generation:
    """One physical index of one collection.

    number: 1, 2, 3 ... within its collection. fingerprint: of the embedder whose vectors it holds.
    applied_seq: the watermark: every change up to it is durable in the engine.
    """

    id: int
    collection_id: int
    number: int
    engine: str
    index: IndexSettings
    fingerprint: str
    dimension: int
    state: GenerationState
    applied_seq: int

    @property
    def index_name(self) -> str:
        """The name under which the engine keeps it: unique in a store, letters, digits and `_` only."""
        return f"c{self.collection_id}_g{self.number}"
