"""The data objects of one collection: batches within the vendor's limits, writes that are safe to repeat and return
once they can be seen.

The vendor creates objects, or changes them, and refuses a whole batch where one of them is there, or is not. A batch is
therefore created or changed as is likelier, then the other way, then in parts, until each part is of one sort: whatever
a try whose answer was lost has done, the next finds its way.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from nearfield.domain.errors import EngineUnavailable
from nearfield.engines.http import Garbage
from nearfield.engines.vertex_rest import (
    ALREADY_EXISTS,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    OK,
    encoded,
)
from nearfield.engines.waiting import all_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.engines.vertex_filters import Data
    from nearfield.engines.vertex_rest import Reply, Rest

    Found = tuple[Int64Array, Float32Array]
    Page = tuple[list[dict[str, Any]], str]

VECTOR: Final = "vector"
"""The vector field. What is stored of a row's fields stands apart, in the data."""
KEY: Final = "row-key"
"""A column of the data: the object's id once more, since filters know the data alone."""
WRITE: Final = "row-write"
"""A column of the data: which write an object is of, so that one can be waited for. No field's name has a hyphen."""

MAX_OBJECTS: Final = 1_000
MAX_REQUEST_BYTES: Final = 2_000_000
"""The vendor names no limit; this is far below what its other services take."""
MAX_HITS: Final = 1_000
"""The most objects one answer holds."""
KNN_ROWS: Final = 100_000
"""The most objects a collection may hold for searches that compare every one."""

