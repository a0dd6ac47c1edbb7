"""Collections and their generations, as the store records them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nearfield.domain.schema import CollectionSpec, IndexSettings, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents and what was decided about them. `id` is the store's, never reused."""

    id: int
    spec: CollectionSpec

    @property
    def name(self) -> str:
        return self.spec.name


class GenerationState(StrEnum):
    """building: being filled beside the live one. ready: verified, may be switched to. live: the one that answers.
    retired: was live, is kept for a rollback. dropping: being removed, which the next opening finishes.

    All but the last follow the change log.
    """

    BUILDING = "building"
    READY = "ready"
    LIVE = "live"
    RETIRED = "retired"
    DROPPING = "dropping"


BESIDE = frozenset({GenerationState.BUILDING, GenerationState.READY, GenerationState.RETIRED})
"""States of generations that follow the log beside the live one."""


def beside_live(states: Mapping[int, GenerationState]) -> int | None:
    """Which generation is meant by "the one beside the live one": what is moved to, else what is kept for a rollback.

    states: by number. None where there is neither.
    """
    moved_to = [number for number, state in states.items() if state in BESIDE - {GenerationState.RETIRED}]
    kept = [number for number, state in states.items() if state is GenerationState.RETIRED]
    return max(moved_to or kept, default=None)


@dataclass(frozen=True, slots=True)
class Generation:
    """One physical index of one collection.

    number: 1, 2, 3 ... within its collection. fingerprint: of the embedder whose vectors it holds.
    applied_seq: the watermark: every change up to it is durable in the engine.
    embedder: as the user names it. search: how its rows' texts are made and searched by words.
    unattended: goes live by itself once it has caught up and holds what it must.
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
    embedder: str = ""
    search: SearchSettings = field(default_factory=SearchSettings)
    unattended: bool = False

    def shape(self, spec: CollectionSpec) -> CollectionSpec:
        """A collection's settings as they are where this generation is live."""
        return replace(spec, engine=self.engine, embedder=self.embedder, index=self.index, search=self.search)

    @property
    def index_name(self) -> str:
        """The name under which the engine keeps it: unique in a store, letters, digits and `_` only."""
        return f"c{self.collection_id}_g{self.number}"
