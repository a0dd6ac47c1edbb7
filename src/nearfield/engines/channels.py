"""How gRPC connections to the servers of engines are made, whichever the engine."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

RECONNECTING: Final = (
    # a server that is back is found again within a second, not within gRPC's two minutes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
"""Options of every channel."""


def authorities() -> bytes | None:
    """The certificates of authorities that OpenSSL trusts here, SSL_CERT_FILE first, as PEM.

    gRPC alone asks neither. None where there is no such file: gRPC then goes by those it brings along.
    """
    file = ssl.get_default_verify_paths().cafile
    return None if file is None else Path(file).read_bytes()
