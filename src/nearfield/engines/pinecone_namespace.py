"""One Pinecone namespace: batches within the vendor's limits, and writes that return once they can be seen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import orjson

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.engines.pinecone_filters import EVERY_ROW
from nearfield.engines.pinecone_project import next_page
from nearfield.engines.pinecone_rest import Unfinished
from nearfield.engines.waiting import all_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.engines.pinecone_filters import Metadata
    from nearfield.engines.pinecone_project import Place
    from nearfield.engines.pinecone_rest import Reply, Rest

    Found = tuple[Int64Array, Float32Array]

T = TypeVar("T")

MAX_HITS: Final = 10_000
"""The most records one query gives (1,000 where it gives their vectors, which ours never do)."""
MAX_RECORDS: Final = 1_000
MAX_REQUEST_BYTES: Final = 2_000_000
MAX_METADATA_BYTES: Final = 40_960

_AT_ONCE: Final = 4  # requests of one write or fetch; a namespace takes 100 a second
_FETCHED: Final = 100  # ids in one address of a fetch: 1,000 may be asked, but some proxy cuts 24,000 characters
_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored under a key. values: float32, shape (dimension,)."""

    id: str
    values: Float32Array
    metadata: Metadata


class Namespace:
    """Reads and writes the records of one namespace. Ids are keys in decimal digits."""

    def __init__(self, rest: Rest, place: Place, dimension: int, *, patience_s: float) -> None:
        """patience_s: how long a write may take to be seen before that is an error."""
        self._rest, self._place, self._patience_s = rest, place, patience_s
        self._probe = [1.0] + [0.0] * (dimension - 1)

    async def upsert(self, records: Sequence[Record]) -> None:
        """Write records; returns when searches see them. Raises UnsupportedByEngine for too much metadata."""
        batches = await asyncio.to_thread(_batches, records, self._place.namespace)

        async def write(batch: Sequence[Record], body: bytes) -> int | None:
            def taken(reply: Reply) -> int | None:
                count = int(reply.body.get("upsertedCount", 0))
                if count < len(batch):
                    raise Unfinished(f"{len(batch) - count} of {len(batch)} rows were not taken")
                return reply.written

            return await self._ask("writing rows", "/vectors/upsert", taken, body)

        async def there() -> bool:
            stored = await self.fetch([record.id for record in records])
            return all(_same(stored.get(record.id), record) for record in records)

        sizes = [len(batch) for batch, _ in batches]
        numbers = await all_of(
            "pinecone", "writing rows", sizes, [write(batch, body) for batch, body in batches], at_once=_AT_ONCE
        )
        await self._until_seen(numbers, there)

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove records; returns when searches see them no more."""
        batches = [ids[start : start + MAX_RECORDS] for start in range(0, len(ids), MAX_RECORDS)]

        async def remove(batch: Sequence[str]) -> int | None:
            body = {"ids": batch, "namespace": self._place.namespace}
            return await self._ask("deleting rows", "/vectors/delete", lambda reply: reply.written, body)

        async def gone() -> bool:
            return not await self.fetch(ids)

        numbers = await all_of(
            "pinecone",
            "deleting rows",
            [len(batch) for batch in batches],
            [remove(batch) for batch in batches],
            at_once=_AT_ONCE,
        )
        await self._until_seen(numbers, gone)

    async def query(self, vector: Sequence[float], hits: int, where: dict[str, Any] | None) -> Found:
        """The nearest records, best first, with what Pinecone calls their score."""

        def matches(reply: Reply) -> Found:
            found = reply.body.get("matches") or []
            keys = np.fromiter((int(match["id"]) for match in found), np.int64, len(found))
            return keys, np.fromiter((match["score"] for match in found), np.float32, len(found))

        body: dict[str, Any] = {"namespace": self._place.namespace, "topK": hits, "vector": vector}
        if where is not None:
            body["filter"] = where
        return await self._ask("searching", "/query", matches, body)

    async def count(self, where: dict[str, Any] | None) -> int:
        """Records that pass. Up to MAX_HITS a query finds them; beyond, a change that is only tried counts them."""
        keys, _ = await self.query(self._probe, MAX_HITS, where)
        if len(keys) < MAX_HITS:
            return len(keys)
        body = {
            "namespace": self._place.namespace,
            "filter": where if where is not None else {EVERY_ROW: {"$eq": True}},
            "setMetadata": {EVERY_ROW: True},  # what every record holds already
            "dryRun": True,
        }
        return await self._ask("counting", "/vectors/update", lambda reply: int(reply.body["matchedRecords"]), body)

    async def fetch(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The records stored under some ids, as Pinecone tells them."""
        batches = [ids[start : start + _FETCHED] for start in range(0, len(ids), _FETCHED)]

        async def read(batch: Sequence[str]) -> dict[str, dict[str, Any]]:
            return await self._rest.ask(
                "reading vectors",
                "GET",
                "/vectors/fetch",
                lambda reply: dict(reply.body.get("vectors") or {}),
                host=self._place.host,
                params={"ids": batch, "namespace": self._place.namespace},
            )

        parts = await all_of(
            "pinecone",
            "reading vectors",
            [len(batch) for batch in batches],
            [read(batch) for batch in batches],
            at_once=_AT_ONCE,
        )
        return {key: record for part in parts for key, record in part.items()}

    async def ids(self) -> AsyncIterator[Int64Array]:
        """Every key, page by page."""
        token: str | None = None

        def page(reply: Reply) -> tuple[Int64Array, str | None]:
            listed = reply.body.get("vectors") or []
            return np.fromiter((int(item["id"]) for item in listed), np.int64, len(listed)), next_page(reply, token)

        while True:
            params = {"namespace": self._place.namespace, "limit": _LISTED}
            keys, token = await self._rest.ask(
                "listing keys",
                "GET",
                "/vectors/list",
                page,
                host=self._place.host,
                params=params | ({"paginationToken": token} if token else {}),
            )
            yield keys
            if token is None:
                return

    async def _ask(self, doing: str, path: str, read: Callable[[Reply], T], body: dict[str, Any] | bytes) -> T:
        return await self._rest.ask(doing, "POST", path, read, host=self._place.host, body=body)

    async def _until_seen(self, numbers: Sequence[int | None], there: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a query says that it read up to the last of the writes, or until what was written is `there`
        where the server does not number them."""
        known = [number for number in numbers if number is not None]
        if not numbers:
            return

        async def seen() -> bool:
            if len(known) < len(numbers):
                return await there()
            body = {"namespace": self._place.namespace, "topK": 1, "vector": self._probe}
            indexed = await self._ask("searching", "/query", lambda reply: reply.indexed, body)
            return await there() if indexed is None else indexed >= max(known)

        await until(
            "pinecone", seen, f"namespace {self._place.namespace} shows what was written", patience_s=self._patience_s
        )


def _batches(records: Sequence[Record], namespace: str) -> list[tuple[Sequence[Record], bytes]]:
    """Records in batches, each with its request."""
    head = b'{"namespace":' + orjson.dumps(namespace) + b',"vectors":['
    batches: list[tuple[Sequence[Record], bytes]] = []
    coded: list[bytes] = []
    start, size = 0, len(head)
    for place, record in enumerate(records):
        one = _coded(record)
        if coded and (len(coded) == MAX_RECORDS or size + len(one) + 3 > MAX_REQUEST_BYTES):
            batches.append((records[start:place], head + b",".join(coded) + b"]}"))
            start, coded, size = place, [], len(head)
        coded.append(one)
        size += len(one) + 1
    if coded:
        batches.append((records[start:], head + b",".join(coded) + b"]}"))
    return batches


def _coded(record: Record) -> bytes:
    bytes_held = len(orjson.dumps(record.metadata))
    if bytes_held > MAX_METADATA_BYTES:
        longest = max(record.metadata, key=lambda key: len(orjson.dumps(record.metadata[key])))
        raise UnsupportedByEngine(
            f"engine pinecone holds {MAX_METADATA_BYTES} bytes of filterable values a row; row {record.id} has "
            f"{bytes_held}, most of them in field {longest!r}: shorten it, or do not declare it",
            field=longest,
        )
    return orjson.dumps(
        {"id": record.id, "values": record.values, "metadata": record.metadata}, option=orjson.OPT_SERIALIZE_NUMPY
    )


def _same(stored: dict[str, Any] | None, record: Record) -> bool:
    if stored is None or stored.get("metadata") != record.metadata:
        return False
    return np.array_equal(np.array(stored.get("values"), np.float32), record.values)
