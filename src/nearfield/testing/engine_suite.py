"""The conformance suite of engines: subclass it, name the engine, and every promise is tested, both ways.

    class TestMyEngine(EngineSuite):
        engine_type = MyEngine

What is claimed in `capabilities` must agree with `domain.filters.matches` and with plain NumPy; what is not claimed
must be refused with UnsupportedByEngine. Approximate indexes owe recall, everything else equality. Which tests show
which claim is told by `engine_claims`.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from nearfield.domain.errors import (
    DimensionMismatch,
    EngineUnavailable,
    IndexDamaged,
    IndexMissing,
    InvalidVector,
    UnsupportedByEngine,
)
from nearfield.domain.filters import Eq, Gte, matches
from nearfield.domain.languages import ENGLISH, LANGUAGES, terms, without_stop_words
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.domain.words import WORD
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import (
    RECALL,
    check_all_found,
    check_searches,
    engine_of,
    listed_keys,
    plainest,
    quantizations,
    spec_of,
    truly_nearest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nearfield.protocols.engine import EngineKind, VectorEngine, VectorIndex

TEXTS = (
    "WH-1000XM4 wh1000xm4",
    "Running runs in houses",
    "Die Häuser und das Haus",
    "Les créées et la création",
    "Книгами книга и",
    "nações nação",
    "Wi-Fi AC/DC foo_bar 3.5mm",
)

_WRITER = """
import asyncio, importlib, sys
from pathlib import Path
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import engine_of, plainest, spec_of
async def main():
    module, name, place, address, key = sys.argv[1:]
    engine = engine_of(getattr(importlib.import_module(module), name), Path(place), address or None, key or None)
    index = await engine.create(spec_of(plainest(engine)))
    await bookshop.stock(index)
    await index.delete(bookshop.keys()[:40])
    await index.flush()
    print("flushed", flush=True)
    await bookshop.stock(index, start=0, stop=40)
    print("written", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.asyncio
class EngineSuite:
    """Supply `engine_type`, and the fixture `address` (and `key`) where it is an engine on a server."""

    engine_type: ClassVar[type[EngineKind]]

    @pytest.fixture
    def address(self) -> str | None:
        """Where the server is, as `NAME+URL`; None for an engine in the process."""
        return None

    @pytest.fixture
    def key(self) -> str | None:
        """The server's password or API key."""
        return None

    @pytest.fixture
    def against(self) -> str | None:
        """What the engine runs on, with its version as the thing itself tells it; None is left off the record."""
        return None

    @pytest.fixture(autouse=True)
    def on_record(
        self, address: str | None, against: str | None, record_property: Callable[[str, object], None]
    ) -> None:
        """Say with each outcome what was tested, for whoever keeps a record of the runs."""
        record_property("engine", self.engine_type.name)
        record_property("against", against)
        record_property("place", "in the process" if address is None else "on a server")

    @pytest.fixture
    def engine_at(self, address: str | None, key: str | None) -> Callable[[Path], VectorEngine]:
        """Makes an engine of its own for each place; one made for the same place finds what another left there."""
        return lambda place: engine_of(self.engine_type, place, address, key)

    @pytest.fixture
    async def engine(self, tmp_path: Path, engine_at: Callable[[Path], VectorEngine]) -> AsyncIterator[VectorEngine]:
        engine = engine_at(tmp_path / "engine")
        yield engine
        await engine.close()

    @pytest.fixture
    async def books(self, engine: VectorEngine) -> VectorIndex:
        """The bookshop in a plain index, half of it indexed, half just written."""
        index = await engine.create(spec_of(plainest(engine)))
        await bookshop.stock(index, stop=120)
        await index.optimize()
        await bookshop.stock(index, start=120)
        return index

    # -- what may be asked of an index ---------------------------------------------------------------------------
    @pytest.mark.parametrize("quantization", list(Quantization))
    @pytest.mark.parametrize("kind", list(IndexKind))
    async def test_kind_and_quantization(
        self, engine: VectorEngine, kind: IndexKind, quantization: Quantization
    ) -> None:
        settings = replace(plainest(engine), kind=kind, quantization=quantization)
        if kind not in engine.capabilities.kinds or quantization not in quantizations(engine, kind):
            with pytest.raises(UnsupportedByEngine) as refused:
                await engine.create(spec_of(settings))
            assert refused.value.field in ("index.kind", "index.quantization")
            return
        index = await engine.create(spec_of(settings))
        await bookshop.stock(index)
        await check_searches(index, engine)
        await index.optimize()
        await check_searches(index, engine)
        await index.delete(bookshop.keys()[:200])
        await check_all_found(index, bookshop.keys()[200:])

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_metric(self, engine: VectorEngine, metric: Metric) -> None:
        settings = replace(plainest(engine), metric=metric)
        if metric not in engine.capabilities.metrics:
            with pytest.raises(UnsupportedByEngine, match="metric"):
                await engine.create(spec_of(settings))
            return
        scale = 1.0 if metric is Metric.COSINE else 3.0
        index = await engine.create(spec_of(settings))
        await bookshop.stock(index, scale=scale)
        query, stored = bookshop.vectors(1, seed=9)[0], bookshop.vectors() * np.float32(scale)
        expected = -np.linalg.norm(stored - query, axis=1) if metric is Metric.EUCLIDEAN else stored @ query
        order = np.argsort(-expected, kind="stable")
        found = await index.nearest(query, limit=50, exact=engine.capabilities.exact)
        assert found.keys.tolist() == bookshop.keys()[order[:50]].tolist()
        np.testing.assert_allclose(found.scores, expected[order[:50]], atol=1e-4)
        assert found.keys.dtype == np.int64
        assert found.scores.dtype == np.float32

    async def test_too_many_dimensions_are_refused(self, engine: VectorEngine) -> None:
        with pytest.raises(UnsupportedByEngine, match="dimensions"):
            await engine.create(spec_of(plainest(engine), dimension=engine.capabilities.max_dimension + 1))

    async def test_as_many_dimensions_as_claimed_are_held(self, engine: VectorEngine) -> None:
        most = engine.capabilities.max_dimension
        index = await engine.create(spec_of(plainest(engine), dimension=most))
        stored = np.eye(3, most, dtype=np.float32)
        await index.upsert(bookshop.keys(3), stored, [{}] * 3, [""] * 3)
        await index.optimize()
        assert (await index.nearest(stored[1], limit=1)).keys.tolist() == [bookshop.keys()[1]]

    async def test_as_many_hits_as_claimed_may_be_asked(self, books: VectorIndex, engine: VectorEngine) -> None:
        found = await books.nearest(bookshop.vectors(1, seed=4)[0], limit=engine.capabilities.max_hits)
        assert len(found) >= RECALL * min(bookshop.ROWS, engine.capabilities.max_hits)

    async def test_effort(self, engine: VectorEngine) -> None:
        if engine.capabilities.effort:
            index = await engine.create(spec_of(replace(plainest(engine), kind=IndexKind.HNSW)))
            await bookshop.stock(index)
            await index.optimize()
            found = await index.nearest(bookshop.vectors()[5], limit=10, effort=100)
            assert found.keys[0] == bookshop.keys()[5]
        else:
            index = await engine.create(spec_of(plainest(engine)))
            with pytest.raises(UnsupportedByEngine):
                await index.nearest(bookshop.vectors()[5], limit=10, effort=100)

    async def test_exact_search_is_given_or_refused(self, books: VectorIndex, engine: VectorEngine) -> None:
        query = bookshop.vectors(1, seed=4)[0]
        if engine.capabilities.exact:
            assert (await books.nearest(query, limit=10, exact=True)).keys.tolist() == truly_nearest(query, 10)
        else:
            with pytest.raises(UnsupportedByEngine):
                await books.nearest(query, limit=10, exact=True)

    # -- filters -------------------------------------------------------------------------------------------------
    async def test_filters_are_honoured_or_refused(self, books: VectorIndex, engine: VectorEngine) -> None:
        query = bookshop.vectors(1, seed=2)[0]
        honoured = set()
        for where in bookshop.FILTER_EXAMPLES:
            if type(where) not in engine.capabilities.filters:
                assert books.unsupported(where), where
            if books.unsupported(where):
                for asked in (books.nearest(query, limit=5, where=where), books.count(where)):
                    with pytest.raises(UnsupportedByEngine):
                        await asked
                continue
            numbers = [n for n in range(bookshop.ROWS) if matches(where, bookshop.row(n))]
            expected = truly_nearest(query, 25, numbers)
            honoured.add(type(where))
            assert len(await books.nearest(query, limit=25, where=where)) == len(expected), where
            assert await books.count(where) == len(numbers), where
            if engine.capabilities.exact:
                found = await books.nearest(query, limit=25, where=where, exact=True)
                assert found.keys.tolist() == expected, where
        assert honoured == engine.capabilities.filters  # none is claimed that no index ever takes

    # -- writes --------------------------------------------------------------------------------------------------
    async def test_a_row_is_replaced_whole(self, books: VectorIndex) -> None:
        key, vector = bookshop.keys()[3:4], bookshop.vectors(1, seed=77)
        for _ in range(2):  # and a replay changes nothing
            await books.upsert(key, vector, [{"brand": "other"}], ["zebra"])
        assert await books.count() == bookshop.ROWS
        assert (await books.nearest(vector[0], limit=1)).keys.tolist() == key.tolist()
        found, stored = await books.vectors(key)
        np.testing.assert_allclose(stored, vector, atol=1e-3)
        assert found.tolist() == key.tolist()
        if not books.unsupported(Eq("brand", "other")):
            assert await books.count(Eq("brand", "other")) == 1
        before = Gte("price", 0.0)
        if not books.unsupported(before):  # the price it had is gone with the row it was part of
            assert key[0] not in (await books.nearest(vector[0], limit=bookshop.ROWS, where=before)).keys

    async def test_deleted_rows_are_gone(self, books: VectorIndex) -> None:
        gone = bookshop.keys()[100:140]
        await books.delete(np.concatenate([gone, np.array([7, 2**62], np.int64)]))
        await books.delete(gone)
        assert await books.count() == bookshop.ROWS - 40
        found = await books.nearest(bookshop.vectors()[110], limit=bookshop.ROWS)
        assert len(found) == bookshop.ROWS - 40
        assert not set(found.keys.tolist()) & set(gone.tolist())
        assert len((await books.vectors(gone))[0]) == 0
        await bookshop.stock(books, start=100, stop=140)
        assert (await books.nearest(bookshop.vectors()[110], limit=1)).keys.tolist() == [gone[10]]

    async def test_wrong_vectors_are_refused(self, books: VectorIndex) -> None:
        narrow, blank = np.ones(bookshop.DIMENSION - 1, np.float32), np.full(bookshop.DIMENSION, np.nan, np.float32)
        for vector, error in ((narrow, DimensionMismatch), (blank, InvalidVector)):
            with pytest.raises(error):
                await books.nearest(vector, limit=1)
            with pytest.raises(error):
                await books.upsert(bookshop.keys()[:1], vector[None], [{}], [""])
        assert await books.count() == bookshop.ROWS

    async def test_the_widest_keys(self, books: VectorIndex) -> None:
        keys = np.array([0, 2**63 - 1], np.int64)
        await books.upsert(keys, bookshop.vectors(2, seed=5), [{}, {}], ["", ""])
        found = await books.nearest(bookshop.vectors(2, seed=5)[1], limit=1)
        assert found.keys.tolist() == [2**63 - 1]
        assert (await books.vectors(keys[::-1]))[0].tolist() == [2**63 - 1, 0]

    async def test_keys_are_listed_once(self, books: VectorIndex) -> None:
        await books.delete(bookshop.keys()[:5])
        assert sorted(await listed_keys(books)) == bookshop.keys()[5:].tolist()

    async def test_stats(self, books: VectorIndex) -> None:
        stats = await books.stats()
        assert stats.rows == bookshop.ROWS
        assert stats.bytes > 0
        assert 0 <= stats.unindexed <= bookshop.ROWS

    # -- answers -------------------------------------------------------------------------------------------------
    async def test_limits_below_and_beyond_the_rows(self, books: VectorIndex) -> None:
        query = bookshop.vectors(1, seed=6)[0]
        assert (await books.nearest(query, limit=1)).keys.tolist() == truly_nearest(query, 1)
        everything = await books.nearest(query, limit=10 * bookshop.ROWS)
        assert sorted(everything.keys.tolist()) == bookshop.keys().tolist()
        assert (np.diff(everything.scores) <= 0).all()

    async def test_an_empty_index_answers(self, engine: VectorEngine) -> None:
        index = await engine.create(spec_of(plainest(engine)))
        await index.optimize()
        await index.flush()
        assert len(await index.nearest(bookshop.vectors(1)[0], limit=5)) == 0
        assert await index.count() == 0
        assert await listed_keys(index) == []
        if engine.capabilities.lexical:
            assert len(await index.lexical("lamp", limit=5)) == 0

    async def test_ties_go_to_the_lower_key(self, engine: VectorEngine) -> None:
        index = await engine.create(spec_of(plainest(engine)))
        keys = np.random.default_rng(3).permutation(200).astype(np.int64)
        same = np.repeat(bookshop.vectors(1), 100, axis=0)
        await index.upsert(keys[:100], same, [{}] * 100, ["lamp"] * 100)
        await index.optimize()
        await index.upsert(keys[100:], same, [{}] * 100, ["lamp"] * 100)
        for limit in (1, 7, 150):
            assert (await index.nearest(same[0], limit=limit)).keys.tolist() == list(range(limit))
            if engine.capabilities.lexical:
                assert (await index.lexical("lamp", limit=limit)).keys.tolist() == list(range(limit))

    async def test_words(self, books: VectorIndex, engine: VectorEngine) -> None:
        if not engine.capabilities.lexical:
            with pytest.raises(UnsupportedByEngine):
                await books.lexical("lamp", limit=3)
            return
        every = range(bookshop.ROWS)
        for words, expected in {
            "number17": [17],
            "NUMBER17 number18": [17, 18],
            "headphone": [n for n in every if n % 5 == 0],
            "table": [n for n in every if n % 5 == 1],
            "CAFE": [n for n in every if n % 5 == 2],
            "boots or -anything": [n for n in every if n % 5 == 3],
            '"the AND (of) lamp*~': [n for n in every if n % 5 == 4],
            "the of AND": [],
            "\\ \0 ?! \" '": [],
            " ": [],
            "title:nothing": [],
        }.items():
            found = await books.lexical(words, limit=bookshop.ROWS)
            assert sorted(found.keys.tolist()) == bookshop.keys()[expected].tolist(), words
            assert (found.scores > 0).all()
            assert (np.diff(found.scores) <= 0).all()
        best = await books.lexical("wireless number5", limit=3)
        assert best.keys.tolist() == bookshop.keys()[[5, 0, 10]].tolist()
        where = Eq("used", True)
        if not books.unsupported(where):
            found = await books.lexical("lamp", limit=4, where=where)
            expected = [n for n in every if n % 5 == 4 and matches(where, bookshop.row(n))]
            assert found.keys.tolist() == bookshop.keys()[expected[:4]].tolist()
        await books.delete(bookshop.keys()[17:18])
        assert len(await books.lexical("number17", limit=1)) == 0

    @pytest.mark.parametrize("language", sorted(LANGUAGES))
    async def test_a_language_is_stemmed_or_refused(self, engine: VectorEngine, language: str) -> None:
        spec = replace(spec_of(plainest(engine)), language=language)
        claimed = engine.capabilities
        if language != ENGLISH and not (claimed.lexical and language in claimed.languages):
            with pytest.raises(UnsupportedByEngine, match="language"):
                await engine.create(spec)
        elif claimed.lexical:
            index = await engine.create(spec)
            keys = bookshop.keys()[: len(TEXTS)]
            await index.upsert(keys, bookshop.vectors()[: len(keys)], [{} for _ in TEXTS], TEXTS)
            for text in TEXTS:
                for word in WORD.findall(text):
                    found = await index.lexical(word, limit=len(TEXTS))
                    asked = terms(without_stop_words(word, language), language)
                    expected = [
                        key for key, held in zip(keys, TEXTS, strict=True) if {*asked} & {*terms(held, language)}
                    ]
                    assert sorted(found.keys.tolist()) == expected, (language, word)

    async def test_searches_go_on_beside_writes_and_upkeep(self, books: VectorIndex) -> None:
        async def search() -> None:
            for n in range(0, 100, 3):
                found = await books.nearest(bookshop.vectors()[n], limit=5, where=None)
                assert found.keys[0] == bookshop.keys()[n]

        async def write() -> None:
            for start in range(200, bookshop.ROWS, 10):
                await bookshop.stock(books, start=start, stop=start + 10)
                await books.delete(bookshop.keys()[start : start + 5])
                await books.flush()

        await asyncio.gather(search(), write(), books.optimize(), search())
        assert await books.count() == bookshop.ROWS - 20

    # -- lifetime ------------------------------------------------------------------------------------------------
    async def test_opened_again_it_answers_the_same(
        self, books: VectorIndex, engine: VectorEngine, engine_at: Callable[[Path], VectorEngine], tmp_path: Path
    ) -> None:
        if not engine.capabilities.durable:
            pytest.skip("the engine does not claim to be durable")
        query = bookshop.vectors(1, seed=8)[0]
        await books.delete(bookshop.keys()[:3])
        before = await books.nearest(query, limit=50)
        await books.flush()
        await engine.close()
        again = engine_at(tmp_path / "engine")
        index = await again.open(books.spec)
        after = await index.nearest(query, limit=50)
        assert after.keys.tolist() == before.keys.tolist()
        assert await index.count() == bookshop.ROWS - 3
        for where in (Eq("brand", "back\\slash\\"), Gte("price", 30.0)):
            if not index.unsupported(where):
                assert await index.count(where) == sum(matches(where, bookshop.row(n)) for n in range(3, bookshop.ROWS))
        await again.close()

    async def test_what_was_flushed_survives_a_kill(
        self,
        engine: VectorEngine,
        engine_at: Callable[[Path], VectorEngine],
        tmp_path: Path,
        address: str | None,
        key: str | None,
    ) -> None:
        if not engine.capabilities.durable:
            pytest.skip("the engine does not claim to be durable")
        kind = self.engine_type
        where = [kind.__module__, kind.__qualname__, str(tmp_path / "killed"), address or "", key or ""]
        with subprocess.Popen(  # noqa: ASYNC220, S603 - nothing else is to run, and the command is ours
            [sys.executable, "-c", _WRITER, *where], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert [writer.stdout.readline().strip() for _ in range(2)] == ["flushed", "written"]
            writer.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        survivor = engine_at(tmp_path / "killed")
        index = await survivor.open(spec_of(plainest(engine)))
        listed = await listed_keys(index)
        assert set(bookshop.keys()[40:].tolist()) <= set(listed)
        assert len(listed) == len(set(listed)) == await index.count()
        assert (await index.nearest(bookshop.vectors()[99], limit=1)).keys[0] == bookshop.keys()[99]
        await bookshop.stock(index)
        assert await index.count() == bookshop.ROWS
        await survivor.close()

    async def test_missing_and_foreign_indexes_are_told(self, engine: VectorEngine) -> None:
        spec = spec_of(plainest(engine))
        with pytest.raises(IndexMissing):
            await engine.open(spec)
        await (await engine.create(spec)).flush()
        with suppress(UnsupportedByEngine), pytest.raises(IndexDamaged):
            await engine.open(spec_of(plainest(engine), dimension=bookshop.DIMENSION + 1))
        await engine.drop(spec.name)
        await engine.drop(spec.name)
        with pytest.raises(IndexMissing):
            await engine.open(spec)

    async def test_created_again_it_is_empty(self, books: VectorIndex, engine: VectorEngine) -> None:
        assert await (await engine.create(books.spec)).count() == 0

    async def test_indexes_do_not_mix(self, books: VectorIndex, engine: VectorEngine) -> None:
        other = await engine.create(spec_of(plainest(engine), name="others"))
        await bookshop.stock(other, stop=5)
        assert (await other.count(), await books.count()) == (5, bookshop.ROWS)
        await engine.drop("others")
        assert await books.count() == bookshop.ROWS

    async def test_closed_it_says_so(self, books: VectorIndex, engine: VectorEngine) -> None:
        await books.close()
        await books.close()
        query = bookshop.vectors(1)[0]
        for call in (books.count(), books.nearest(query, limit=1), books.flush(), books.delete(bookshop.keys()[:1])):
            with pytest.raises(EngineUnavailable):
                await call
        await engine.close()
        await engine.close()
