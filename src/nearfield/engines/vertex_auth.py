"""Requests to Google Cloud, each with an access token of a service account or of whatever identity the machine has."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2

from nearfield.domain.errors import InvalidSetting, MissingDependency
from nearfield.domain.servers import key_setting
from nearfield.engines.http import Garbage, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_TIMEOUT_S: Final = 10.0
"""Of one request for a token, where google-auth names no time of its own."""


class Tokens(httpx2.Auth):
    """Adds the token, and fetches another one when it is about to expire or is refused. In a thread: google-auth may
    ask a server for it."""

    def __init__(self, key: str | None) -> None:
        """key: a service account's key, as JSON or as the path of its file; None for the application default
        credentials. Nothing is asked yet. Raises MissingDependency, InvalidSetting."""
        try:
            import google.auth as google_auth  # noqa: PLC0415 - only where Google Cloud is spoken to
            from google.auth import exceptions  # noqa: PLC0415
            from google.oauth2.service_account import Credentials  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency("engine vertex needs pip install 'nearfield[vertex]'") from exc
        self._google, self._errors = google_auth, exceptions
        self._one = threading.Lock()
        self._found: Any = None
        if key is not None:
            try:
                self._found = Credentials.from_service_account_info(_account(key), scopes=[SCOPE])
            except ValueError:  # what it says may hold what it read
                raise _no_key("holds no key of a service account") from None

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncIterator[httpx2.Request]:  # type: ignore[override]
        headers = await asyncio.to_thread(self._headers, refused=None)
        request.headers.update(headers)
        answer = yield request
        if answer is not None and answer.status_code == httpx2.codes.UNAUTHORIZED:
            request.headers.update(await asyncio.to_thread(self._headers, refused=headers["authorization"]))
            yield request

    def _headers(self, *, refused: str | None) -> dict[str, str]:
        """What tells who asks, and whose quota it is where that is another project's: a token that is valid for a
        while, another one than was refused.

        Raises InvalidSetting where there are no credentials, Refused and Garbage as `HttpServer` reads them.
        """
        with self._one:  # one asks, the others wait for what it gets
            try:
                if self._found is None:
                    self._found, _ = self._google.default(scopes=[SCOPE], request=_ask)
                if not self._found.valid or f"Bearer {self._found.token}" == refused:
                    self._found.refresh(_ask)
            except self._errors.DefaultCredentialsError as exc:
                raise InvalidSetting(
                    "engine vertex: no credentials of Google Cloud are found; give the path of a service account's key "
                    f"as {key_setting('vertex', 'PATH')}, or make them the application default",
                    field="engine",
                ) from exc
            except self._errors.GoogleAuthError as exc:
                if getattr(exc, "retryable", False) or isinstance(exc, self._errors.TransportError):
                    raise Garbage(f"no access token: {exc}") from exc
                raise Refused(httpx2.codes.UNAUTHORIZED, f"no access token: {exc}", None) from exc
            headers: dict[str, str] = {}
            self._found.apply(headers)
            return headers


class _Answer:
    """What google-auth reads of an answer."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.status, self.headers, self.data = answer.status_code, answer.headers, answer.content


def _ask(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **_: object,
) -> _Answer:
    """google-auth's way to the network, which spares a second HTTP client. Raises its TransportError."""
    from google.auth.exceptions import TransportError  # noqa: PLC0415

    try:
        answer = httpx2.request(method, url, content=body, headers=headers, timeout=timeout or TOKEN_TIMEOUT_S)
    except httpx2.HTTPError as exc:
        raise TransportError(f"{type(exc).__name__}: {exc}") from exc
    return _Answer(answer)


def _account(key: str) -> dict[str, Any]:
    """A service account's key. Raises InvalidSetting, which never repeats what was given or read."""
    if not key.lstrip().startswith("{"):
        try:
            key = Path(key).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise _no_key("is no file that can be read") from None
    try:
        account = json.loads(key)
    except ValueError:
        account = None
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise _no_key("holds no key of a service account")
    return account


def _no_key(why: str) -> InvalidSetting:
    return InvalidSetting(
        f"engine vertex: what is given as {key_setting('vertex')} {why}; it is the JSON of a service account's key, or "
        "the path of its file",
        field="engine",
    )
