"""What the engine suite measures with: the truth by plain NumPy, and the checks that several tests share."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from nearfield.domain.addresses import EngineAddress
from nearfield.domain.filters import Eq, matches
from nearfield.domain.schema import IndexKind, IndexSettings, Metric, Quantization
from nearfield.protocols.engine import IndexSpec
from nearfield.testing import bookshop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.engine import EmbeddedEngine, EngineKind, RemoteEngine, VectorEngine, VectorIndex

RECALL: Final = 0.95
"""Of the true ten nearest, the share an approximate index has to find among 240 rows."""


def engine_of(kind: type[EngineKind], place: Path, address: str | None, key: str | None) -> VectorEngine:
    """An engine over a folder, or on a server at an address; there each place has a prefix of its own."""
    if address is None:
        return cast("type[EmbeddedEngine]", kind).at(place)
    prefix = f"suite_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}_"
    return cast("type[RemoteEngine]", kind).reach(EngineAddress.parse(address), prefix=prefix, key=key)


def plainest(engine: VectorEngine | type[EngineKind]) -> IndexSettings:
    """Settings that the engine claims, exhaustive where it can be."""
    claimed = engine.capabilities
    kind = IndexKind.FLAT if IndexKind.FLAT in claimed.kinds else sorted(claimed.kinds)[0]
    metric = Metric.COSINE if Metric.COSINE in claimed.metrics else sorted(claimed.metrics)[0]
    return IndexSettings(kind=kind, metric=metric, quantization=quantizations(engine, kind)[0])


def spec_of(settings: IndexSettings, *, name: str = "books", dimension: int = bookshop.DIMENSION) -> IndexSpec:
    """An index for the bookshop."""
    return IndexSpec(name, dimension, settings, bookshop.FIELDS)


def quantizations(engine: VectorEngine | type[EngineKind], kind: IndexKind) -> list[Quantization]:
    """What the engine claims for a kind, plainest first."""
    known = engine.capabilities.quantizations.get(kind, frozenset({Quantization.NONE}))
    return sorted(known, key=list(Quantization).index)


def truly_nearest(query: Float32Array, limit: int, numbers: Iterable[int] | None = None) -> list[int]:
    """Keys of the rows with the greatest cosine, by plain NumPy."""
    among = np.array(range(bookshop.ROWS) if numbers is None else list(numbers), np.int64)
    scores = bookshop.vectors()[among].astype(np.float64) @ query
    return [int(key) for key in bookshop.keys()[among[np.argsort(-scores, kind="stable")[:limit]]]]


async def check_searches(index: VectorIndex, engine: VectorEngine) -> None:
    """Recall, true scores, complete answers, vectors given back; exactness where it is claimed."""
    queries = bookshop.vectors(20, seed=21)
    right = 0
    for query in queries:
        found = await index.nearest(query, limit=10)
        right += len(set(found.keys.tolist()) & set(truly_nearest(query, 10)))
        true = bookshop.vectors()[(found.keys >> 12) - 1] @ query
        np.testing.assert_allclose(found.scores, true, atol=0.05)
        if engine.capabilities.exact:
            assert (await index.nearest(query, limit=10, exact=True)).keys.tolist() == truly_nearest(query, 10)
    assert right >= RECALL * 10 * len(queries)
    await check_all_found(index, bookshop.keys())
    where = Eq("used", True)
    if not index.unsupported(where):
        used = sum(matches(where, bookshop.row(n)) for n in range(bookshop.ROWS))
        assert len(await index.nearest(queries[0], limit=bookshop.ROWS, where=where)) == used
    keys, stored = await index.vectors(bookshop.keys()[[9, 3]])
    assert keys.tolist() == bookshop.keys()[[9, 3]].tolist()
    np.testing.assert_allclose(stored, bookshop.vectors()[[9, 3]], atol=0.05)


async def check_all_found(index: VectorIndex, keys: Int64Array) -> None:
    """A limit beyond the rows finds each of them once."""
    found = await index.nearest(bookshop.vectors(1, seed=30)[0], limit=bookshop.ROWS)
    assert sorted(found.keys.tolist()) == keys.tolist()


async def listed_keys(index: VectorIndex) -> list[int]:
    """What `keys` gives, in its order."""
    return [int(key) async for batch in index.keys() for key in batch]  # noqa: SIM118 - no mapping
