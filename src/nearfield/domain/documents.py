"""Documents as sent, as stored, and the chunks of them that are embedded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from nearfield.domain.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

MAX_ID_LENGTH: Final = 512  # characters
CHUNK_BITS: Final = 12
MAX_CHUNKS: Final = 1 << CHUNK_BITS
"""Passages of one document. A chunk's key is its document's, shifted left by CHUNK_BITS, plus the passage's number."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that passed validation and is ready to be stored.

    id: 1 to MAX_ID_LENGTH characters, unique in its collection.
    body: the JSON object as sent, its id included, without the vector.
    content_hash: 16 bytes; equal hashes mean an unchanged document, which costs nothing.
    vector: float32, shape (dimension,), only in collections whose documents bring their own.
    """

    id: str
    body: Mapping[str, Any]
    content_hash: bytes
    vector: Float32Array | None = None

    @classmethod
    def of(cls, id: str, body: Mapping[str, Any], vector: Float32Array | None = None) -> Document:
        """Build a document with its hash. Raises InvalidDocument when the body is not JSON."""
        return cls(id, body, content_hash(body, vector), vector)


@dataclass(frozen=True, slots=True, eq=False)
class StoredDocument:
    """A document as the store holds it.

    key: the store's own integer, 1 to 2**50, never used again after a delete.
    seq: the number of the last change to it.
    vector_hash: names the vector the document brought, None where the text is embedded.
    """

    key: int
    id: str
    body: Mapping[str, Any]
    content_hash: bytes
    seq: int
    vector_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that was not taken in, and why; the others of its batch were.

    line: 1-based place in the file or request. code: the error's stable code. detail: what to change.
    """

    line: int
    code: str
    detail: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class WriteReceipt:
    """What a write did. It is durable when this is returned.

    seq: the number of the last change made, or the collection's latest when nothing changed: wait for it to read
    your own write.
    """

    seq: int
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0


class ChangeKind(StrEnum):
    UPSERT = "upsert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log. `seq` rises by commit order within a store."""

    seq: int
    document_key: int
    kind: ChangeKind


def content_hash(body: Mapping[str, Any], vector: Float32Array | None = None) -> bytes:
    """16 bytes of BLAKE2b over the canonical JSON (sorted keys) and the vector's bytes.

    Raises InvalidDocument when a value is not JSON: NaN and infinities become null in JSON and are refused elsewhere.
    """
    try:
        digest = hashlib.blake2b(orjson.dumps(dict(body), option=orjson.OPT_SORT_KEYS), digest_size=16)
    except orjson.JSONEncodeError as exc:
        raise InvalidDocument(f"document is not JSON: {exc}") from exc
    if vector is not None:
        digest.update(np.ascontiguousarray(vector, dtype=np.float32).tobytes())
    return digest.digest()


def text_hash(text: str) -> bytes:
    """16 bytes of BLAKE2b over the UTF-8 text: the key under which its vector is cached.

    A lone surrogate, which UTF-8 cannot hold, is hashed as its code unit.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def vector_hash(vector: Float32Array) -> bytes:
    """16 bytes of BLAKE2b over the float32 components: the key under which a brought vector is kept."""
    return hashlib.blake2b(np.ascontiguousarray(vector, dtype=np.float32).tobytes(), digest_size=16).digest()


def chunk_key(document_key: int, ordinal: int) -> int:
    """The engine's key of passage `ordinal` (0 to MAX_CHUNKS - 1) of a document. Fits 63 bits."""
    return document_key << CHUNK_BITS | ordinal


def document_keys(chunk_keys: Int64Array | Sequence[int]) -> Int64Array:
    """The document key of each chunk key, same order; int64, shape (n,)."""
    return np.asarray(chunk_keys, dtype=np.int64) >> CHUNK_BITS