_WRITE_TIMEOUT_S: Final = 60.0  # of one batch
_AT_ONCE: Final = 4  # requests of one write or fetch
_NAMED: Final = 100  # ids in one filter
_DISORDER: Final = 1e-3  # how far two scores may stand the wrong way round


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored under an id. values: float32, shape (dimension,)."""

    id: str
    values: Float32Array
    data: Data


@dataclass(frozen=True, slots=True)
class _Batch:
    """Records that are written together. bodies: of each, its data and vector. mark: which write it is."""

    records: Sequence[Record]
    bodies: Sequence[bytes]
    mark: str


class Objects:
    """Reads and writes the data objects of one collection. Ids are keys in decimal digits after a letter."""

    def __init__(self, rest: Rest, collection: str, dimension: int, *, compared: bool, patience_s: float) -> None:
        """collection: its resource name. compared: whether searches compare every object, by no index.

        patience_s: how long a write may take to be seen before that is an error.
        """
        self._rest, self._name, self._compared, self._patience_s = rest, collection, compared, patience_s
        self._probe = np.zeros(dimension, np.float32)
        self._probe[0] = 1.0

    async def upsert(self, records: Sequence[Record]) -> None:
        """Write records; returns when searches see them."""
        batches = await asyncio.to_thread(_batches, records)

        async def write(batch: _Batch) -> None:
            await self._put(batch, list(range(len(batch.records))), new=True)
            await self._until_seen(batch)

        sizes = [len(batch.records) for batch in batches]
        await all_of("vertex", "writing rows", sizes, [write(batch) for batch in batches], at_once=_AT_ONCE)

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove objects, passing over those that are not there; returns when searches see them no more."""
        batches = [ids[start : start + _NAMED] for start in range(0, len(ids), _NAMED)]

        async def remove(batch: Sequence[str]) -> None:
            await self._remove(batch)
            await self._until_gone(batch)

        sizes = [len(batch) for batch in batches]
        await all_of("vertex", "deleting rows", sizes, [remove(batch) for batch in batches], at_once=_AT_ONCE)

    async def search(
        self, vector: Float32Array, hits: int, where: dict[str, Any] | None, *, compared: bool
    ) -> Found | None:
        """The nearest objects with their dot products, greatest first. compared: with every object, by no index.

        None where the collection holds too many to compare, and no index is there to search. hits: up to MAX_HITS.
        """
        asked: dict[str, Any] = {
            "searchField": VECTOR,
            "vector": {"values": vector},
            "topK": hits,
            "distanceMetric": "DOT_PRODUCT",
            "outputFields": {"dataFields": [KEY]},
        }
        if where is not None:
            asked["filter"] = where
        if compared:
            asked["searchHint"] = {"knnHint": {}}

        def read(reply: Reply) -> tuple[list[tuple[int, float]], str, str]:
            page = [(_key_of(hit["dataObject"]), float(hit["distance"])) for hit in reply.body.get("results") or []]
            return page, reply.body.get("nextPageToken") or "", reply.said

        found: list[tuple[int, float]] = []
        token = ""
        while True:
            page, after, refused = await self._rest.ask(
                "searching",
                "POST",
                f"{self._name}/dataObjects:search",
                read,
                body={"vectorSearch": asked} | ({"pageToken": token} if token else {}),
                expected={INVALID_ARGUMENT, FAILED_PRECONDITION},
            )
            if refused and await self.count(None) > KNN_ROWS:
                return None
            if refused:
                raise EngineUnavailable(f"engine vertex, searching: {refused}")
            found += page
            if not after or after == token or len(found) >= hits:
                break
            token = after
        return _ranked(found[:hits])

    async def count(self, where: dict[str, Any] | None) -> int:
        """Objects that pass."""

        def counted(reply: Reply) -> int:
            told = reply.body.get("aggregateResults") or []
            return int(told[0]["count"]) if told else 0  # nothing to count: whether that is a 0 is not written down

        body = {"aggregate": "COUNT"} | ({} if where is None else {"filter": where})
        return await self._rest.ask("counting", "POST", f"{self._name}/dataObjects:aggregate", counted, body=body)

    async def fetch(self, ids: Sequence[str]) -> dict[str, Any]:
        """The vectors stored under some ids, those that are there."""
        told = await self._named(ids, {"vectorFields": [VECTOR], "dataFields": [KEY]})
        try:
            return {_id_of(one): one["vectors"][VECTOR]["dense"]["values"] for one in told}
        except (KeyError, TypeError, ValueError) as exc:
            raise EngineUnavailable(f"engine vertex, reading vectors: it answered no vectors: {exc}") from exc

    async def ids(self) -> AsyncIterator[Int64Array]:
        """Every key, page by page."""
        async for page in self._pages(None, {"dataFields": [KEY]}):
            yield np.array([_key_of(one) for one in page], np.int64)

    # -- writes ----------------------------------------------------------------------------------------------------
    async def _put(self, batch: _Batch, places: list[int], *, new: bool) -> None:
        """Create or change some records of a batch. new: what they likely are."""
        for creating in (new, not new):
            if await self._written(batch, places, creating=creating):
                return
        if len(places) == 1:
            row = batch.records[places[0]].id
            raise EngineUnavailable(f"engine vertex, writing rows: {row} can neither be created nor changed")
        there = await self._present([batch.records[place].id for place in places])
        known = [place for place in places if batch.records[place].id in there]
        if not known or len(known) == len(places):  # what is read is behind what is written
            half = len(places) // 2
            for part in (places[:half], places[half:]):
                await self._put(batch, part, new=not known)
            return
        await self._put(batch, known, new=False)
        await self._put(batch, [place for place in places if batch.records[place].id not in there], new=True)

    async def _written(self, batch: _Batch, places: list[int], *, creating: bool) -> bool:
        """Whether records could all be created, or all be changed."""
        if creating:
            form = b'{"parent":' + orjson.dumps(self._name) + b',"dataObjectId":"%b","dataObject":{%b}}'
            verb, otherwise = "batchCreate", ALREADY_EXISTS
        else:
            head = orjson.dumps(f"{self._name}/dataObjects/")[:-1]
            form = b'{"dataObject":{"name":' + head + b'%b",%b},"updateMask":"data,vectors"}'
            verb, otherwise = "batchUpdate", NOT_FOUND
        parts = (form % (batch.records[place].id.encode(), batch.bodies[place]) for place in places)
        code = await self._rest.ask(
            "writing rows",
            "POST",
            f"{self._name}/dataObjects:{verb}",
            lambda reply: reply.code,
            body=b'{"requests":[' + b",".join(parts) + b"]}",
            expected={otherwise},
            timeout_s=_WRITE_TIMEOUT_S,
        )
        return code == OK

    async def _remove(self, ids: Sequence[str]) -> None:
        if await self._removed(ids) or len(ids) == 1:
            return
        there = await self._present(ids)
        known, rest = [one for one in ids if one in there], [one for one in ids if one not in there]
        if not known:  # or there, and what is read is behind what is written
            calls = [self._remove([one]) for one in rest]
            await all_of("vertex", "deleting rows", [1] * len(rest), calls, at_once=_AT_ONCE)
            return
        half = len(ids) // 2
        for part in (known, rest) if rest else (ids[:half], ids[half:]):
            await self._remove(part)

    async def _removed(self, ids: Sequence[str]) -> bool:
        """Whether all objects were there to be deleted."""
        code = await self._rest.ask(
            "deleting rows",
            "POST",
            f"{self._name}/dataObjects:batchDelete",
            lambda reply: reply.code,
            body={"requests": [{"name": f"{self._name}/dataObjects/{one}"} for one in ids]},
            expected={NOT_FOUND},
        )
        return code == OK

    async def _until_seen(self, batch: _Batch) -> None:
        """Wait until all of a batch is counted, and a search that is to find it does."""
        where = {WRITE: {"$eq": batch.mark}}
        rows = len(batch.records)

        async def seen() -> bool:
            if await self.count(where) < rows:
                return False
            found = await self.search(batch.records[-1].values, rows, where, compared=self._compared)
            # an index owes no more than most of them; the batch was taken as a whole
            return found is None or len(found[0]) >= (rows if self._compared else 1)

        await until("vertex", seen, "what was written is seen", patience_s=self._patience_s)

    async def _until_gone(self, ids: Sequence[str]) -> None:
        where = {KEY: {"$in": list(ids)}}

        async def gone() -> bool:
            if await self.count(where):
                return False
            found = await self.search(self._probe, len(ids), where, compared=self._compared)
            return found is None or not len(found[0])

        await until("vertex", gone, "what was deleted is gone", patience_s=self._patience_s)

    # -- reads -----------------------------------------------------------------------------------------------------
    async def _present(self, ids: Sequence[str]) -> set[str]:
        """Which of some ids are there, as far as is seen yet."""
        return {_id_of(one) for one in await self._named(ids, {"dataFields": [KEY]})}

    async def _named(self, ids: Sequence[str], fields: dict[str, Any]) -> list[dict[str, Any]]:
        """The objects of some ids, those that are there. fields: what is told of them."""
        batches = [ids[start : start + _NAMED] for start in range(0, len(ids), _NAMED)]

        async def read(batch: Sequence[str]) -> list[dict[str, Any]]:
            where = {KEY: {"$in": list(batch)}}
            return [one async for page in self._pages(where, fields) for one in page]

        sizes = [len(batch) for batch in batches]
        parts = await all_of("vertex", "reading rows", sizes, [read(batch) for batch in batches], at_once=_AT_ONCE)
        return [one for part in parts for one in part]

    async def _pages(self, where: dict[str, Any] | None, fields: dict[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
        token = ""

        def read(reply: Reply) -> Page:
            told, after = list(reply.body.get("dataObjects") or []), reply.body.get("nextPageToken") or ""
            if after and after == token:
                raise Garbage("a page that is followed by itself")
            for one in told:
                _key_of(one)
            return told, after

        while True:
            body: dict[str, Any] = {"outputFields": fields, "pageSize": MAX_HITS}
            body |= ({} if where is None else {"filter": where}) | ({"pageToken": token} if token else {})
            page, token = await self._rest.ask(
                "listing rows", "POST", f"{self._name}/dataObjects:query", read, body=body
            )
            yield page
            if not token:
                return


def _batches(records: Sequence[Record]) -> list[_Batch]:
    """Records in batches that stay within the limits."""
    batches: list[_Batch] = []
    start, size, bodies = 0, 0, list[bytes]()
    mark = secrets.token_hex(8)
    for place, record in enumerate(records):
        body = _coded(record, mark)
        if bodies and (len(bodies) == MAX_OBJECTS or size + len(body) > MAX_REQUEST_BYTES):
            batches.append(_Batch(records[start:place], bodies, mark))
            start, size, bodies, mark = place, 0, [], secrets.token_hex(8)
            body = _coded(record, mark)
        bodies.append(body)
        size += len(body) + 300  # the names around it
    if bodies:
        batches.append(_Batch(records[start:], bodies, mark))
    return batches


def _coded(record: Record, mark: str) -> bytes:
    """The data and the vector of an object, without the braces around them."""
    data = {**record.data, KEY: record.id, WRITE: mark}
    return encoded({"data": data, "vectors": {VECTOR: {"dense": {"values": record.values}}}})[1:-1]


def id_of(key: int) -> str:
    """The id of a key's object: ids begin with a letter."""
    return f"k{key}"


def _id_of(told: dict[str, Any]) -> str:
    name = told.get("name") or told.get("dataObjectId") or told["data"][KEY]
    return str(name).rpartition("/")[2]


def _key_of(told: dict[str, Any]) -> int:
    one = _id_of(told)
    if not one.startswith("k"):
        raise ValueError(f"an object called {one!r}")
    return int(one[1:])


def _ranked(found: list[tuple[int, float]]) -> Found:
    """What was found, as arrays. Raises EngineUnavailable where the best does not come first."""
    keys = np.fromiter((key for key, _ in found), np.int64, len(found))
    scores = np.fromiter((score for _, score in found), np.float32, len(found))
    if len(scores) and scores[0] < scores[-1] - _DISORDER:
        raise EngineUnavailable("engine vertex, searching: its answer begins with the farthest; expected the nearest")
    return keys, scores
