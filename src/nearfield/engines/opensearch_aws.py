"""Requests to Amazon OpenSearch Service, signed with the credentials of an AWS identity (SigV4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx2

from nearfield.domain.errors import InvalidSetting, MissingDependency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PARTS = (2, 3)  # ACCESS:SECRET or ACCESS:SECRET:TOKEN


class SignedRequests(httpx2.Auth):
    """Signs each request. Credentials that expire are renewed by botocore, in a thread since it may ask for them."""

    requires_request_body = True

    def __init__(self, region: str, service: str, key: str | None) -> None:
        """key: `ACCESS:SECRET` or `ACCESS:SECRET:TOKEN`; None takes what the AWS tools would: variables of the
        environment, profiles, the machine's role. Raises MissingDependency, InvalidSetting."""
        try:
            from botocore.auth import SigV4Auth  # noqa: PLC0415 - only where requests are signed
            from botocore.awsrequest import AWSRequest  # noqa: PLC0415
            from botocore.credentials import Credentials  # noqa: PLC0415
            from botocore.session import Session  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency("signing requests to AWS needs pip install 'nearfield[opensearch]'") from exc
        if key is not None and len(key.split(":")) not in _PARTS:
            raise InvalidSetting("engine opensearch: the key is not ACCESS:SECRET, which signing needs", field="engine")
        self._region, self._service = region, service
        self._given = None if key is None else Credentials(*key.split(":"))
        self._session, self._signer, self._request = Session, SigV4Auth, AWSRequest
        self._found: Any = None

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncIterator[httpx2.Request]:  # type: ignore[override]
        body = await request.aread()
        request.headers.update(await asyncio.to_thread(self._sign, request, body))
        yield request

    def _sign(self, request: httpx2.Request, body: bytes) -> dict[str, str]:
        signed = self._request(
            method=request.method, url=str(request.url), data=body, headers={"Host": request.headers["host"]}
        )
        self._signer(self._credentials(), self._service, self._region).add_auth(signed)
        return dict(signed.headers)

    def _credentials(self) -> Any:
        if self._given is not None:
            return self._given
        if self._found is None:
            self._found = self._session().get_credentials()
        if self._found is None:
            raise InvalidSetting(
                "engine opensearch: no AWS credentials are found; give them as NEARFIELD_ENGINE_KEYS="
                '\'{"opensearch": "ACCESS:SECRET"}\', or as the AWS tools take them',
                field="engine",
            )
        return self._found.get_frozen_credentials()
