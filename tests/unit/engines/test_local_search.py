from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import Lt
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines import local_search
from nearfield.engines.local import LocalEngine
from nearfield.engines.local_filters import compile_filter
from nearfield.engines.local_schema import SLICES, slices_of
from nearfield.engines.local_search import Searcher
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import spec_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearfield.engines.local import LocalIndex


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[LocalIndex]:
    engine = LocalEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.HNSW, m=4, ef_construction=16, ef_search=16)))
    await bookshop.stock(index, stop=200)
    await index.optimize()
    await bookshop.stock(index, start=200)
    yield index
    await engine.close()


@pytest.mark.parametrize("at_once", [1, 3, 50, 239, 240, 241])
async def test_keys_in_parts_are_all_the_keys(index: LocalIndex, at_once: int) -> None:
    searcher = Searcher(index._collection, index.spec, lambda: bookshop.ROWS, keys_at_once=at_once)
    assert sorted(searcher.passing(None).tolist()) == bookshop.keys().tolist()
    where = compile_filter(Lt("price", 30.0), bookshop.FIELDS)
    assert isinstance(where, str)
    cheap = [n for n in range(bookshop.ROWS) if bookshop.row(n).get("price", 99.0) < 30.0]  # type: ignore[operator]
    assert sorted(searcher.passing(where).tolist()) == bookshop.keys()[cheap].tolist()


async def test_more_hits_than_zvec_gives_are_refused(index: LocalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_search, "MAX_HITS", 100)
    assert len(await index.nearest(bookshop.vectors()[0], limit=100)) == 100
    with pytest.raises(UnsupportedByEngine, match="at most 100 hits"):
        await index.nearest(bookshop.vectors()[0], limit=101)


async def test_a_poor_graph_still_finds_every_row(index: LocalIndex) -> None:
    for limit in (1, 10, 150, 239, 240, 500):
        found = await index.nearest(bookshop.vectors(1, seed=40)[0], limit=limit)
        assert len(set(found.keys.tolist())) == min(limit, bookshop.ROWS)


def test_slices_are_even_and_in_range() -> None:
    dealt = np.bincount(slices_of(np.arange(1, 200_001, dtype=np.int64) << 12), minlength=SLICES)
    assert len(dealt) == SLICES
    assert dealt.min() > 100
    assert dealt.max() < 300
    assert all(0 <= part < SLICES for part in slices_of(np.array([0, 1, 2**63 - 1], np.int64)))
