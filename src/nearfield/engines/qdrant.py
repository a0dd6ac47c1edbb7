"""Qdrant: an index is a collection of a server.

Qdrant takes rows into its graph by itself and in its own time; those it has not yet taken in are compared one by one,
so they are found at once. An answer that a graph gave up on is asked for again, exhaustively.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar
from urllib.parse import urlsplit

from nearfield.domain.errors import IndexDamaged, IndexMissing, InvalidSetting, UnsupportedByEngine
from nearfield.engines.calls import Calls
from nearfield.engines.qdrant_faults import fault_of
from nearfield.engines.qdrant_index import MEAN, QdrantIndex
from nearfield.engines.qdrant_schema import CAPABILITIES, QdrantOptions, collection_config, payload_indexes, sdk
from nearfield.engines.qdrant_wires import connected
from nearfield.engines.qdrant_words import Words
from nearfield.engines.spec_file import compare_spec, spec_json
from nearfield.protocols.engine import EngineCapabilities, check_spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearfield.domain.addresses import EngineAddress
    from nearfield.protocols.engine import IndexSpec

T = TypeVar("T")
LAYOUT: Final = 1

_CALL_S = 10.0
_CHANGE_S = 120.0  # making a collection: nodes agree on it, and each makes its files
_NOTE = "nearfield"


class QdrantEngine:
    """Keeps one collection per index on a Qdrant server, 1.16 or newer.

    Speaks HTTP, and gRPC where the address says its port. Tested against the client's own in-memory mode, and by either
    against a server made of qdrant-edge 0.9, the engine's own code; each request and answer by HTTP is checked against
    Qdrant's published schema. Several nodes, shards and copies were not at hand: their options are passed on as the
    schema says.
    """

    name: ClassVar[str] = "qdrant"
    capabilities: ClassVar[EngineCapabilities] = CAPABILITIES

    def __init__(self, client: Callable[[], Any], options: QdrantOptions, *, prefix: str) -> None:
        """client: makes what is called as an AsyncQdrantClient is, when first needed, in the loop that will use it."""
        self._make_client, self._options, self._prefix = client, options, prefix
        self._client: Any = None
        self._calls = Calls(self.name, fault_of, timeout_s=_CALL_S)
        self._open: dict[str, QdrantIndex] = {}

    @classmethod
    def reach(cls, address: EngineAddress, *, prefix: str, key: str | None = None) -> Self:
        sdk()  # told now where it is missing
        options = QdrantOptions.read(address.options)
        if urlsplit(address.url or "").scheme not in ("http", "https"):
            raise InvalidSetting("engine qdrant: expected http:// or https:// in the URL", field="engine")
        client = partial(connected, address, grpc_port=options.grpc_port, key=key, timeout_s=int(_CHANGE_S))
        return cls(client, options, prefix=prefix)

    async def create(self, spec: IndexSpec) -> QdrantIndex:
        check_spec(self.name, self.capabilities, spec)
        if spec.name in self._open:
            await self._open.pop(spec.name).close()
        place = self._place(spec.name)
        client = self._connected()
        config = collection_config(spec) | self._options.placement()

        async def make() -> None:  # anew, since a first try may have gone through unheard
            await client.delete_collection(place)
            await client.create_collection(place, **config)

        await self._run("making an index", make)

        async def index(path: str, kind: str) -> None:
            await client.create_payload_index(place, path, sdk().models.PayloadSchemaType(kind))

        for path, kind in payload_indexes(spec.fields):
            await self._run("making an index", partial(index, path, kind))
        note = {_NOTE: spec_json(spec, layout=LAYOUT)}
        await self._run("making an index", lambda: client.update_collection(place, metadata=note))
        if _NOTE not in await self._notes(place):
            await self.drop(spec.name)
            raise UnsupportedByEngine(
                "this Qdrant server keeps no metadata of collections; engine qdrant needs 1.16 or newer", field="engine"
            )
        return self._hand_out(spec, None)

    async def open(self, spec: IndexSpec) -> QdrantIndex:
        check_spec(self.name, self.capabilities, spec)
        if spec.name in self._open:
            await self._open.pop(spec.name).close()
        place = self._place(spec.name)
        if not await self._run("opening an index", lambda: self._connected().collection_exists(place)):
            raise IndexMissing(f"no index {spec.name!r} on the Qdrant server; it has to be rebuilt from the store")
        notes = await self._notes(place)
        if _NOTE not in notes:
            raise IndexDamaged(f"index {spec.name!r} on the Qdrant server was never finished; rebuild it")
        compare_spec(notes[_NOTE], spec, layout=LAYOUT)
        mean = notes.get(MEAN)
        return self._hand_out(spec, Words(spec.language, float(mean)) if mean else None)

    async def drop(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name).close()
        await self._run("dropping an index", lambda: self._connected().delete_collection(self._place(name)))

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _place(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def _hand_out(self, spec: IndexSpec, words: Words | None) -> QdrantIndex:
        index = QdrantIndex(self._connected(), self._place(spec.name), spec, self._calls, words)
        self._open[spec.name] = index
        return index

    async def _notes(self, place: str) -> dict[str, Any]:
        info = await self._run("opening an index", lambda: self._connected().get_collection(place))
        return info.config.metadata or {}

    async def _run(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._calls.run(doing, call, timeout_s=_CHANGE_S)
