"""Long lists cut into pages that one statement can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

PAGE: Final = 500
"""Values in one IN list: below the limit of every database, and few lengths of statement to keep prepared."""


def pages(values: Sequence[T], size: int = PAGE) -> Iterator[Sequence[T]]:
    """The values in order, `size` at a time, the last page shorter."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
