"""The seam between search and indexing: the live generation of a collection, open and answering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nearfield.domain.collections import Collection, Generation
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import EngineCapabilities, VectorIndex


class LiveIndex(Protocol):
    """What a search needs of a generation."""

    @property
    def generation(self) -> Generation: ...

    @property
    def index(self) -> VectorIndex: ...

    @property
    def capabilities(self) -> EngineCapabilities: ...

    @property
    def embedder(self) -> Embedder: ...

    @property
    def applied_seq(self) -> int:
        """Changes up to here are visible to searches now (durable or not)."""
        ...

    @property
    def latest_seq(self) -> int:
        """The newest change heard of; above `applied_seq` while the index lags behind the store."""
        ...

    @property
    def mended(self) -> int:
        """How often rows were put right outside the log: what it finds may be other then at the same `applied_seq`."""
        ...

    @property
    def closed(self) -> bool:
        """No search can use it any more. One that is no longer live is closed only once nobody may be using it."""
        ...

    async def wait_for(self, seq: int, *, timeout_s: float) -> None:
        """Return once `applied_seq >= seq`. Raises IndexLagging after `timeout_s`."""
        ...


class LiveIndexes(Protocol):
    """Hands out live generations, opening them when first asked."""

    async def live(self, collection: Collection) -> LiveIndex:
        """Raises EngineUnavailable, EmbedderUnavailable, ModelUnreachable when it cannot be opened."""
        ...
