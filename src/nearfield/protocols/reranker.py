"""The seam to a second look at few candidates: the query and a text read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array


class Reranker(Protocol):
    """Says how well texts answer a query. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """As the user wrote it: a model's name, a folder."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same pair could get another score. Letters, digits, `-`, `.`, `:`, `_`; at most 128."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens read of a query and a text together, special tokens included. 0: no limit."""
        ...

    async def score(self, query: str, texts: Sequence[str]) -> Float32Array:
        """How well each text answers the query: float32, shape (len(texts),), in the order given, 0..1, more is better.

        A pair scores the same whatever it is scored beside, up to rounding. Never blocks the event loop.
        Raises RerankerUnavailable.
        """
        ...

    async def warm(self) -> None:
        """Load everything, so that the next `score` is at full speed. Idempotent."""
        ...

    async def close(self) -> None:
        """Free threads and memory. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model's files on disk. digest: names their bytes."""

    name: str
    folder: Path
    digest: str


@dataclass(frozen=True, slots=True)
class RerankerPlace:
    """What a reranker is opened with.

    find: the files of a model's name or folder; blocks. Raises ModelUnknown and what fetching raises.
    runtime, precision, threads: the settings of those names. cache_dir: where compiled graphs are kept.
    """

    find: Callable[[str], FoundModel]
    runtime: Literal["auto", "openvino", "onnxruntime"] = "auto"
    precision: Literal["native", "float32"] = "native"
    threads: int = 0
    cache_dir: Path | None = None


class RerankerKind(Protocol):
    """Opens rerankers of one kind. Found by its entry point in the group `nearfield.rerankers`: a request that names
    `<entry point>:<model>` has it open `<model>`."""

    def open(self, model: str, place: RerankerPlace) -> Reranker:
        """Blocks. Raises ModelUnknown, InvalidFile, MissingDependency."""
        ...


def named_kind(name: str) -> tuple[str | None, str]:
    """A reranker's name as (kind, model); kind None where the name is a model's alone.

    A letter before the colon is a drive, not a kind.
    """
    kind, colon, model = name.partition(":")
    return (kind, model) if colon and len(kind) > 1 and "/" not in kind else (None, name)
