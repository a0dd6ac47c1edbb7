"""From the address of another store to a source over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nearfield.domain.addresses import StoreAddress
from nearfield.domain.errors import InvalidSetting
from nearfield.sources.chroma_store import ChromaReader, FolderCollection, ServerCollection
from nearfield.sources.faiss_store import FaissReader
from nearfield.sources.files import open_source
from nearfield.sources.pgvector_store import PgvectorReader
from nearfield.sources.qdrant_store import QdrantReader, to_folder, to_server
from nearfield.sources.store_rows import StoreSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearfield.protocols.source import Source
    from nearfield.sources.store_rows import StoreReader

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "chroma": ("collection", "tenant", "database"),
    "qdrant": ("collection", "vector", "lift"),
    "pgvector": ("table", "vector", "id", "lift", "sslmode"),
    "faiss": ("rows", "approximate"),
}
"""What an address may say of each store."""
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "chroma": ("http", "https", "file"),
    "qdrant": ("http", "https", "file"),
    "pgvector": ("postgresql", "postgres"),
    "faiss": ("file",),
}


def open_store(text: str, key: Callable[[StoreAddress], str | None]) -> Source:
    """A source over another store: `chroma+http://host:8000?collection=books`, `faiss+file:books.index`.

    key: the password or API key for an address, None where there is none. Connects to nothing yet.
    Raises InvalidSetting, InvalidFile.
    """
    address = StoreAddress.parse(text)
    known = OPTIONS.get(address.name)
    if known is None:
        raise InvalidSetting(
            f"no store {address.name!r} is known; known are {', '.join(sorted(OPTIONS))}", field="store"
        )
    if address.scheme not in _SCHEMES[address.name]:
        spelled = ", ".join(f"{address.name}+{scheme}:" for scheme in _SCHEMES[address.name])
        raise InvalidSetting(f"store {address.name} is reached by {spelled} not {address.scheme}:", field="store")
    unknown = sorted(address.options.keys() - set(known))
    if unknown:
        raise InvalidSetting(
            f"store {address.name} has no option {unknown[0]!r}; it knows {', '.join(known)}", field="store"
        )
    return StoreSource(_READERS[address.name](address, key(address)))


def _chroma(address: StoreAddress, key: str | None) -> StoreReader:
    collection = _required(address, "collection")
    if address.path is not None:
        return ChromaReader(f"chroma-{collection}", FolderCollection(address.path, collection))
    tenant = address.options.get("tenant", "default_tenant")
    database = address.options.get("database", "default_database")
    for name in (collection, tenant, database):
        if "/" in name or "?" in name or "#" in name:
            raise InvalidSetting(
                f"store chroma: {name!r} is no name of a collection, tenant or database", field="store"
            )
    server = ServerCollection(address.url, collection, tenant=tenant, database=database, key=key)
    return ChromaReader(f"chroma-{collection}", server)


def _qdrant(address: StoreAddress, key: str | None) -> StoreReader:
    collection = _required(address, "collection")
    connect = to_server(address.url, key) if address.path is None else to_folder(address.path)
    vector, lift = address.options.get("vector"), address.options.get("lift")
    return QdrantReader(f"qdrant-{collection}", connect, collection, vector=vector, lift=lift)


def _pgvector(address: StoreAddress, key: str | None) -> StoreReader:
    sslmode = address.options.get("sslmode", "prefer")
    if sslmode not in _SSL_MODES:
        raise InvalidSetting(f"store pgvector: sslmode is {sslmode!r}; expected {', '.join(_SSL_MODES)}", field="store")
    return PgvectorReader(
        address.url,
        _required(address, "table"),
        password=key,
        sslmode=sslmode,
        vector=address.options.get("vector"),
        id_column=address.options.get("id"),
        lift=address.options.get("lift"),
    )


def _faiss(address: StoreAddress, _: str | None) -> StoreReader:
    asked = address.options.get("approximate", "false")
    if asked not in ("true", "false"):
        raise InvalidSetting(f"store faiss: approximate is {asked!r}; expected true or false", field="store")
    rows = address.options.get("rows")
    return FaissReader(
        address.path or Path(), rows=None if rows is None else open_source(rows), approximate=asked == "true"
    )


_READERS: Final[Mapping[str, Callable[[StoreAddress, str | None], StoreReader]]] = {
    "chroma": _chroma,
    "qdrant": _qdrant,
    "pgvector": _pgvector,
    "faiss": _faiss,
}


def _required(address: StoreAddress, option: str) -> str:
    if not address.options.get(option):
        raise InvalidSetting(
            f"store {address.name}: which {option}? write {address.name}+...?{option}=NAME", field="store"
        )
    return address.options[option]
