"""Connections to a PostgreSQL server with pgvector, and what its errors mean. The one file that knows asyncpg.

asyncpg rather than psycopg: a call given up in a time limit is let go of at once, also by a server that has stopped
answering; a connection that the server closed is noticed before it is used; and a refused password is told when it is
refused, not when a pool's patience ends.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from nearfield.domain.errors import (
    DiskFull,
    EngineUnavailable,
    IndexMissing,
    InvalidSetting,
    MissingDependency,
    NearfieldError,
)
from nearfield.engines.calls import Fault
from nearfield.engines.pgvector_columns import quoted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import ModuleType

    from nearfield.domain.addresses import EngineAddress
    from nearfield.domain.documents import Float32Array

OLDEST: Final = (0, 8)
"""The first pgvector that goes on searching where a filter let too little pass."""

WRITE_S: Final = 60.0
"""Time limit of one transaction that writes, where the address does not ask for more."""

_NOTICE: Final = """
SELECT set_config('client_connection_check_interval', '1s', false)
WHERE current_setting('client_connection_check_interval', true) IS NOT NULL
"""
"""Has the server end what nobody waits for any more. PostgreSQL 14 has it."""

_CLOSING_S: Final = 5.0
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MEMORY: Final = re.compile(r"[1-9][0-9]{0,6}(kB|MB|GB)\Z")
# the extension may live in any schema, ours are named in full; one plan for all filters would be a bad one for most
_PREPARE: Final = """
SELECT extversion, nspname, set_config('search_path', quote_ident(nspname) || ', pg_catalog', false),
  set_config('TimeZone', 'UTC', false), set_config('plan_cache_mode', 'force_custom_plan', false)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'
"""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What an address says. Raises InvalidSetting for what cannot be meant."""

    url: str
    schema: str = "nearfield"
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    connections: int = 8
    timeout_s: float = 10.0
    maintenance_work_mem: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, address: EngineAddress, password: str | None) -> ServerSettings:
        """Read an address that `check_address` let through."""
        url, options = address.url or "", address.options
        if urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise InvalidSetting(
                "engine pgvector: expected pgvector+postgresql://user@host:port/database", field="engine"
            )
        schema, sslmode = options.get("schema", "nearfield"), options.get("sslmode", "prefer")
        quoted(schema)
        if sslmode not in _SSL_MODES:
            raise _misfit("sslmode", sslmode, f"one of {', '.join(_SSL_MODES)}")
        rootcert = options.get("sslrootcert")
        if rootcert is not None and not Path(rootcert).is_file():
            raise _misfit("sslrootcert", rootcert, "a file that is there")
        memory = options.get("maintenance_work_mem")
        if memory is not None and not _MEMORY.match(memory):
            raise _misfit("maintenance_work_mem", memory, "a number with kB, MB or GB behind it")
        connections, timeout_s = options.get("connections", "8"), options.get("timeout_s", "10")
        if not (connections.isascii() and connections.isdigit() and 1 <= int(connections) <= 1_000):
            raise _misfit("connections", connections, "1 to 1000")
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", timeout_s) or not float(timeout_s):
            raise _misfit("timeout_s", timeout_s, "seconds above 0, 9999 at most")
        return cls(url, schema, sslmode, rootcert, int(connections), float(timeout_s), memory, password)


class Server:
    """A pool of connections, each with the extension's types known. Connects when first asked."""

    def __init__(self, settings: ServerSettings) -> None:
        sdk()
        self.settings = settings
        self._pool: Any = None
        self._making = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def connection(self, *, lasting: bool = False) -> AsyncIterator[Any]:
        """A connection for one call. One that a call failed on, other than by the server's own word, is not used again.

        lasting: the call may take hours. The server ends others that were given up, lest they go on for nobody.
        Raises EngineUnavailable once closed, and whatever asyncpg raises: see `meaning`.
        """
        if self._closed:
            raise EngineUnavailable("engine pgvector is closed")
        async with self._making:
            if self._pool is None:
                self._pool = await self._make_pool()
        pool = self._pool
        connection = await pool.acquire()
        usable = False
        try:
            if lasting:
                await connection.execute("SET statement_timeout = 0")
                with suppress(sdk().PostgresError):  # a server on another system than Linux has not got it
                    await connection.execute(_NOTICE)
            yield connection
            usable = not lasting
        except sdk().PostgresError:
            usable = not lasting
            raise
        finally:
            if not usable:
                connection.terminate()
            await pool.release(connection)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(TimeoutError, OSError, sdk().InterfaceError):
                async with asyncio.timeout(_CLOSING_S):
                    await pool.close()
            pool.terminate()

    async def _prepare(self, connection: Any) -> None:
        """Make a new connection ready: settings that last, and the vector type."""
        schema = await _check_extension(connection)
        limit_ms = int(max(self.settings.timeout_s, WRITE_S) * 1_000)
        await connection.execute(f"SET statement_timeout = {limit_ms:d}")
        await connection.set_type_codec("vector", schema=schema, encoder=_encode, decoder=_decode, format="binary")

    def _make_pool(self) -> Any:
        settings = self.settings
        return sdk().create_pool(
            settings.url,
            password=settings.password,
            ssl=_ssl_of(settings),
            min_size=0,
            max_size=settings.connections,
            timeout=settings.timeout_s,
            command_timeout=None,  # `Calls` sees to it
            init=self._prepare,
            reset=_leave_as_is,
            server_settings={"application_name": "nearfield"},
        )


