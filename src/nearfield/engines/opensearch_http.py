"""The way to an OpenSearch server: requests out, whole answers back, every failure given its meaning.

An answer that some shard is missing from is no answer: `timed_out`, a failed shard, and a bulk whose rows failed one by
one come with status 200, and are told here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from nearfield.domain.errors import DiskFull, EngineUnavailable, IndexMissing, InvalidSetting, NearfieldError
from nearfield.domain.servers import key_setting
from nearfield.engines.calls import Fault, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2

    from nearfield.engines.calls import Calls

    Guard = Callable[[Callable[[Exception], Fault | NearfieldError]], Calls]

T = TypeVar("T")
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
BULK_BYTES: Final = 5 << 20
"""Amazon's smallest machines take requests of 10 MiB."""
BULK_ROWS: Final = 1_000
BULK_TIMEOUT_S: Final = 60.0
CONNECTIONS: Final = 32

_TOO_MANY: Final = 429
_PASSING: Final = frozenset({408, _TOO_MANY, 500, 502, 503, 504})
_DISK: Final = "disk usage exceeded flood-stage"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row's part of a bulk request, lines and all."""

    key: int
    lines: bytes


class AlreadyThere(EngineUnavailable):
    """An index of that name exists."""


class _Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, kind: str, reason: str, wait_s: float | None) -> None:
        super().__init__(f"status {status}: {reason}")
        self.status, self.kind, self.reason, self.wait_s = status, kind, reason, wait_s


class Incomplete(Exception):
    """An answer with status 200 that is not the whole answer, or cannot be read."""


class Door:
    """Talks to one server. Its client is made in the loop of the first call."""

    def __init__(self, url: str, *, auth: httpx2.Auth | None, guard: Guard) -> None:
        self._url, self._auth = url, auth
        self._client: httpx2.AsyncClient | None = None
        self._calls = guard(_meaning)

    async def ask(
        self,
        doing: str,
        method: str,
        path: str,
        body: object = None,
        *,
        read: Callable[[Any], T],
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """What `read` makes of the whole answer to a request; one it fails on cannot be read, and is asked for again.

        doing: "searching", for errors. body: what orjson can write, or None.
        Raises EngineUnavailable, IndexMissing, DiskFull.
        """
        content = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)

        async def call() -> T:
            answer = _whole(await self._send(method, path, content, JSON, query))
            try:
                return read(answer)
            except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as exc:
                raise Incomplete(f"an answer that cannot be read: {type(exc).__name__}") from exc

        return await self._calls.run(doing, call, timeout_s=timeout_s)

    async def write(self, path: str, operations: Sequence[Operation]) -> None:
        """Apply operations of different rows, in parts; rows that fail for a passing reason are sent again, alone.

        Raises EngineUnavailable, telling how many rows failed and why the first did, IndexMissing, DiskFull.
        """
        for part in _parts(operations):
            left = list(part)

            async def call() -> None:
                nonlocal left  # bound before the next part begins
                content = b"".join(operation.lines for operation in left)
                answer = _whole(await self._send("POST", f"{path}/_bulk", content, NDJSON, None))
                left = _left_over(left, answer)
                if left:
                    raise Incomplete(f"{len(left)} of the rows were refused for now: {_first_reason(answer)}")

            await self._calls.run("writing rows", call, timeout_s=BULK_TIMEOUT_S)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _send(
        self, method: str, path: str, content: bytes | None, kind: str, query: Mapping[str, str] | None
    ) -> dict[str, Any]:
        headers = {"accept": JSON} if content is None else {"accept": JSON, "content-type": kind}
        response = await self._opened().request(
            method, self._url + path, content=content, headers=headers, params=dict(query) if query else None
        )
        if response.status_code >= 400:
            raise _refusal(response)
        try:
            answer = orjson.loads(response.content)
        except ValueError as exc:
            raise Incomplete("an answer that is no JSON; is there an OpenSearch server at this URL?") from exc
        if not isinstance(answer, dict):
            raise Incomplete("an answer that is no object; is there an OpenSearch server at this URL?")
        return answer

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2  # noqa: PLC0415 - loaded by those who use a server

            # `Calls` limits the time of each try as a whole
            limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
            self._client = httpx2.AsyncClient(auth=self._auth, timeout=None, limits=limits)
        return self._client


