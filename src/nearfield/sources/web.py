"""Reading from a server over HTTP, page by page: what passes is tried again, what does not is told."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import orjson
import stamina

from nearfield.domain.errors import EngineUnavailable
from nearfield.domain.servers import key_setting, may_pass

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S: Final = 60.0
TRIES: Final = 4
_SAID: Final = 200


class _Passing(Exception):
    """Something that may be over soon."""


class Web:
    """One server. Connects for each question, so that nothing is left open by who stops reading; blocks."""

    def __init__(self, vendor: str, url: str, headers: Mapping[str, str]) -> None:
        self._vendor, self._url, self._headers = vendor, url, dict(headers)
        self._trusted: Any = None  # certificates, read once

    def get(self, path: str, *, absent: bool = False) -> Any:
        """The JSON at a path. absent: None where there is nothing. Raises EngineUnavailable."""
        return self._ask("GET", path, None, absent=absent)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a question that changes nothing, and may be asked again. Raises EngineUnavailable."""
        return self._ask("POST", path, orjson.dumps(body))

    def _ask(self, method: str, path: str, content: bytes | None, *, absent: bool = False) -> Any:
        try:
            for attempt in stamina.retry_context(on=_Passing, attempts=TRIES, timeout=None, wait_max=10.0):
                with attempt:
                    return self._once(method, path, content, absent=absent)
        except _Passing as exc:
            raise EngineUnavailable(f"{self._vendor} at {self._url} does not answer: {exc}") from exc
        raise AssertionError

    def _once(self, method: str, path: str, content: bytes | None, *, absent: bool) -> Any:
        import httpx2  # noqa: PLC0415 - loaded by those who use a server

        headers = {"Content-Type": "application/json", "User-Agent": "nearfield", **self._headers}
        if self._trusted is None:
            self._trusted = ssl.create_default_context()
        try:
            with httpx2.Client(headers=headers, timeout=TIMEOUT_S, verify=self._trusted) as client:
                answer = client.request(method, self._url + path, content=content)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
            raise EngineUnavailable(f"{self._vendor} at {self._url} cannot be asked: {exc}") from exc
        except httpx2.HTTPError as exc:
            raise _Passing(f"{type(exc).__name__}: {exc}") from exc
        status = answer.status_code
        if may_pass(status):
            raise _Passing(f"status {status}")
        if status == 404 and absent:
            return None
        if status in (401, 403):
            raise EngineUnavailable(
                f"{self._vendor} at {self._url} refused the key ({status}); give it as {key_setting(self._vendor)}"
            )
        if not answer.is_success:
            raise EngineUnavailable(f"{self._vendor} at {self._url}: status {status}: {answer.text[:_SAID]}")
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as exc:
            raise EngineUnavailable(f"{self._vendor} at {self._url} gave an answer that is not JSON") from exc
