"""Nearfield: find documents by meaning. `nearfield.open()` is the door; errors are in `nearfield.domain.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nearfield.library import CollectionHandle, Database, open  # noqa: A004

__all__ = ["CollectionHandle", "Database", "__version__", "open"]


def __getattr__(name: str) -> Any:
    # the library pulls in numpy and the rest; `nearfield --help` should not
    if name in __all__:
        from nearfield import library  # noqa: PLC0415

        return getattr(library, name)
    raise AttributeError(f"module 'nearfield' has no attribute {name!r}")
