"""What verbs other than search answer: writes with rejections, imports, status, checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.collections import Collection, Generation
    from nearfield.domain.documents import Rejection, WriteReceipt


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """receipt: durable. accepted: rows taken in, unchanged ones among them. rejected: the others, in order of line."""

    receipt: WriteReceipt
    accepted: int
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Told while an import runs. position and size in bytes (size None when unknown); the rest counts documents.

    stored: read and durable. pending: changes the index has still to apply. Sums over all files of the import.
    """

    position: int
    size: int | None
    stored: int
    pending: int
    reading: bool


@dataclass(frozen=True, slots=True)
class ImportReport:
    """rows = new + changed + unchanged + rejected. seconds: wall clock, embedding and indexing included.

    rejected_total may exceed len(rejected), which keeps the first 1,000; all of them are in `rejected_file`.
    """

    new: int
    changed: int
    unchanged: int
    rejected_total: int
    rejected: tuple[Rejection, ...]
    rejected_file: str | None
    seq: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """documents: in the store. pending: changes not yet in the live index. rows counts passages; bytes on disk.

    unindexed: rows that are found by comparing each, until the next upkeep. indexing_error: why the indexer stands
    still, None when it does not. engine_down: whether the engine did not answer when this was asked.
    """

    collection: Collection
    documents: int
    seq: int
    pending: int
    generation: Generation | None
    rows: int | None = None
    bytes: int | None = None
    unindexed: int | None = None
    indexing_error: str | None = None
    engine_down: bool = False


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Truth against index.

    documents, passages: what the store says there must be. rows: what the engine holds.
    missing: passages the engine lacks. surplus: rows no document accounts for. wrong: sampled vectors that differ.
    repaired: whether the index was mended (missing and surplus then tell what was found before).
    """

    collection: str
    documents: int
    passages: int
    rows: int
    missing: int
    surplus: int
    sampled: int
    wrong: int
    pending: int
    repaired: bool = False

    @property
    def clean(self) -> bool:
        """Nothing missing, nothing in surplus, no sampled vector wrong, nothing pending."""
        return not (self.missing or self.surplus or self.wrong or self.pending)
