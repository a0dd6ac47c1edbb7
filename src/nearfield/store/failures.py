"""What a database failure is called outside this room."""

from __future__ import annotations

from collections.abc import Callable

from nearfield.domain.errors import NearfieldError

Translate = Callable[[Exception], NearfieldError | None]
"""The error to raise for a database's own; None when the exception is not the database's, and goes on as it is."""
