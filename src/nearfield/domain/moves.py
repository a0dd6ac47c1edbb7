"""A move: another generation beside the live one, what it is expected to cost, how far it is, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearfield.domain.collections import Generation
    from nearfield.domain.documents import Float32Array, Int64Array, StoredDocument
    from nearfield.domain.reports import CheckReport
    from nearfield.domain.schema import CollectionSpec


@dataclass(frozen=True, slots=True)
class Estimate:
    """What filling a generation is expected to cost, measured on a sample and taken times the whole.

    shape: the collection's settings after the move. adapted: what was changed of the index settings to suit the engine.
    documents, passages: in all. sampled: passages the figures were measured on.
    to_embed: passages whose vector is in no cache; tokens: in their texts.
    embed_s, index_s: wall-clock seconds with the machine to itself; a live service takes its share.
    disk_bytes: as the engine tells it of the sample. memory_bytes: reckoned: vectors as they are coded, and links.
    cost: of embedding, in the currency of the price given; None where none was.
    """

    shape: CollectionSpec
    adapted: tuple[str, ...]
    documents: int
    passages: int
    sampled: int
    to_embed: int
    tokens: int
    embed_s: float
    index_s: float
    disk_bytes: int
    memory_bytes: int
    cost: float | None = None

    @property
    def seconds(self) -> float:
        """All in all."""
        return self.embed_s + self.index_s


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """One generation and how far it is.

    pending: changes it has still to apply; total: changes there are to apply from nothing. rows, bytes, unindexed:
    None where it is not open. trouble: why it does not get on. verified: whether its last
    verification held, None before one.
    """

    generation: Generation
    pending: int
    total: int
    rows: int | None = None
    bytes: int | None = None
    unindexed: int | None = None
    trouble: str | None = None
    verified: bool | None = None

    @property
    def share(self) -> float:
        """Of the changes that are applied, 0 to 1."""
        return 1 - self.pending / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class TruePage:
    """Some documents and the vectors an index must hold of them.

    vectors: float32, shape (passages, dimension). starts: int64, shape (documents,), where each document's begin.
    """

    documents: list[StoredDocument]
    starts: Int64Array
    vectors: Float32Array


@dataclass(frozen=True, slots=True)
class Gates:
    """What a verification must hold before a generation may go live.

    min_recall: mean share of the true ten nearest that are found; as much as the live one finds is enough too.
    max_ndcg_drop: on the judgments there are. max_p95_ms: of a search, None for any.
    """

    min_recall: float = 0.95
    max_ndcg_drop: float = 0.02
    max_p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: what was seen, what was demanded, and whether that held."""

    name: str
    seen: str
    demanded: str
    held: bool


@dataclass(frozen=True, slots=True)
class Side:
    """How one generation answered.

    recalls: of each query against comparing every stored vector, 0 to 1, but for those that found only what was written
    meanwhile. took_ms: of each search that was answered.
    failures: searches that raised. ndcg: nDCG@10 on the judgments, None without.
    """

    generation: int
    engine: str
    index: str
    embedder: str
    recalls: tuple[float, ...]
    took_ms: tuple[float, ...]
    failures: int
    ndcg: float | None = None

    @property
    def recall(self) -> float:
        """The mean; 1 where nothing is known."""
        return sum(self.recalls) / len(self.recalls) if self.recalls else 1.0

    def percentile_ms(self, percent: float) -> float:
        """The time within which so many percent of the searches were answered; 0 where none was."""
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A query the two answered differently. where: its filter as text. old, new: document ids, best first."""

    query: str
    where: str | None
    overlap: float
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a generation may take the place of the live one.

    check: every key and sampled vectors of the new one, against the store. sources: queries by where they come from.
    filtered: queries with a filter. old: None where the live one could not be asked.
    overlap: mean share of the ten documents found that both found. short: answers of the new one with fewer hits than
    there are. strays: hits of it that do not pass their filter. differing: the least alike first.
    changed: documents written meanwhile, which are left out of account. at: when it ended, ISO 8601, UTC.
    """

    collection: str
    check: CheckReport
    old: Side | None
    new: Side
    sources: dict[str, int]
    filtered: int
    overlap: float
    short: int
    strays: int
    changed: int
    gates: tuple[Gate, ...]
    differing: tuple[Difference, ...]
    notes: tuple[str, ...]
    at: str
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether every gate held."""
        return all(gate.held for gate in self.gates)

    @property
    def queries(self) -> int:
        """Queries asked of both."""
        return sum(self.sources.values())


@dataclass(frozen=True, slots=True)
class Moved:
    """How a move ended. already: the collection was there before. switched: the new generation is live.

    verification: None where none was made.
    """

    collection: str
    generation: int
    already: bool = False
    switched: bool = False
    verification: Verification | None = None