def auth_of(options: Mapping[str, str], key: str | None) -> httpx2.Auth | None:
    """How requests are to be authenticated. Raises InvalidSetting, MissingDependency."""
    if "region" in options:
        from nearfield.engines.opensearch_aws import SignedRequests  # noqa: PLC0415 - only where requests are signed

        return SignedRequests(options["region"], options.get("service", "es"), key)
    if key is None:
        return None
    user, colon, password = key.partition(":")
    if not colon:
        raise InvalidSetting("engine opensearch: the key is not user:password", field="engine")
    import httpx2  # noqa: PLC0415

    return httpx2.BasicAuth(user, password)


def _whole(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, unless a part of it is missing."""
    shards = answer.get("_shards")
    failed = shards.get("failed", 0) if isinstance(shards, dict) else 0
    if answer.get("timed_out") is True or failed:
        raise Incomplete(f"{failed or 'some'} shards gave no answer; the others' is not passed for the whole")
    return answer


def _parts(operations: Sequence[Operation]) -> list[list[Operation]]:
    parts: list[list[Operation]] = []
    size = 0
    for operation in operations:
        size += len(operation.lines)
        if not parts or size > BULK_BYTES or len(parts[-1]) == BULK_ROWS:
            parts.append([])
            size = len(operation.lines)
        parts[-1].append(operation)
    return parts


def _left_over(sent: list[Operation], answer: dict[str, Any]) -> list[Operation]:
    """The rows to send again. Raises where any failed for good, or the answer tells of other rows."""
    told = [item for entry in answer.get("items", []) for item in entry.values()]
    if [item.get("_id") for item in told] != [str(operation.key) for operation in sent]:
        raise Incomplete("an answer to a bulk that tells of other rows than were sent")
    failed = [(operation, item) for operation, item in zip(sent, told, strict=True) if "error" in item]
    lasting = [item for _, item in failed if item["status"] not in _PASSING]
    if lasting:
        first = lasting[0]
        if _DISK in str(first["error"].get("reason")):
            raise _disk_full()
        raise EngineUnavailable(
            f"engine opensearch, writing rows: {len(lasting)} of {len(sent)} failed; the first, {first['_id']}: "
            f"{_reason(first['error'])}"
        )
    return [operation for operation, _ in failed]


def _first_reason(answer: dict[str, Any]) -> str:
    items = (item for entry in answer["items"] for item in entry.values())
    return next(_reason(item["error"]) for item in items if "error" in item)


def _reason(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)[:300]
    cause = error.get("caused_by")
    text = f"{error.get('type')}: {error.get('reason')}"
    return (f"{text} ({cause.get('reason')})" if isinstance(cause, dict) else text)[:300]


def _refusal(response: httpx2.Response) -> _Refused:
    error: Any = None
    with suppress(ValueError, AttributeError):
        error = orjson.loads(response.content).get("error")
    kind = str(error.get("type")) if isinstance(error, dict) else ""
    reason = _reason(error) if error else response.reason_phrase
    return _Refused(response.status_code, kind, reason, retry_after_s(response.headers.get("retry-after")))


def _meaning(exc: Exception) -> Fault | NearfieldError:
    """What one try's exception means to those who called."""
    if isinstance(exc, Incomplete):
        return Fault(str(exc), passing=True)
    if isinstance(exc, _Refused):
        return _meaning_of_status(exc)
    import httpx2  # noqa: PLC0415

    if isinstance(exc, httpx2.TransportError):
        return Fault(f"no connection: {type(exc).__name__}", passing=True)
    if isinstance(exc, (KeyError, TypeError, AttributeError)):  # an answer that lacks what every answer has
        return Fault(f"an answer that cannot be read: {type(exc).__name__}", passing=True)
    return Fault(f"{type(exc).__name__}", passing=False)


def _meaning_of_status(refused: _Refused) -> Fault | NearfieldError:
    if refused.kind == "index_not_found_exception":
        return IndexMissing("the index is not on the server; it has to be rebuilt from the store")
    if refused.kind == "resource_already_exists_exception":
        return AlreadyThere("engine opensearch: an index of that name exists")
    if refused.kind == "cluster_block_exception" and _DISK in refused.reason:
        return _disk_full()
    if refused.status in {401, 403}:
        return Fault(
            f"the server refused the key (status {refused.status}); give one that may read and write the indexes, "
            f"as {key_setting('opensearch', 'user:password')}",
            passing=False,
        )
    return Fault(str(refused), passing=refused.status in _PASSING, wait_s=refused.wait_s)


def _disk_full() -> DiskFull:
    return DiskFull("the disk of the OpenSearch server is full; free some space there and try again")
