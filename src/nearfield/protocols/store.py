"""The seam to the truth: documents, the change log, cached vectors, collections and generations, in SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nearfield.domain.schema import SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearfield.domain.collections import Collection, Generation, GenerationState
    from nearfield.domain.documents import Change, Document, Float32Array, StoredDocument, WriteReceipt
    from nearfield.domain.events import Event, Impression, QueryReport
    from nearfield.domain.judgments import Judgment, JudgmentSource
    from nearfield.domain.rules import Rules, RulesVersion
    from nearfield.domain.schema import CollectionSpec, IndexSettings


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What a generation is made of; its number and watermark (0) are the store's to give. See `Generation`."""

    engine: str
    index: IndexSettings
    fingerprint: str
    dimension: int
    embedder: str
    search: SearchSettings = field(default_factory=SearchSettings)
    unattended: bool = False


class Store(Protocol):
    """All calls are async and leave the event loop free. Writes are grouped into common transactions; each is durable
    (fsynced) when its call returns, whole or not at all. Raises StoreUnavailable or DiskFull from any call."""

    # -- collections ---------------------------------------------------------------------------------------------
    async def create_collection(self, spec: CollectionSpec) -> Collection:
        """Make a collection. One of that name with an equal spec is returned as it is; another raises
        CollectionConflict."""
        ...

    async def collection(self, name: str) -> Collection:
        """Raises CollectionNotFound, whose message names the collections that exist."""
        ...

    async def collections(self) -> list[Collection]:
        """In order of name."""
        ...

    async def respec(self, collection: Collection, change: Callable[[CollectionSpec], CollectionSpec]) -> Collection:
        """Put `change(the spec as it is now)` in the spec's place, in one transaction; the collection as it is then.

        change: runs on the writer's thread; what it raises is raised here, and nothing is changed. It may differ from
        the spec it is given in what `CHANGEABLE` names, and in nothing else. Raises CollectionNotFound.
        """
        ...

    async def drop_collection(self, collection: Collection) -> None:
        """Remove it with its documents, changes, generations and brought vectors. Cached vectors of texts stay."""
        ...

    # -- documents -----------------------------------------------------------------------------------------------
    async def upsert(self, collection: Collection, documents: Sequence[Document]) -> WriteReceipt:
        """Insert or replace by id; unchanged documents (equal hash) write nothing. An id given twice: the last wins,
        and the earlier ones count as unchanged. Brought vectors are kept as float32 under `brought(collection)`."""
        ...

    async def patch(
        self, collection: Collection, id: str, change: Callable[[StoredDocument], Document]
    ) -> WriteReceipt:
        """Replace one document by what `change` makes of it, in one transaction, so that no concurrent write is lost.
        `change` runs on the writer's thread, may raise a CallerError, and must be quick. Raises DocumentNotFound."""
        ...

    async def delete(self, collection: Collection, ids: Sequence[str]) -> WriteReceipt:
        """Delete by id; ids that are not there are passed over (`deleted` counts those that were)."""
        ...

    async def delete_where(self, collection: Collection, keep: Callable[[StoredDocument], bool]) -> WriteReceipt:
        """Delete every document for which `keep` is false, in pages, each page one transaction."""
        ...

    async def by_id(self, collection: Collection, ids: Sequence[str]) -> dict[str, StoredDocument]:
        """Those that exist."""
        ...

    async def by_key(self, collection: Collection, keys: Sequence[int]) -> dict[int, StoredDocument]:
        """Those that exist, by document key; one SQL statement per 500 keys."""
        ...

    async def scan(self, collection: Collection, *, after_key: int = 0, limit: int = 1000) -> list[StoredDocument]:
        """A page in order of key, keys above `after_key`; an empty list is the end."""
        ...

    async def count(self, collection: Collection) -> int: ...

    # -- change log ----------------------------------------------------------------------------------------------
    async def changes(self, collection: Collection, *, after: int, limit: int) -> list[Change]:
        """The next changes in order of seq, seq above `after`, at most `limit`."""
        ...

    async def last_seq(self, collection: Collection) -> int:
        """The collection's latest seq; 0 when nothing was ever written."""
        ...

    async def pending(self, collection: Collection, *, after: int) -> int:
        """Changes with seq above `after`."""
        ...

    async def compact_log(self, collection: Collection, up_to: int) -> int:
        """Remove changes up to `up_to` that nobody needs: those followed by a later change of the same document, and
        deletes every generation has applied. Each document's last change stays, so that watermark 0 still finds
        everything. Returns how many were removed."""
        ...

    async def sweep_vectors(self, collection: Collection) -> int:
        """Remove brought vectors no document refers to any more; how many. Nothing while a generation lags."""
        ...

    # -- vectors -------------------------------------------------------------------------------------------------
    async def vectors(self, fingerprint: str, hashes: Sequence[bytes]) -> dict[bytes, Float32Array]:
        """The cached ones, float32, shape (dimension,), by hash."""
        ...

    async def put_vectors(self, fingerprint: str, hashes: Sequence[bytes], vectors: Float32Array) -> None:
        """Keep vectors (n, dimension) as float16; a hash that is there already is passed over."""
        ...

    # -- generations ---------------------------------------------------------------------------------------------
    async def create_generation(self, collection: Collection, new: NewGeneration) -> Generation:
        """State `building`, watermark 0, number one above the highest ever used in the collection."""
        ...

    async def generations(self, collection: Collection) -> list[Generation]:
        """In order of number."""
        ...

    async def set_state(self, generation: Generation, state: GenerationState) -> Generation:
        """Setting `live` retires the one that was live, in the same transaction."""
        ...

    async def switch(self, generation: Generation) -> Collection:
        """Make a generation the live one, retire the one that was, and have the collection's spec say what is live, in
        one transaction; the collection as it is then. Raises IndexMissing, CollectionNotFound."""
        ...

    async def put_report(self, generation: Generation, report: str) -> None:
        """Keep what a verification found, as JSON, in place of the one before. Raises IndexMissing."""
        ...

    async def report(self, generation: Generation) -> str | None:
        """What the last verification found; None where there was none."""
        ...

    async def set_watermark(
        self, generation: Generation, applied_seq: int, *, spans: Mapping[int, int] | None = None
    ) -> None:
        """Record that all changes up to `applied_seq` are durable in the engine, and with it `spans`."""
        ...

    async def drop_generation(self, generation: Generation) -> None: ...

    async def spans(self, generation: Generation, document_keys: Sequence[int]) -> dict[int, int]:
        """How many passages of a document the engine may hold, for documents with more than one; others are absent."""
        ...

    async def put_spans(self, generation: Generation, spans: Mapping[int, int]) -> None:
        """Record passage counts before the engine is written, so that a crash leaves no passage unaccounted for.
        A count of 0 or 1 removes the record."""
        ...

    # -- judgments and events ------------------------------------------------------------------------------------
    async def judgments(self, collection: Collection) -> list[Judgment]:
        """All of them, in order of query, then document."""
        ...

    async def put_judgments(self, collection: Collection, judgments: Sequence[Judgment]) -> int:
        """Add or replace by query, document and source; how many."""
        ...

    async def replace_judgments(
        self, collection: Collection, source: JudgmentSource, judgments: Sequence[Judgment]
    ) -> int:
        """Put these in place of all of one source, in one transaction; how many."""
        ...

    async def remove_judgments(
        self, collection: Collection, *, query: str | None = None, source: JudgmentSource | None = None
    ) -> int:
        """Remove those of one query, one source, both, or all; how many."""
        ...

    async def put_impressions(self, collection_id: int, shown: Sequence[Impression]) -> None:
        """Keep what searches showed; passed over for a collection dropped meanwhile."""
        ...

    async def put_events(self, collection: Collection, done: Sequence[Event]) -> int:
        """Keep what people did; how many of them name a search whose impression is not there."""
        ...

    async def impressions(
        self, collection: Collection, *, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, Impression]]:
        """A page in the order kept, with numbers that rise, numbers above `after`; an empty list is the end."""
        ...

    async def events(self, collection: Collection, search_ids: Sequence[str]) -> list[Event]:
        """What people did with these searches."""
        ...

    async def report_queries(self, collection: Collection, *, below: int, limit: int) -> list[QueryReport]:
        """Queries that found fewer than `below` documents in all, at least once; the most searched first."""
        ...

    async def forget_events(self, collection: Collection, *, before: int) -> int:
        """Remove impressions and events from before a time (milliseconds since 1970); how many."""
        ...

    # -- rules ---------------------------------------------------------------------------------------------------
    async def rules(self, collection: Collection, version: int | None = None) -> RulesVersion:
        """The latest rules, or one version; version 0 with empty rules where there is none."""
        ...

    async def rules_history(self, collection: Collection) -> list[RulesVersion]:
        """The versions kept, latest first."""
        ...

    async def put_rules(
        self, collection: Collection, rules: Rules, *, restored_from: int | None = None, keep: int
    ) -> RulesVersion:
        """Put rules in place of all there were, as the next version. keep: versions kept, this one included; older ones
        are removed. Raises CollectionNotFound when the collection was dropped."""
        ...

    # -- lifetime ------------------------------------------------------------------------------------------------
    async def ping(self) -> None:
        """Raises StoreUnavailable unless the database answers."""
        ...

    async def close(self) -> None:
        """Finish the writes accepted, then close. Idempotent."""
        ...


def brought(collection: Collection) -> str:
    """The fingerprint under which a collection's brought vectors are kept."""
    return f"brought:{collection.id}"
