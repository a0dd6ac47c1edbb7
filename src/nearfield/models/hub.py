"""Weights from the Hugging Face hub, at a pinned commit, over plain HTTPS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from nearfield.domain.errors import ModelUnreachable
from nearfield.models.source import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import httpx2

    from nearfield.models.catalogue import HubFile, KnownFile

ENDPOINT: Final = "https://huggingface.co"
ATTEMPTS: Final = 3  # per file; each goes on where the last one broke off
CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class HubSource:
    """The hub, or a mirror of it.

    endpoint: without a path. offline: ask nothing. connect_timeout_s is short on purpose: another source comes next.
    """

    endpoint: str = ENDPOINT
    offline: bool = False
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0

    @property
    def name(self) -> str:
        return "hub"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The hub as the hub's own tools would find it: HF_ENDPOINT and HF_HUB_OFFLINE are honoured."""
        environ = os.environ if environ is None else environ
        offline = environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}
        return cls(endpoint=(environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/"), offline=offline)

    def fetch(self, files: Sequence[KnownFile], staging: Path, report: Callable[[Transfer], None]) -> None:
        """See `WeightsSource`. A download cut short is resumed, also by a later run."""
        import httpx2  # noqa: PLC0415

        wanted = [(file, file.hub) for file in files if file.hub is not None]
        if not wanted:
            return
        if self.offline:
            raise ModelUnreachable("the hub is switched off by HF_HUB_OFFLINE")
        timeout = httpx2.Timeout(self.read_timeout_s, connect=self.connect_timeout_s)
        with httpx2.Client(timeout=timeout, follow_redirects=True) as client:
            for file, place in wanted:
                self._fetch_one(client, file, place, staging, report)

    def _fetch_one(
        self,
        client: httpx2.Client,
        file: KnownFile,
        place: HubFile,
        staging: Path,
        report: Callable[[Transfer], None],
    ) -> None:
        import httpx2  # noqa: PLC0415

        url = f"{self.endpoint}/{place.repo}/resolve/{place.revision}/{place.path}"
        part = staging / f"{file.sha256}.part"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _stream(client, url, part, file, report)
                break
            except httpx2.HTTPStatusError as exc:
                raise ModelUnreachable(f"{url} answered {exc.response.status_code}") from exc
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
                raise ModelUnreachable(f"no connection to {self.endpoint} ({exc})") from exc
            except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
                if attempt == ATTEMPTS:
                    raise ModelUnreachable(f"{url} broke off {ATTEMPTS} times: {type(exc).__name__} {exc}") from exc
        part.replace(staging / file.sha256)


def _stream(client: httpx2.Client, url: str, part: Path, file: KnownFile, report: Callable[[Transfer], None]) -> None:
    """Append to `part` what is still missing of a file. Never writes past the pinned size, whatever is sent."""
    have = part.stat().st_size if part.exists() else 0
    if have >= file.size:
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == 206
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                out.write(chunk[: file.size - done])
                done = min(done + len(chunk), file.size)
                report(Transfer(file.path, done, file.size))
                if done == file.size:
                    break
