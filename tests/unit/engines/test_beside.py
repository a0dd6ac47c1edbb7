"""Words beside an engine: what it claims then, and that both stay one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pytest
from tests.unit.engines.doors import WORDLESS, DoorEngine

from nearfield.domain.errors import EngineUnavailable, IndexDamaged
from nearfield.domain.schema import IndexKind, IndexSettings
from nearfield.engines.beside import WithWords
from nearfield.engines.exact import ExactEngine
from nearfield.engines.local import LocalEngine
from nearfield.protocols.engine import words_beside, words_index
from nearfield.testing import bookshop
from nearfield.testing.engine_checks import listed_keys, spec_of
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from nearfield.protocols.engine import EngineCapabilities, VectorEngine

FLAT = spec_of(IndexSettings(kind=IndexKind.FLAT))


class Spoken(WithWords):
    """A wordless engine with the words of `local` beside it, as an entry point would name it."""

    capabilities: ClassVar[EngineCapabilities] = replace(
        WORDLESS, lexical=True, languages=LocalEngine.capabilities.languages, remote=False
    )

    @classmethod
    def at(cls, folder: Path) -> Self:
        cls.name = "door"  # type: ignore[method-assign, assignment]
        engine = cls(DoorEngine.at(folder / "vectors"), LocalEngine.at(folder / "words"), folder / "words")
        assert WithWords.capabilities.fget is not None  # type: ignore[attr-defined]
        claimed = WithWords.capabilities.fget(engine)  # type: ignore[attr-defined]
        assert replace(claimed, remote=False) == cls.capabilities
        return engine

    async def close(self) -> None:
        await super().close()
        await self._words.close()


@pytest.mark.heavy
@pytest.mark.servers
class TestWithWords(EngineSuite):
    engine_type = Spoken  # type: ignore[assignment]


def both(folder: Path, vectors: VectorEngine | None = None) -> WithWords:
    return WithWords(vectors or DoorEngine.at(folder / "vectors"), ExactEngine.at(folder / "words"), folder / "marks")


async def test_the_engine_never_sees_a_text(tmp_path: Path) -> None:
    engine = both(tmp_path)
    index = await engine.create(replace(FLAT, language="german", texts="recipe"))
    await bookshop.stock(index, stop=10)
    assert set(DoorEngine.doors[str(tmp_path / "vectors")].texts) == {""}
    assert len(await index.lexical("number3", limit=5)) == 1
    await index.flush()
    await engine.close()
    # another recipe of texts is no other index of vectors, but other words
    again = both(tmp_path)
    index = await again.open(FLAT)
    assert await index.count() == 10
    beside = words_beside(index)
    assert beside is not None
    assert beside.unfilled
    await again.close()


async def test_words_that_are_lost_are_to_be_filled_until_they_are_whole(tmp_path: Path) -> None:
    engine = both(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    await index.flush()
    await engine.close()
    await ExactEngine.at(tmp_path / "words").drop(FLAT.name)
    for again in range(2):
        engine = both(tmp_path)
        index = await engine.open(FLAT)
        beside = words_beside(index)
        assert beside is not None
        assert beside.unfilled, again  # the second time it is there, half filled
        assert await index.count() == 10
        rows, texts = [bookshop.row(n) for n in range(4)], [bookshop.text(n) for n in range(4)]
        await beside.put_words(bookshop.keys()[:4], rows, texts)
        await beside.words.flush()
        if again:
            await beside.words_filled()
            assert not beside.unfilled
        await engine.close()
    engine = both(tmp_path)
    beside = words_beside(await engine.open(FLAT))
    assert beside is not None
    assert not beside.unfilled
    assert await beside.words.count() == 4
    await engine.close()


async def test_damaged_vectors_are_told(tmp_path: Path) -> None:
    engine = both(tmp_path)
    await (await engine.create(FLAT)).flush()
    await engine.close()
    (tmp_path / "vectors" / "books" / "spec.json").write_text("{")
    engine = both(tmp_path)
    with pytest.raises(IndexDamaged):
        await engine.open(FLAT)
    await engine.close()


async def test_what_the_engine_did_not_take_is_not_among_the_words(tmp_path: Path) -> None:
    engine = both(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    door = DoorEngine.doors[str(tmp_path / "vectors")]
    door.state = "shut"
    for write in (bookshop.stock(index, start=10, stop=20), index.delete(bookshop.keys()[:5]), index.flush()):
        with pytest.raises(EngineUnavailable):
            await write
    assert await words_index(index).count() == 10
    assert len(await index.lexical("number3", limit=5)) == 1  # words do without the engine
    door.state = "open"
    await engine.close()


async def test_an_engine_with_words_keeps_them_beside_only_where_asked(tmp_path: Path) -> None:
    engine = both(tmp_path, ExactEngine.at(tmp_path / "vectors"))
    assert engine.capabilities == ExactEngine.capabilities
    index = await engine.create(FLAT)
    assert words_beside(index) is None
    await bookshop.stock(index, stop=10)
    await index.flush()
    kept = await engine.open(replace(FLAT, words_beside=True))
    beside = words_beside(kept)
    assert beside is not None
    assert beside.unfilled
    await beside.words_filled()
    assert await kept.count() == 10
    # given up and asked for again, they must not be taken for whole
    await engine.open(FLAT)
    assert not list((tmp_path / "words").glob("books/spec.json"))
    beside = words_beside(await engine.open(replace(FLAT, words_beside=True)))
    assert beside is not None
    assert beside.unfilled
    await engine.close()


async def test_fresh_words_ask_for_an_optimize(tmp_path: Path) -> None:
    engine = both(tmp_path)
    index = await engine.create(FLAT)
    await bookshop.stock(index, stop=10)
    told = await index.stats()
    assert (told.rows, told.unindexed) == (10, 10)
    await index.optimize()
    assert (await index.stats()).unindexed == 0
    assert sorted(await listed_keys(index)) == sorted(bookshop.keys()[:10].tolist())
    assert np.array_equal((await index.vectors(bookshop.keys()[:2]))[1], bookshop.vectors()[:2])
    await engine.close()
