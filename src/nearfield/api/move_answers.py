"""Answers about moves: what each holds, and the functions that write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from nearfield.api.answers import STANDS_STILL
from nearfield.domain.moves_json import generation_json

if TYPE_CHECKING:
    from nearfield.domain.moves import GenerationStatus
    from nearfield.quality.shadow import ShadowCounts


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GenerationShown(_Answer):
    """state: building, ready, live, retired or dropping. pending: changes still to apply; share: of those applied.
    trouble: that it does not get on. verified: whether its last verification held, null before the first."""

    number: int
    state: str
    engine: str
    embedder: str
    index: dict[str, Any]
    search: dict[str, Any]
    dimension: int
    applied_seq: int
    pending: int
    share: float
    rows: int | None
    bytes: int | None
    unindexed: int | None
    trouble: str | None
    verified: bool | None
    unattended: bool


class GenerationsAnswer(_Answer):
    """In order of number."""

    generations: list[GenerationShown]


class ShadowShown(_Answer):
    """share: of searches tried, 0 once it ended. asked: so far; same: answered alike; overlap: mean share of documents
    both found. slower: took longer than the live one. missed: passed over, others being under way. live_ms, shadow_ms:
    means."""

    share: float
    asked: int
    same: int
    overlap: float
    failed: int
    missed: int
    slower: int
    live_ms: float
    shadow_ms: float


class GenerationWithReport(GenerationShown):
    """report: what the last verification found, null before the first. shadow: null where it was not shadowed."""

    report: dict[str, Any] | None
    shadow: ShadowShown | None


class EstimateAnswer(_Answer):
    """Measured on `sampled` passages and taken times the whole. memory_bytes: reckoned. cost: with a price only."""

    to: dict[str, Any]
    adapted: list[str]
    documents: int
    passages: int
    sampled: int
    to_embed: int
    tokens: int
    embed_s: float
    index_s: float
    seconds: float
    disk_bytes: int
    memory_bytes: int
    cost: float | None


class VerificationAnswer(_Answer):
    """passed: whether every gate held, and the generation is ready. new, old: how each answered, with the recall and
    the time of every question. overlap: of the ten documents found by both. differing: the answers least alike."""

    passed: bool
    collection: str
    at: str
    took_s: float
    queries: int
    sources: dict[str, int]
    filtered: int
    changed: int
    check: dict[str, Any]
    gates: list[dict[str, Any]]
    new: dict[str, Any]
    old: dict[str, Any] | None
    overlap: float
    short: int
    strays: int
    differing: list[dict[str, Any]]
    notes: list[str]


class LiveAnswer(_Answer):
    """The generation that is live now."""

    generation: int


def shadow_json(counts: ShadowCounts | None) -> dict[str, Any] | None:
    """A ShadowShown."""
    if counts is None:
        return None
    return {
        "share": counts.share,
        "asked": counts.asked,
        "same": counts.same,
        "overlap": round(counts.overlap, 4),
        "failed": counts.failed,
        "missed": counts.missed,
        "slower": counts.slower,
        "live_ms": round(counts.mean_live_ms, 2),
        "shadow_ms": round(counts.mean_shadow_ms, 2),
    }


def shown_json(status: GenerationStatus) -> dict[str, Any]:
    """A GenerationShown. Why it does not get on is for the log, not for the caller."""
    return generation_json(status) | {"trouble": None if status.trouble is None else STANDS_STILL}
