"""Vectors already computed, by embedder and hash of what was embedded, and those that documents brought."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import bindparam, delete, insert, select

from nearfield.domain.errors import DimensionMismatch, InvalidVector
from nearfield.store.inserts import insert_one
from nearfield.store.pages import pages
from nearfield.store.tables import documents, embedders, vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from nearfield.domain.documents import Float32Array


class Precision(StrEnum):
    """How an embedder's components are kept, as NumPy writes the type; little-endian on every machine."""

    HALF = "<f2"
    SINGLE = "<f4"


_EMBEDDER: Final = select(embedders.c.id, embedders.c.dimension, embedders.c.dtype).where(
    embedders.c.fingerprint == bindparam("fingerprint")
)
_KNOWN: Final = select(vectors.c.hash).where(
    vectors.c.embedder_id == bindparam("embedder"), vectors.c.hash.in_(bindparam("hashes", expanding=True))
)
_CACHED: Final = select(vectors.c.hash, vectors.c.data).where(
    vectors.c.embedder_id == bindparam("embedder"), vectors.c.hash.in_(bindparam("hashes", expanding=True))
)
_KEEP: Final = insert(vectors)


def read(conn: Connection, fingerprint: str, hashes: Sequence[bytes]) -> dict[bytes, Float32Array]:
    """Those that are there: float32, shape (dimension,), by hash. They are rows of one array."""
    embedder = conn.execute(_EMBEDDER, {"fingerprint": fingerprint}).first()
    if embedder is None:
        return {}
    embedder_id, dimension, dtype = embedder
    found: list[bytes] = []
    data: list[bytes] = []
    for page in pages(hashes):
        for key, row in conn.execute(_CACHED, {"embedder": embedder_id, "hashes": page}).all():
            found.append(key)
            data.append(row)
    matrix = np.frombuffer(b"".join(data), dtype=dtype).reshape(-1, dimension).astype(np.float32)
    return dict(zip(found, matrix, strict=True))


def keep(
    conn: Connection, fingerprint: str, hashes: Sequence[bytes], values: Float32Array, precision: Precision
) -> None:
    """Keep vectors, float32 (n, dimension), one for each hash; a hash that is there already is passed over.

    Raises DimensionMismatch when the embedder's other vectors have another dimension, InvalidVector when a component
    is not finite in that precision.
    """
    if len(hashes) == 0:
        return
    if values.ndim != 2 or len(values) != len(hashes):
        raise InvalidVector(f"{len(hashes)} hashes with vectors of shape {values.shape}; expected one row for each")
    embedder_id = _embedder(conn, fingerprint, values.shape[1], precision)
    first = {key: row for row, key in reversed(list(enumerate(hashes)))}  # of a hash given twice, the first counts
    for page in pages(list(first)):
        known = set(conn.execute(_KNOWN, {"embedder": embedder_id, "hashes": page}).scalars())
        missing = [key for key in page if key not in known]
        if not missing:
            continue
        with np.errstate(over="ignore"):  # an overflow is infinite, and told below
            stored = values[[first[key] for key in missing]].astype(precision.value)
        if not np.isfinite(stored).all():
            raise InvalidVector(f"a vector of {fingerprint!r} has a component that is not a finite {stored.dtype}")
        rows = [
            {"embedder_id": embedder_id, "hash": key, "data": row.tobytes()}
            for key, row in zip(missing, stored, strict=True)
        ]
        conn.execute(_KEEP, rows)


def _embedder(conn: Connection, fingerprint: str, dimension: int, precision: Precision) -> int:
    row = conn.execute(_EMBEDDER, {"fingerprint": fingerprint}).first()
    if row is None:
        values = {"fingerprint": fingerprint, "dimension": dimension, "dtype": precision.value}
        return insert_one(conn, embedders, values)
    if row.dimension != dimension:
        raise DimensionMismatch(f"vector of {dimension} components; those of {fingerprint!r} have {row.dimension}")
    return int(row.id)


def remove_unused(
    conn: Connection, fingerprint: str, collection_id: int, *, after: int, size: int
) -> tuple[int, int | None]:
    """Remove, among the next `size` vectors under `fingerprint`, those that no document of the collection refers to.

    after: where the page before ended, 0 at first. Returns how many were removed, and where this page ended (None
    after the last).
    """
    mine = select(embedders.c.id).where(embedders.c.fingerprint == fingerprint).scalar_subquery()
    page = select(vectors.c.id).where(vectors.c.embedder_id == mine, vectors.c.id > after)
    ids = conn.execute(page.order_by(vectors.c.id).limit(size)).scalars().all()
    if not ids:
        return 0, None
    used = select(documents.c.vector_hash).where(
        documents.c.collection_id == collection_id, documents.c.vector_hash.is_not(None)
    )
    within = (vectors.c.embedder_id == mine, vectors.c.id > after, vectors.c.id <= ids[-1])
    removed = conn.execute(delete(vectors).where(*within, vectors.c.hash.not_in(used)))
    return removed.rowcount, ids[-1]


def remove_page(conn: Connection, fingerprint: str, size: int) -> bool:
    """Remove `size` of the vectors under `fingerprint`; the last page takes the embedder too. Whether any were left."""
    embedder_id = conn.execute(select(embedders.c.id).where(embedders.c.fingerprint == fingerprint)).scalar()
    if embedder_id is None:
        return False
    page = select(vectors.c.id).where(vectors.c.embedder_id == embedder_id).limit(size)
    if conn.execute(delete(vectors).where(vectors.c.id.in_(page))).rowcount:
        return True
    conn.execute(delete(embedders).where(embedders.c.id == embedder_id))
    return False
