"""Who may call: API keys, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from nearfield.domain.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN: Final = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""Paths that need no key: a probe has none, and the description of the API is no secret. All others do."""


class AccessGuard:
    """ASGI middleware: when keys are set, a request outside OPEN must bring one of them.

    Keys are compared as SHA-256 digests, each with every one, in time that depends on neither.
    Raises Unauthorized.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = tuple(_digest(key) for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._digests and scope["type"] == "http" and scope["path"] not in OPEN:
            self._admit(Headers(scope=scope))
        await self._app(scope, receive, send)

    def _admit(self, headers: Headers) -> None:
        given = _presented(headers)
        if given is None:
            raise Unauthorized("no API key; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'")
        digest = _digest(given)
        known = False
        for each in self._digests:
            known |= hmac.compare_digest(each, digest)
        if not known:
            raise Unauthorized("the API key is not one of this service's")


def _presented(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
