"""The promise of a contender, and most of it for those that speak HTTP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.load import Load, Request, fire
from benchmarks.server import Server, until

Document = dict[str, Any]
LIMIT = 10
START_TIMEOUT_S = 180.0


class Contender(ABC):
    """A program that keeps listings and finds them. One at a time is started, measured and stopped.

    name: in files and on the command line. title: in tables. bulk_rows: how many documents a bulk load of a few seconds
    is. modes: what kinds of search it has, the one others are compared by first.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bulk_rows: ClassVar[int]
    modes: ClassVar[tuple[str, ...]] = ("semantic",)

    @abstractmethod
    def start(self, folder: Path) -> None:
        """Start its processes over a data folder, empty or as an earlier `stop` left it. Does not wait."""

    @abstractmethod
    def search(self, query: str, *, mode: str, max_price: float | None) -> list[str]:
        """The ids of the best LIMIT listings. Raises ConnectionError while it is not ready."""

    @abstractmethod
    def load(self, documents: Sequence[Document]) -> None:
        """Take in many documents the quickest way it offers; all are searchable when this returns."""

    @abstractmethod
    def searches(
        self, queries: Sequence[str], *, mode: str, max_price: float | None, clients: int, seconds: float
    ) -> Load:
        """Search from some clients at once for some seconds, each query at most once while they last."""

    @abstractmethod
    def writes(self, documents: Sequence[Document], *, clients: int, seconds: float) -> Load:
        """Write one document at a time from some clients at once, each document at most once while they last."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """The most memory its processes have had resident since their start, summed."""

    @abstractmethod
    def stop(self) -> None:
        """End its processes. Idempotent."""

    def begin(self) -> None:  # noqa: B027 - most need nothing
        """After `start` over a new folder: make what documents go into. Waits until it can."""

    def wait(self, query: str) -> None:
        """Wait until it answers its first search. An answer without hits is one: the folder may be empty."""
        until(lambda: self.search(query, mode=self.modes[0], max_price=None), timeout_s=START_TIMEOUT_S)


class HttpContender(Contender):
    """A contender that is one server: a subclass says how it is started and how its requests look."""

    def __init__(self) -> None:
        self.server: Server | None = None

    @abstractmethod
    def launch(self, folder: Path) -> Server:
        """The server, started."""

    @abstractmethod
    def search_request(self, query: str, *, mode: str, max_price: float | None) -> Request:
        """One search for LIMIT listings."""

    @abstractmethod
    def write_request(self, document: Document) -> Request:
        """One document written."""

    @abstractmethod
    def ids(self, answer: Any) -> list[str]:
        """The ids in a search's answer, best first."""

    @property
    def running(self) -> Server:
        if self.server is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.server

    def start(self, folder: Path) -> None:
        self.server = self.launch(folder)

    def search(self, query: str, *, mode: str, max_price: float | None) -> list[str]:
        return self.ids(self.running.ask(self.search_request(query, mode=mode, max_price=max_price)))

    def load(self, documents: Sequence[Document]) -> None:
        """One by one, for those that offer nothing else."""
        for document in documents:
            self.running.ask(self.write_request(document))

    def searches(
        self, queries: Sequence[str], *, mode: str, max_price: float | None, clients: int, seconds: float
    ) -> Load:
        requests = [self.search_request(query, mode=mode, max_price=max_price) for query in queries]
        return fire(self.running.port, requests, clients=clients, seconds=seconds)

    def writes(self, documents: Sequence[Document], *, clients: int, seconds: float) -> Load:
        requests = [self.write_request(document) for document in documents]
        return fire(self.running.port, requests, clients=clients, seconds=seconds)

    def peak_bytes(self) -> int:
        return self.running.peak_bytes()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None