async def _check_extension(connection: Any) -> str:
    """The schema of the extension's types. Raises InvalidSetting where it is missing or too old."""
    found = await connection.fetchrow(_PREPARE)
    if found is None:
        raise InvalidSetting(
            "engine pgvector: the database has no pgvector; have its owner say: CREATE EXTENSION vector", field="engine"
        )
    version = tuple(int(part) for part in found["extversion"].split(".")[:2])
    if version < OLDEST:
        raise InvalidSetting(
            f"engine pgvector: the database has pgvector {found['extversion']}, and 0.8 or newer is needed; after "
            "installing that, say: ALTER EXTENSION vector UPDATE",
            field="engine",
        )
    return str(found["nspname"])


async def _leave_as_is(_connection: Any) -> None:
    """Settings are made for one transaction each, so that a connection needs no cleaning."""


def _encode(vector: Float32Array) -> bytes:
    """pgvector's own form: the dimension and a zero as int16, then float32, all big-endian."""
    return len(vector).to_bytes(2, "big") + b"\0\0" + np.asarray(vector, ">f4").tobytes()


def _decode(given: bytes) -> Float32Array:
    return np.frombuffer(given, ">f4", offset=4).astype(np.float32)


def _ssl_of(settings: ServerSettings) -> Any:
    if settings.sslrootcert is None or settings.sslmode not in ("verify-ca", "verify-full"):
        return settings.sslmode
    context = ssl.create_default_context(cafile=settings.sslrootcert)
    context.check_hostname = settings.sslmode == "verify-full"
    return context


def _misfit(option: str, given: str, expected: str) -> InvalidSetting:
    return InvalidSetting(f"engine pgvector: {option} is {given!r}; expected {expected}", field="engine")


def sdk() -> ModuleType:
    """asyncpg. Raises MissingDependency."""
    try:
        import asyncpg  # noqa: PLC0415 - loaded when first needed
    except ImportError as exc:
        raise MissingDependency("engine pgvector needs asyncpg: pip install 'nearfield[pgvector]'") from exc
    return asyncpg  # type: ignore[no-any-return]


_PASSING: Final = (
    "08",  # the connection
    "40",  # rolled back for another transaction's sake
    "53",  # too many connections, out of memory
    "55",  # a lock that is held
    "57",  # shutting down, starting up, out of time
    "58",  # the system below
    "25006",  # a standby, which may be made the primary
)
_FIXES: Final[Mapping[str, str]] = {
    "28P01": "the password was refused; set NEARFIELD_ENGINE_KEYS to the right one",
    "28000": "the server does not let this user in; see its pg_hba.conf, and `sslmode` of the address",
    "3D000": "the database of the address does not exist; create it",
    "42501": "the user may not do this; the tables' owner has to, or has to grant it",
    "42704": "the database has no pgvector; have its owner say: CREATE EXTENSION vector",
    "25006": "the server only lets itself be read",
}
_GONE: Final = ("42P01", "3F000")
_DISK_FULL: Final = "53100"


def meaning(exc: Exception) -> Fault | NearfieldError:
    """What an exception of asyncpg's or of the network says."""
    asyncpg = sdk()
    if isinstance(exc, asyncpg.PostgresError):
        return _told(str(exc.sqlstate), str(exc))
    if isinstance(exc, asyncpg.ClientConfigurationError):
        return Fault(f"the address cannot be used: {str(exc)[:200]}", passing=False)
    if isinstance(exc, ssl.SSLError):
        return Fault(
            f"no safe connection: {exc.reason or 'TLS failed'}; see `sslmode` and `sslrootcert`", passing=False
        )
    if isinstance(exc, asyncpg.InternalClientError | asyncpg.ProtocolError):
        return Fault("the answer is not PostgreSQL's; does the address name another server?", passing=False)
    if isinstance(exc, OSError | asyncpg.InterfaceError):
        return Fault(f"no connection: {str(exc)[:200] or type(exc).__name__}", passing=True)
    return Fault(f"{type(exc).__name__}: {str(exc)[:200]}", passing=False)


def _told(code: str, message: str) -> Fault | NearfieldError:
    if code == _DISK_FULL:
        return DiskFull("no space left on the PostgreSQL server's disk; free some and try again")
    if code in _GONE:
        return IndexMissing("the index's table is not in the database; it has to be rebuilt from the store")
    fix = _FIXES.get(code)
    return Fault(fix or f"{message[:200]} ({code})", passing=code.startswith(_PASSING))
