"""An engine behind a door, for tests of what stands before engines: it may claim less than it could do, be shut,
hang or answer nonsense.

The engine behind is `exact`, kept in a folder; every call goes through `Calls`, as to a server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit

from nearfield.domain.errors import NearfieldError, UnsupportedByEngine
from nearfield.domain.schema import IndexKind, Metric
from nearfield.engines.calls import Calls, Fault
from nearfield.engines.exact import ExactEngine, ExactIndex
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import EngineCapabilities, check_spec, unclaimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import IndexSpec, IndexStats, VectorIndex

T = TypeVar("T")
WORDLESS = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT}),
    filters=EVERY_FILTER,
    exact=True,
    durable=True,
    max_dimension=65_536,
    remote=True,
)
"""What most engines claim that store nothing but vectors."""


@dataclass(slots=True)
class Door:
    """The state of a server. calls: what got as far as its door, by name. texts: what it was given to read."""

    state: Literal["open", "shut", "hangs", "garbage"] = "open"
    claims: EngineCapabilities = WORDLESS
    calls: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    async def through(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls[doing] += 1
        await asyncio.sleep(0)
        match self.state:
            case "shut":
                raise ConnectionRefusedError("connection refused")
            case "hangs":
                await asyncio.sleep(3600)
            case "garbage":
                raise ValueError("expected JSON, got <html>")
        return await call()


class DoorEngine:
    """One over a folder, `door`, or "on a server", `door+http://server/folder`."""

    name: ClassVar[str] = "door"
    capabilities: ClassVar[EngineCapabilities] = WORDLESS
    doors: ClassVar[dict[str, Door]] = {}
    timeout_s: ClassVar[float] = 10.0

    def __init__(self, folder: Path) -> None:
        self.door = self.doors.setdefault(str(folder), Door())
        self._inner = ExactEngine.at(folder)
        self._calls = Calls("door", _read, timeout_s=self.timeout_s, clock=_fast, pause=_no_pause)

    @classmethod
    def at(cls, folder: Path) -> Self:
        return cls(folder)

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        return cls(Path(urlsplit(address.url or "").path))

    async def create(self, spec: IndexSpec) -> VectorIndex:
        check_spec(self.name, self.capabilities, spec)
        return DoorIndex(self, await self.call("create", lambda: self._inner.create(spec)))

    async def open(self, spec: IndexSpec) -> VectorIndex:
        check_spec(self.name, self.capabilities, spec)
        return DoorIndex(self, await self.call("open", lambda: self._inner.open(spec)))

    async def drop(self, name: str) -> None:
        await self.call("drop", lambda: self._inner.drop(name))

    async def close(self) -> None:
        await self._inner.close()

    async def call(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._calls.run(doing, lambda: self.door.through(doing, call))


class DoorIndex:
    """Refuses what its door does not claim at the moment."""

    def __init__(self, engine: DoorEngine, inner: ExactIndex) -> None:
        self._engine, self._inner = engine, inner
        self._call = engine.call

    @property
    def spec(self) -> IndexSpec:
        return self._inner.spec

    @property
    def _claims(self) -> EngineCapabilities:
        return self._engine.door.claims

    def unsupported(self, where: Filter) -> bool:
        return unclaimed(self._claims, where)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        await self._call("upsert", lambda: self._inner.upsert(keys, vectors, rows, texts))
        self._engine.door.texts += texts

    async def delete(self, keys: Int64Array) -> None:
        await self._call("delete", lambda: self._inner.delete(keys))

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        self._admit(where, limit)
        if exact and not self._claims.exact:
            raise UnsupportedByEngine("no exact search", field="exact")
        if effort is not None and not self._claims.effort:
            raise UnsupportedByEngine("no effort", field="ef")
        return await self._call("nearest", lambda: self._inner.nearest(vector, limit=limit, where=where))

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        if not self._claims.lexical:
            raise UnsupportedByEngine("no lexical search", field="mode")
        self._admit(where, limit)
        return await self._call("lexical", lambda: self._inner.lexical(text, limit=limit, where=where))

    async def count(self, where: Filter | None = None) -> int:
        self._admit(where, 1)
        return await self._call("count", lambda: self._inner.count(where))

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        return await self._call("vectors", lambda: self._inner.vectors(keys))

    async def keys(self) -> AsyncIterator[Int64Array]:
        await self._call("keys", _nothing)
        async for batch in self._inner.keys():
            yield batch

    async def flush(self) -> None:
        await self._call("flush", self._inner.flush)

    async def optimize(self, *, all_cores: bool = False) -> None:
        await self._call("optimize", self._inner.optimize)

    async def stats(self) -> IndexStats:
        return await self._call("stats", self._inner.stats)

    async def close(self) -> None:
        await self._inner.close()

    def _admit(self, where: Filter | None, limit: int) -> None:
        if where is not None and self.unsupported(where):
            raise UnsupportedByEngine("a filter that is not claimed", field="filter")
        if limit > self._claims.max_hits:
            raise UnsupportedByEngine(f"{limit} hits; at most {self._claims.max_hits}", field="limit")


def _read(exc: Exception) -> Fault | NearfieldError:
    return exc if isinstance(exc, NearfieldError) else Fault(str(exc), passing=isinstance(exc, ConnectionError))


def _fast() -> float:
    """A clock on which the 5 s that a server is left alone pass in 50 ms."""
    return time.monotonic() * 100


async def _no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


async def _nothing() -> Any:
    return None
