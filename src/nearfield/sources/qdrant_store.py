"""A collection of Qdrant, on a server or in a folder of its client, as a source."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import stamina

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import EngineUnavailable, InvalidFile, InvalidRequest, InvalidVector, MissingDependency
from nearfield.domain.schema import Metric
from nearfield.domain.servers import key_setting, may_pass
from nearfield.protocols.source import Told
from nearfield.sources.store_rows import PAGE, StoreRow, lifted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nearfield.protocols.source import SourceRow

TIMEOUT_S: Final = 60
TRIES: Final = 4
_METRICS: Final = {"Cosine": Metric.COSINE, "Dot": Metric.DOT, "Euclid": Metric.EUCLIDEAN}


class QdrantReader:
    """See `StoreReader`. The payload's fields are the document's; those of the object `lift` are lifted out of it."""

    def __init__(
        self, name: str, connect: Callable[[], Any], collection: str, *, vector: str | None, lift: str | None
    ) -> None:
        """connect: makes a client. vector: which of several named ones. lift: a field of the payload, or none."""
        self.name, self._connect, self._collection = name, connect, collection
        self._vector, self._lift = vector, lift
        self._client: Any = None
        self._points: int | None = None

    def told(self) -> Told:
        if self._client is None:
            self._client = self._connect()
        try:
            return self._described()
        except BaseException:
            self._close()
            raise

    def _described(self) -> Told:
        if not self._call(lambda: self._client.collection_exists(self._collection)):
            names = [one.name for one in self._call(lambda: self._client.get_collections().collections)]
            known = ", ".join(sorted(names)) or "none"
            raise InvalidRequest(f"Qdrant has no collection {self._collection!r}; it has {known}", field="collection")
        info = self._call(lambda: self._client.get_collection(self._collection))
        self._points = info.points_count
        config = info.config.params.vectors
        if isinstance(config, dict):
            self._vector = _chosen(self._vector, sorted(config))
            config = config[self._vector]
        elif self._vector is not None:
            raise InvalidRequest("the vectors of this collection of Qdrant have no name; leave out vector=")
        if config.multivector_config is not None:
            raise InvalidRequest("points of this collection of Qdrant hold several vectors each; expected one")
        return Told(int(config.size), _METRICS.get(str(config.distance.value)))

    def total(self) -> int | None:
        return self._points

    def pages(self) -> Iterator[Sequence[StoreRow | SourceRow | Rejection]]:
        offset: Any = None
        number = 0
        while True:
            points, offset = self._call(partial(self._page, offset))
            yield [self._row(number + place, point) for place, point in enumerate(points, start=1)]
            number += len(points)
            if offset is None:
                self._close()
                return

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _page(self, offset: Any) -> Any:
        vectors = True if self._vector is None else [self._vector]
        return self._client.scroll(self._collection, limit=PAGE, offset=offset, with_payload=True, with_vectors=vectors)

    def _row(self, line: int, point: Any) -> StoreRow | Rejection:
        id = point.id if isinstance(point.id, int) else str(point.id)  # noqa: A001 - the point's own word
        given = point.vector.get(self._vector) if isinstance(point.vector, dict) else point.vector
        try:
            vector = None if given is None else np.asarray(given, np.float32)
        except (TypeError, ValueError):
            return Rejection(line, InvalidVector.code, "the point's vector is not a list of numbers", str(id))
        return StoreRow(id, lifted(point.payload or {}, self._lift), vector)

    def _call(self, call: Callable[[], Any]) -> Any:
        """What passes is tried again. Raises EngineUnavailable."""
        from qdrant_client.http.exceptions import (  # noqa: PLC0415 - it is there: the client was made
            ResponseHandlingException,
            UnexpectedResponse,
        )

        def passing(exc: Exception) -> bool:
            if isinstance(exc, UnexpectedResponse):
                return may_pass(exc.status_code or 0)
            return isinstance(exc, ResponseHandlingException)

        try:
            for attempt in stamina.retry_context(on=passing, attempts=TRIES, timeout=None, wait_max=10.0):
                with attempt:
                    return call()
        except UnexpectedResponse as exc:
            if exc.status_code in (401, 403):
                raise EngineUnavailable(
                    f"Qdrant refused the key ({exc.status_code}); give it as {key_setting('qdrant')}"
                ) from exc
            raise EngineUnavailable(f"Qdrant answered {exc.status_code}: {exc.content[:200]!r}") from exc
        except ResponseHandlingException as exc:
            raise EngineUnavailable(f"{self.name} does not answer: {exc}") from exc
        raise AssertionError


def to_server(url: str, key: str | None) -> Callable[[], Any]:
    """Makes a client of a server; it asks over HTTP."""

    def connect() -> Any:
        return _sdk().QdrantClient(
            url=url, headers={"api-key": key} if key else None, timeout=TIMEOUT_S, check_compatibility=False
        )

    return connect


def to_folder(folder: Path) -> Callable[[], Any]:
    """Makes a client of a folder that the client itself keeps points in, without a server. Raises InvalidFile."""
    if not (folder / "meta.json").is_file():
        raise InvalidFile(
            f"{folder} is no folder of Qdrant's client: it holds no meta.json; a server's folder is read by the server"
        )

    def connect() -> Any:
        try:
            return _sdk().QdrantClient(path=str(folder))
        except RuntimeError as exc:
            raise InvalidFile(f"Qdrant's client cannot open {folder}: {exc}") from exc

    return connect


def _sdk() -> Any:
    try:
        import qdrant_client  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("reading Qdrant needs qdrant-client: pip install 'nearfield[qdrant]'") from exc
    return qdrant_client


def _chosen(asked: str | None, names: Sequence[str]) -> str:
    if asked in names:
        return str(asked)
    if asked is None and len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise InvalidRequest(
        f"points of this collection of Qdrant have the vectors {known}; say which, as in vector={(*names, 'NAME')[0]}",
        field="vector",
    )
