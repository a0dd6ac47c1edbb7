"""A collection of Chroma, in a folder or on a server, as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from nearfield.domain.errors import EngineUnavailable, InvalidFile, InvalidRequest, MissingDependency
from nearfield.domain.schema import Metric
from nearfield.protocols.source import Told
from nearfield.sources.store_rows import PAGE, StoreRow
from nearfield.sources.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_METRICS: Final = {"l2": Metric.EUCLIDEAN, "cosine": Metric.COSINE, "ip": Metric.DOT}
_PARTS: Final = ["embeddings", "metadatas", "documents"]


class ChromaCollection(Protocol):
    """What both ways to a collection do. Blocks."""

    def open(self) -> Mapping[str, Any]:
        """Its configuration. Raises EngineUnavailable, InvalidRequest."""
        ...

    def count(self) -> int: ...

    def get(self, *, limit: int, offset: int) -> Mapping[str, Any]:
        """A page: lists under `ids` and each of _PARTS, some of them None."""
        ...


class ChromaReader:
    """See `StoreReader`. Documents are the rows' texts."""

    def __init__(self, name: str, collection: ChromaCollection) -> None:
        self.name, self._collection = name, collection

    def told(self) -> Told:
        configuration = self._collection.open()
        index = configuration.get("hnsw") or configuration.get("spann") or {}
        first = next((row for row in self._page(0, 1) if row.vector is not None), None)
        return Told(None if first is None or first.vector is None else len(first.vector), _METRICS.get(index["space"]))

    def total(self) -> int:
        return self._collection.count()

    def pages(self) -> Iterator[Sequence[StoreRow]]:
        offset = 0
        while page := self._page(offset, PAGE):
            yield page
            offset += len(page)

    def _page(self, offset: int, limit: int) -> list[StoreRow]:
        found = self._collection.get(limit=limit, offset=offset)
        ids: Sequence[str] = found["ids"]
        vectors, metadatas, texts = (_column(found, part, len(ids)) for part in _PARTS)
        return [
            StoreRow(name, metadata or {}, None if vector is None else np.asarray(vector, np.float32), text)
            for name, metadata, vector, text in zip(ids, metadatas, vectors, texts, strict=True)
        ]


class FolderCollection:
    """A collection in a folder, through Chroma's own client, which brings an older folder to its own version."""

    def __init__(self, folder: Path, collection: str) -> None:
        if not (folder / "chroma.sqlite3").is_file():
            raise InvalidFile(f"{folder} is no folder of Chroma: it holds no chroma.sqlite3; check the path")
        self._folder, self._name = folder, collection
        self._collection: Any = None

    def open(self) -> Mapping[str, Any]:
        try:
            import chromadb  # noqa: PLC0415 - loaded when first needed
            import chromadb.config  # noqa: PLC0415
            import chromadb.errors  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency(
                "reading a folder of Chroma needs chromadb: pip install 'nearfield[chroma]'"
            ) from exc
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        try:
            client = chromadb.PersistentClient(str(self._folder), settings=settings)
            self._collection = client.get_collection(self._name, embedding_function=None)
        except chromadb.errors.NotFoundError as exc:
            raise _no_collection(self._name, [one.name for one in client.list_collections()]) from exc
        except Exception as exc:  # whatever the vendor's code meets in somebody's folder
            raise InvalidFile(f"Chroma cannot open {self._folder}: {str(exc)[:200]}") from exc
        return dict(self._collection.configuration_json)

    def count(self) -> int:
        return int(self._collection.count())

    def get(self, *, limit: int, offset: int) -> Mapping[str, Any]:
        try:
            return dict(self._collection.get(limit=limit, offset=offset, include=_PARTS))
        except Exception as exc:
            raise InvalidFile(f"Chroma cannot read {self._folder} from row {offset}: {str(exc)[:200]}") from exc


class ServerCollection:
    """A collection on a server, by its REST interface, version 2."""

    def __init__(self, url: str, collection: str, *, tenant: str, database: str, key: str | None) -> None:
        headers = {"x-chroma-token": key, "Authorization": f"Bearer {key}"} if key else {}
        self._web = Web("chroma", f"{url}/api/v2/tenants/{tenant}/databases/{database}/collections", headers)
        self._name, self._id = collection, ""

    def open(self) -> Mapping[str, Any]:
        there = self._web.get(f"/{self._name}", absent=True)
        if there is None:
            raise _no_collection(self._name, [str(one["name"]) for one in self._web.get("") or ()])
        self._id = str(there["id"])
        return dict(there["configuration_json"])

    def count(self) -> int:
        return int(self._web.get(f"/{self._id}/count"))

    def get(self, *, limit: int, offset: int) -> Mapping[str, Any]:
        found = self._web.post(f"/{self._id}/get", {"limit": limit, "offset": offset, "include": _PARTS})
        if not isinstance(found, dict) or "ids" not in found:
            raise EngineUnavailable("the Chroma server gave an answer that makes no sense")
        return found


def _column(found: Mapping[str, Any], part: str, count: int) -> Sequence[Any]:
    values = found.get(part)
    return [None] * count if values is None else values


def _no_collection(name: str, there: Sequence[str]) -> InvalidRequest:
    known = ", ".join(sorted(there)) or "none"
    return InvalidRequest(f"Chroma has no collection {name!r} there; it has {known}", field="collection")
