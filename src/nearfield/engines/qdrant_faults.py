"""What the errors of Qdrant's client mean."""

from __future__ import annotations

from typing import Any, Final

from nearfield.domain.errors import DiskFull, IndexMissing, NearfieldError
from nearfield.domain.servers import may_pass
from nearfield.engines.calls import Fault, retry_after_s
from nearfield.engines.qdrant_schema import sdk

_REFUSED: Final = (
    "the server refused the API key; give the right one, with write access, in NEARFIELD_ENGINE_KEYS, "
    "and over https where the server asks for that"
)
_LONGEST: Final = 200
# INTERNAL is what a server tells by HTTP as 500
_GRPC_PASSING: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "INTERNAL"}
)


class NotYet(Exception):
    """The server took a write and did not apply it in time."""


def fault_of(exc: Exception) -> Fault | NearfieldError:  # noqa: PLR0911 - one return per kind of error
    """Whether a failed call may succeed soon, or what it means for good."""
    vendor = sdk()
    if isinstance(exc, NotYet):
        return Fault(str(exc), passing=True)
    if isinstance(exc, vendor.ResourceExhaustedResponse):
        return Fault(f"it is throttling: {_short(exc)}", passing=True, wait_s=float(exc.retry_after_s))
    if isinstance(exc, vendor.QdrantException):  # a Retry-After that is no number of seconds
        return Fault("it is throttling", passing=True)
    if isinstance(exc, vendor.UnexpectedResponse):
        return _of_response(exc)
    if isinstance(exc, vendor.ResponseHandlingException):
        return _of_transport(exc.source)
    if isinstance(exc, vendor.AioRpcError):
        return _of_grpc(exc)
    if isinstance(exc, ValueError):  # of the JSON reader, which the client does not wrap
        return _of_transport(exc)
    return Fault(f"{type(exc).__name__}: {_short(exc)}", passing=False)


def _of_response(exc: Any) -> Fault | NearfieldError:
    status, text = exc.status_code or 0, exc.content.decode(errors="replace")[:_LONGEST]
    if status in (401, 403):
        return Fault(f"{_REFUSED} ({status})", passing=False)
    if status == 404 and "doesn't exist" in text:
        return _missing()
    if "no space left" in text.lower():
        return _full()
    passing = may_pass(status)
    return Fault(f"status {status}: {text}", passing=passing, wait_s=retry_after_s(exc.headers.get("retry-after")))


def _of_transport(source: Exception) -> Fault:
    """httpx's own errors are all of the connection; what else there is comes of an answer that cannot be read."""
    told = f"{type(source).__name__}: {_short(source)}"
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return _untrusted(told)
    if type(source).__module__.startswith(("httpx", "httpcore")):
        return Fault(told, passing=True)
    return Fault(f"the answer is not one of Qdrant: {told}", passing=False)


def _of_grpc(exc: Any) -> Fault | NearfieldError:
    code, text = exc.code().name, str(exc.details() or "")
    told = f"gRPC {code}: {text[:_LONGEST]}"
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Fault(f"{_REFUSED} ({code})", passing=False)
    if code == "NOT_FOUND" and "doesn't exist" in text:
        return _missing()
    if "no space left" in text.lower():
        return _full()
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _untrusted(told)
    trailing = {str(name): value for name, value in exc.trailing_metadata() or ()}
    return Fault(told, passing=code in _GRPC_PASSING, wait_s=retry_after_s(trailing.get("retry-after")))


def _untrusted(told: str) -> Fault:
    return Fault(f"its certificate is not trusted; name its authority's file in SSL_CERT_FILE ({told})", passing=False)


def _full() -> DiskFull:
    return DiskFull("no space left on the disk of the Qdrant server; free some and try again")


def _missing() -> IndexMissing:
    return IndexMissing("the Qdrant server holds no index of that name any more; rebuild it from the store")


def _short(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0][:_LONGEST]
