"""The connections to one Qdrant server: by HTTP, or by gRPC and, for what gRPC cannot say exactly, by HTTP."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from nearfield.engines.channels import RECONNECTING, authorities
from nearfield.engines.qdrant_schema import sdk

if TYPE_CHECKING:
    from nearfield.domain.addresses import EngineAddress


def connected(address: EngineAddress, *, grpc_port: int | None, key: str | None, timeout_s: int) -> Any:
    """A client that speaks gRPC where there is a port for it. timeout_s: of a call, beyond all that callers give it."""
    told = {
        "url": address.url,
        "headers": {"api-key": key} if key else None,  # as api_key it warns of http, also within one machine
        "timeout": timeout_s,
        "check_compatibility": False,
    }
    by_http = sdk().AsyncQdrantClient(**told)
    if grpc_port is None:
        return by_http
    options = {**dict(RECONNECTING), "root_certificates": authorities()}
    by_grpc = sdk().AsyncQdrantClient(**told, prefer_grpc=True, grpc_port=grpc_port, grpc_options=options)
    return _ByEither(by_grpc, by_http)


class _ByEither:
    """Asks by gRPC. A filter with a radius goes by HTTP: that of gRPC is a float32, up to 25 cm off in 5,000 km."""

    def __init__(self, by_grpc: Any, by_http: Any) -> None:
        self._grpc, self._http = by_grpc, by_http

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grpc, name)

    async def query_points(self, place: str, *, query_filter: Any, **asked: Any) -> Any:
        return await self._exact(query_filter).query_points(place, query_filter=query_filter, **asked)

    async def count(self, place: str, passing: Any, **asked: Any) -> Any:
        return await self._exact(passing).count(place, passing, **asked)

    async def close(self) -> None:
        await self._grpc.close()
        await self._http.close()

    def _exact(self, passing: Any) -> Any:
        return self._http if _has_radius(passing) else self._grpc


def _has_radius(part: Any) -> bool:
    """part: a filter, a condition of one, or None."""
    models = sdk().models
    if isinstance(part, models.Filter):
        return any(map(_has_radius, chain(part.must or (), part.should or (), part.must_not or ())))
    if isinstance(part, models.NestedCondition):
        return _has_radius(part.nested.filter)
    return isinstance(part, models.FieldCondition) and part.geo_radius is not None
