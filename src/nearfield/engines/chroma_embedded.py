"""Chroma in the process: its own client over a folder. The only file that knows the vendor's package."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nearfield.domain.errors import DiskFull, EngineUnavailable, IndexMissing, MissingDependency, NearfieldError
from nearfield.engines.durable import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

T = TypeVar("T")
_THREADS: Final = 8


@cache
def sdk() -> ModuleType:
    """The vendor's package. Raises MissingDependency."""
    try:
        import chromadb  # noqa: PLC0415 - loaded when first needed
        import chromadb.config  # noqa: PLC0415
        import chromadb.errors  # noqa: PLC0415

        loaded: ModuleType = chromadb
    except ImportError as exc:
        raise MissingDependency("engine chroma without a URL needs chromadb: pip install 'nearfield[chroma]'") from exc
    return loaded


class ChromaFolder:
    """One folder. Its client is made when first needed and closed with it; every call runs in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        sdk()
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, "chroma")
        self._making = threading.Lock()
        self._client: Any = None
        self._collections: dict[str, Any] = {}

    async def create(self, name: str, metadata: Mapping[str, Any], configuration: Mapping[str, Any]) -> str:
        """Make a collection; its id."""

        def make() -> str:
            found = self._open().create_collection(
                name, metadata=dict(metadata), configuration=dict(configuration), embedding_function=None
            )
            self._collections[str(found.id)] = found
            return str(found.id)

        return await self._run("making an index", make)

    async def find(self, name: str) -> tuple[str, Mapping[str, Any]]:
        """A collection's id and metadata. Raises IndexMissing."""

        def find() -> tuple[str, Mapping[str, Any]]:
            found = self._open().get_collection(name, embedding_function=None)
            self._collections[str(found.id)] = found
            return str(found.id), found.metadata or {}

        return await self._run("opening an index", find)

    async def remove(self, name: str) -> None:
        """Remove a collection. Raises IndexMissing."""
        await self._run("dropping an index", lambda: self._open().delete_collection(name))

    async def call(
        self, doing: str, collection: str, verb: str, body: Mapping[str, Any], read: Callable[[Any], T]
    ) -> T:
        """Do to a collection, by its id, what its methods of the same names do, and read the answer."""
        return await self._run(doing, lambda: read(getattr(self._collections[collection], verb)(**body)))

    async def close(self) -> None:
        def end() -> None:
            self._threads.shutdown()
            if self._client is not None:
                self._client.close()
                self._client = None

        await asyncio.to_thread(end)

    def _open(self) -> Any:
        with self._making:
            if self._client is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                settings = sdk().config.Settings(anonymized_telemetry=False)
                self._client = sdk().PersistentClient(str(self._folder), settings=settings)
            return self._client

    async def _run(self, doing: str, work: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                with disk_errors(doing):
                    return work()
            except NearfieldError:
                raise
            except sdk().errors.NotFoundError as exc:
                raise IndexMissing(f"engine chroma: {exc}; it has to be rebuilt from the store") from exc
            except Exception as exc:
                if "disk is full" in str(exc) or "No space left" in str(exc):
                    raise DiskFull(f"no space left on the disk while {doing}; free some and try again") from exc
                raise EngineUnavailable(f"Chroma failed while {doing}: {str(exc)[:200]}") from exc

        try:
            return await asyncio.wrap_future(self._threads.submit(guarded))
        except RuntimeError as exc:
            raise EngineUnavailable("engine chroma is closed") from exc
