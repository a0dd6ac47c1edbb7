"""A running service as commands ask it: over HTTP, like any client of it."""

from __future__ import annotations

import ipaddress
import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import typer

from nearfield.cli.failing import FAILED, WRONG_USE, tell_failure
from nearfield.domain.errors import InvalidSetting

if TYPE_CHECKING:
    from nearfield.settings import Settings

TIMEOUT_S: Final = 60.0
UNREACHABLE: Final = "service_unreachable"
_MISWRITTEN: Final = frozenset({400, 422})


class Service:
    """One service. What it refuses is told as it said it, and ends the command."""

    def __init__(self, url: str | None, settings: Settings, *, as_json: bool) -> None:
        """url: None for the one that `nearfield serve` starts under the same settings. Raises InvalidSetting."""
        self._url = (url or _own_url(settings)).rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise InvalidSetting(f"url is {self._url!r}; expected http:// or https://", field="url")
        self._key = settings.api_keys[0].get_secret_value() if settings.api_keys else None
        self._as_json = as_json

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """The JSON of the answer; None where it has none."""
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = Request(self._url + path, body, headers, method=method)  # noqa: S310 - http or https, checked
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                said = answer.read()
            return json.loads(said) if said else None
        except HTTPError as exc:
            raise self._refused(exc.code, exc.read()) from exc
        except (OSError, HTTPException, ValueError) as exc:
            why = getattr(exc, "reason", exc)
            detail = f"no Nearfield answers at {self._url}: {why}; `nearfield serve` starts one, --url names another"
            tell_failure(UNREACHABLE, detail, as_json=self._as_json, field=None, retryable=True)
            raise typer.Exit(FAILED) from exc

    def _refused(self, status: int, body: bytes) -> typer.Exit:
        try:
            told = json.loads(body)
            code, detail, field = told["code"], told["detail"], told.get("field")
        except (ValueError, KeyError, TypeError):
            code, detail, field = UNREACHABLE, f"{self._url} answered {status}, and not as Nearfield does", None
        if status == 401:
            detail += "; the first of NEARFIELD_API_KEYS is sent"
        tell_failure(code, detail, as_json=self._as_json, field=field, retryable=status in (429, 503, 504))
        return typer.Exit(WRONG_USE if status in _MISWRITTEN else FAILED)


def _own_url(settings: Settings) -> str:
    if not settings.port:
        raise InvalidSetting("port is 0, which is any free one; say where the service is with --url", field="port")
    host = settings.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{settings.port}"
    if address.is_unspecified:  # it listens everywhere, here too
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{settings.port}" if address.version == 6 else f"http://{address}:{settings.port}"
