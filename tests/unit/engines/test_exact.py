"""What `exact` owes beyond the suite: its files survive what happens to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import IndexDamaged
from nearfield.domain.schema import IndexKind, IndexSettings, Metric
from nearfield.engines import exact
from nearfield.engines.exact import ExactEngine
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from pathlib import Path

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))


class TestExactEngine(EngineSuite):
    engine_type = ExactEngine

    @pytest.fixture
    def against(self) -> str:
        return f"itself, the oracle of the others, over NumPy {np.__version__}"


@pytest.mark.parametrize("segments", [0, 100])
async def test_rows_come_back_as_they_were(tmp_path: Path, segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_MERGE_AT", segments)
    engine = ExactEngine.at(tmp_path)
    index = await engine.create(FLAT)
    for start in range(0, 240, 80):
        await bookshop.stock(index, start=start, stop=start + 80)
        await index.delete(bookshop.keys()[start : start + 10])
        await index.flush()
    await index.optimize()
    files = list((tmp_path / "books").glob("*.npz"))
    assert len(files) == (3 if segments else 1)
    await engine.close()
    again = await ExactEngine.at(tmp_path).open(FLAT)
    kept = [n for n in range(240) if n % 80 >= 10]
    assert sorted(await listed_keys(again)) == bookshop.keys()[kept].tolist()
    rows = dict(zip(await listed_keys(again), again._rows._row, strict=True))
    assert rows == {int(bookshop.keys()[n]): bookshop.row(n) for n in kept}
    found, stored = await again.vectors(bookshop.keys()[kept])
    assert len(found) == len(kept)
    np.testing.assert_array_equal(stored, bookshop.vectors()[kept])
    await again.close()


async def test_what_was_not_flushed_is_not_half_there(tmp_path: Path) -> None:
    engine = ExactEngine.at(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    await index.flush()
    await bookshop.stock(index, start=10, stop=20)
    again = await ExactEngine.at(tmp_path).open(FLAT)  # as after a crash: the first one flushed no more
    assert await again.count() == 10
    await again.close()
    await engine.close()


@pytest.mark.parametrize(("name", "content"), [("segments.json", b"{"), ("00000001.npz", b"PK"), ("spec.json", b"[]")])
async def test_a_damaged_file_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    engine = ExactEngine.at(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    await index.flush()
    await index.close()
    (tmp_path / "books" / name).write_bytes(content)
    with pytest.raises(IndexDamaged, match="rebuild"):
        await engine.open(FLAT)
    await engine.close()


async def test_a_lost_segment_is_told(tmp_path: Path) -> None:
    engine = ExactEngine.at(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    await index.flush()
    await index.close()
    (tmp_path / "books" / "00000001.npz").unlink()
    with pytest.raises(IndexDamaged):
        await engine.open(FLAT)
    await engine.close()


async def test_euclidean_distance_is_taken_in_double_precision(tmp_path: Path) -> None:
    engine = ExactEngine.at(tmp_path)
    index = await engine.create(spec_of(IndexSettings(kind=IndexKind.FLAT, metric=Metric.EUCLIDEAN), dimension=2))
    far = np.array([[20_000.0, 1.0], [20_000.0, 1.5], [20_000.0, 0.0]], np.float32)
    await index.upsert(np.array([1, 2, 3]), far, [{}, {}, {}], ["", "", ""])
    found = await index.nearest(np.array([20_000.0, 1.0], np.float32), limit=3)
    assert found.keys.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.scores, [0.0, -0.5, -1.0])
    await engine.close()
