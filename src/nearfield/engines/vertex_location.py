"""Which collections of a project's location hold this installation's indexes: one each, made and deleted as they are.

A collection's id is made of the index's name alone, and its description tells which specification it was made with. So
one request finds it whatever it was made with, and no list of collections is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import IndexDamaged, IndexMissing, InvalidSetting
from nearfield.domain.schema import IndexKind
from nearfield.engines.spec_file import spec_json
from nearfield.engines.vertex_collection import KEY, VECTOR, WRITE
from nearfield.engines.vertex_filters import columns
from nearfield.engines.vertex_rest import ALREADY_EXISTS, FAILED_PRECONDITION, LONGEST_LOOK_S, NOT_FOUND
from nearfield.engines.waiting import until

if TYPE_CHECKING:
    from nearfield.engines.vertex_rest import Reply, Rest
    from nearfield.protocols.engine import IndexSpec

LAYOUT: Final = 1
"""Of the objects' data; another one is another index."""
INDEX: Final = "scann"
"""The id of the one index of a collection."""

_PLAIN: Final = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


class Location:
    """The part of a project's location that belongs to one installation."""

    def __init__(self, rest: Rest, prefix: str, *, patience_s: float) -> None:
        """patience_s: how long a thing may take to be made, or to be gone, before that is an error."""
        self._rest, self._prefix, self._patience_s = rest, prefix, patience_s

    def collection(self, name: str) -> str:
        """The resource name of an index's collection, whether or not it is there."""
        return f"{self._rest.parent}/collections/{_id(self._prefix + name)}"

    async def make(self, spec: IndexSpec) -> str:
        """An empty collection for an index, which must not exist; its ScaNN index, where it is to have one, is asked
        for but not waited for: searches do without it meanwhile. Returns its resource name."""
        doing, collection = "making a collection", self.collection(spec.name)
        texts = {KEY: {"type": "string"}, WRITE: {"type": "string"}}
        body = {
            "displayName": spec.name,
            "description": _described(spec),
            "vectorSchema": {VECTOR: {"denseVector": {"dimensions": spec.dimension}}},
            "dataSchema": {"type": "object", "properties": columns(spec.fields) | texts},
        }
        reply = await self._rest.ask(
            doing,
            "POST",
            f"{self._rest.parent}/collections",
            lambda reply: reply,
            body=body,
            params={"collectionId": collection.rpartition("/")[2], "requestId": str(uuid.uuid4())},
            expected={ALREADY_EXISTS, NOT_FOUND},
        )
        if reply.code == NOT_FOUND:
            raise InvalidSetting(f"engine vertex: there is no {self._rest.parent}: {reply.said}", field="engine")
        if reply.code != ALREADY_EXISTS:  # else a try whose answer was lost
            await self._rest.finish(doing, reply.body, patience_s=self._patience_s)

        async def there() -> bool:
            return await self._description(collection) is not None

        await until("vertex", there, f"{collection} is made", patience_s=self._patience_s)
        if spec.settings.kind is not IndexKind.FLAT:
            await self.make_index(spec.name)
        return collection

    async def make_index(self, name: str) -> None:
        """Ask for the ScaNN index of a collection; passes over one that is there or being built, and over a collection
        that cannot have one yet: it is asked for again by and by."""
        await self._rest.ask(
            "making an index",
            "POST",
            f"{self.collection(name)}/indexes",
            lambda reply: reply.code,
            body={"indexField": VECTOR, "distanceMetric": "DOT_PRODUCT", "denseScann": {"featureNormType": "NONE"}},
            params={"indexId": INDEX, "requestId": str(uuid.uuid4())},
            expected={ALREADY_EXISTS, FAILED_PRECONDITION},
        )

    async def has_index(self, name: str) -> bool:
        """Whether the ScaNN index of a collection is there."""
        path = f"{self.collection(name)}/indexes/{INDEX}"
        return (
            await self._rest.ask("describing an index", "GET", path, lambda reply: reply.code, expected={NOT_FOUND})
            != NOT_FOUND
        )

    async def find(self, spec: IndexSpec) -> str:
        """The resource name of an index's collection. Raises IndexMissing, and IndexDamaged where it was made with
        another specification."""
        collection = self.collection(spec.name)
        described = await self._description(collection)
        if described is None:
            raise IndexMissing(f"no index {spec.name!r} at Vertex; it has to be rebuilt from the store")
        if described != _described(spec):
            raise IndexDamaged(f"index {spec.name!r} was made with another specification; rebuild it")
        return collection

    async def remove(self, name: str) -> None:
        """Delete an index's collection with all that is in it; passes over one that is not there. Returns when it is
        gone."""
        doing, collection = "dropping a collection", self.collection(name)
        started: dict[str, Any] | None = None

        async def taken() -> bool:
            """Refused while its index is being built, say."""
            nonlocal started
            reply = await self._rest.ask(
                doing,
                "DELETE",
                collection,
                lambda reply: reply,
                params={"force": "true", "requestId": str(uuid.uuid4())},
                expected={NOT_FOUND, FAILED_PRECONDITION},
            )
            started = reply.body
            return reply.code != FAILED_PRECONDITION

        await until(
            "vertex", taken, f"{collection} may be deleted", patience_s=self._patience_s, longest_pause_s=LONGEST_LOOK_S
        )
        if started:
            await self._rest.finish(doing, started, patience_s=self._patience_s)

        async def gone() -> bool:
            return await self._description(collection) is None

        await until("vertex", gone, f"{collection} is gone", patience_s=self._patience_s)

    async def _description(self, collection: str) -> str | None:
        """What a collection says of itself, None where it is not there."""

        def read(reply: Reply) -> str | None:
            return None if reply.code == NOT_FOUND else str(reply.body.get("description", ""))

        return await self._rest.ask("describing a collection", "GET", collection, read, expected={NOT_FOUND})


def _described(spec: IndexSpec) -> str:
    told = json.dumps(spec_json(spec, layout=LAYOUT), sort_keys=True).encode()
    return f"An index of Nearfield, specification {hashlib.sha256(told).hexdigest()[:32]}"


def _id(name: str) -> str:
    """A collection's id, which has lower-case letters, digits and hyphens where names have `_` and any letters."""
    plain = name.replace("_", "-")
    return plain if _PLAIN.match(plain) else f"nearfield-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
