"""What a search really did, told in every answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.fusion import FusionMethod


class Mode(StrEnum):
    """hybrid: meaning and words together. semantic: meaning alone. lexical: words alone (BM25)."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    LEXICAL = "lexical"


class Access(StrEnum):
    """How the vectors were searched.

    ann: the engine's approximate index, filter inside it. exact: every vector that passes the filter was compared.
    overfetch: the engine could not say a part of the filter; more candidates were asked for and checked on the store.
    scan: the filter was decided on the store's documents, and the vectors of those that pass were compared.
    none: no vector was searched.
    """

    ANN = "ann"
    EXACT = "exact"
    OVERFETCH = "overfetch"
    SCAN = "scan"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Correction:
    """word: of the query, folded. meant: the known word it was taken for."""

    word: str
    meant: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The truth about one search.

    mode: None for a listing, which asks nothing.
    generation: number of the generation that answered. applied_seq: the last change it had applied.
    waited_for: changes the search waited for before it started.
    effort: efSearch or its like; None when exact or when the index has none.
    matches: documents that pass the filter where the plan had to count them, else None.
    filter_native, filter_residual: the parts decided by the engine and on the store, as text; None when empty.
    fusion, fusion_weight: the method that put meaning and words together and the share of meaning in it, under `auto`
    the one chosen for this query; None unless hybrid.
    notes: what was done other than asked, and why, in plain words.
    degraded: whether words alone decided since the engine did not answer, as the collection allows.
    cached: whether the answer was kept from an earlier search, whose plan this is. Nothing it rests on has changed.
    corrections: words of the query that no document holds, and the known ones that were looked for instead.
    """

    mode: Mode | None
    access: Access
    engine: str
    index: str
    embedder: str
    generation: int
    applied_seq: int
    waited_for: int = 0
    effort: int | None = None
    candidates: int = 0
    matches: int | None = None
    filter_native: str | None = None
    filter_residual: str | None = None
    notes: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    fusion: FusionMethod | None = None
    fusion_weight: float | None = None
    degraded: bool = False
    cached: bool = False
