"""Words for an engine that has none, or that may be down: an index of words alone beside each of its indexes.

Whatever is written to the engine is written there too, under the same keys and with the same fields, after it. The
caller moves its watermark once both are flushed, so that a crash between the two is made good by what it applies again.
Where the words are lost, or asked for later than the vectors, they alone are filled anew, from the store.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from nearfield.domain.errors import IndexDamaged, IndexMissing
from nearfield.domain.languages import ENGLISH
from nearfield.domain.schema import IndexKind, IndexSettings, Metric
from nearfield.engines.durable import disk_errors, write_atomically
from nearfield.protocols.engine import IndexSpec, IndexStats, check_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.domain.filters import Filter, Row
    from nearfield.domain.hits import Matches
    from nearfield.protocols.engine import EngineCapabilities, VectorEngine, VectorIndex

_PLAIN: Final = IndexSettings(kind=IndexKind.FLAT, metric=Metric.DOT)


class WithWords:
    """Keeps words beside where the engine claims no lexical search, or an index asks for it (`spec.words_beside`).

    It claims what the engine does, and lexical search.
    """

    def __init__(self, vectors: VectorEngine, words: VectorEngine, folder: Path) -> None:
        """words: an engine with lexical search and flat indexes, which others may use too; closed by who gave it.

        folder: for the marks of indexes whose words are not whole.
        """
        self._vectors, self._words, self._folder = vectors, words, folder
        self._lacking = not vectors.capabilities.lexical
        self._open: dict[str, WithWordsIndex] = {}

    @property
    def name(self) -> str:
        return self._vectors.name

    @property
    def capabilities(self) -> EngineCapabilities:
        claimed = self._vectors.capabilities
        if not self._lacking:
            return claimed
        return replace(claimed, lexical=True, languages=self._words.capabilities.languages)

    async def create(self, spec: IndexSpec) -> VectorIndex:
        check_spec(self.name, self.capabilities, spec)
        vectors = await self._vectors.create(self._of_vectors(spec))
        if not self._keeps(spec):
            await self._forget(spec.name)
            return vectors
        words = await self._words.create(_of_words(spec))
        await self._unmark(spec.name)
        return self._hand_out(vectors, words, spec, unfilled=False)

    async def open(self, spec: IndexSpec) -> VectorIndex:
        check_spec(self.name, self.capabilities, spec)
        vectors = await self._vectors.open(self._of_vectors(spec))
        if not self._keeps(spec):
            await self._forget(spec.name)
            return vectors
        try:
            if await asyncio.to_thread(self._mark(spec.name).exists):
                raise IndexMissing(f"the words of index {spec.name!r} were never filled")
            words, unfilled = await self._words.open(_of_words(spec)), False
        except IndexDamaged:
            await asyncio.to_thread(self._set_mark, spec.name)  # first: words half filled must not pass for whole
            words, unfilled = await self._words.create(_of_words(spec)), True
        return self._hand_out(vectors, words, spec, unfilled=unfilled)

    async def drop(self, name: str) -> None:
        await self._vectors.drop(name)
        await self._forget(name)

    async def close(self) -> None:
        for index in self._open.values():
            await index.close()
        self._open.clear()
        await self._vectors.close()

    async def words_filled(self, name: str) -> None:
        """Note that the words of an index are whole."""
        await self._unmark(name)

    def _keeps(self, spec: IndexSpec) -> bool:
        return self._lacking or spec.words_beside

    def _of_vectors(self, spec: IndexSpec) -> IndexSpec:
        """What the engine is asked for. Texts it never sees are no part of it: another language leaves it as it is."""
        if self._lacking:
            return replace(spec, language=ENGLISH, texts="", words_beside=False)
        return replace(spec, words_beside=False)

    def _hand_out(self, vectors: VectorIndex, words: VectorIndex, spec: IndexSpec, *, unfilled: bool) -> VectorIndex:
        index = WithWordsIndex(self, vectors, words, spec, lacking=self._lacking, unfilled=unfilled)
        self._open[spec.name] = index
        return index

    async def _forget(self, name: str) -> None:
        await self._words.drop(name)
        await self._unmark(name)

    def _mark(self, name: str) -> Path:
        return self._folder / f"{name}.unfilled"

    def _set_mark(self, name: str) -> None:
        with disk_errors("making an index of words"):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._mark(name), b"")

    async def _unmark(self, name: str) -> None:
        with disk_errors("filling an index of words"):
            await asyncio.to_thread(self._mark(name).unlink, missing_ok=True)


class WithWordsIndex:
    """An index and its words."""

    def __init__(
        self,
        engine: WithWords,
        vectors: VectorIndex,
        words: VectorIndex,
        spec: IndexSpec,
        *,
        lacking: bool,
        unfilled: bool,
    ) -> None:
        self._engine, self._vectors, self._spec = engine, vectors, spec
        self.words = words
        self.unfilled = unfilled
        self._lacking = lacking
        self._fresh = 0  # rows of words since they were last optimised, which makes their searches ten times as quick

    @property
    def spec(self) -> IndexSpec:
        return self._spec

    def unsupported(self, where: Filter) -> bool:
        """Of a search by meaning. What cannot be said here may be said of `words`."""
        return self._vectors.unsupported(where)

    async def upsert(self, keys: Int64Array, vectors: Float32Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        await self._vectors.upsert(keys, vectors, rows, [""] * len(texts) if self._lacking else texts)
        await self.put_words(keys, rows, texts)

    async def put_words(self, keys: Int64Array, rows: Sequence[Row], texts: Sequence[str]) -> None:
        await self.words.upsert(keys, np.ones((len(keys), 1), np.float32), rows, texts)
        self._fresh += len(keys)

    async def words_filled(self) -> None:
        await self.words.flush()
        await self._engine.words_filled(self._spec.name)
        self.unfilled = False

    async def delete(self, keys: Int64Array) -> None:
        await self._vectors.delete(keys)
        await self.words.delete(keys)

    async def nearest(
        self,
        vector: Float32Array,
        *,
        limit: int,
        where: Filter | None = None,
        effort: int | None = None,
        exact: bool = False,
    ) -> Matches:
        return await self._vectors.nearest(vector, limit=limit, where=where, effort=effort, exact=exact)

    async def lexical(self, text: str, *, limit: int, where: Filter | None = None) -> Matches:
        """As the protocol says, but that it is `words` which must be able to say `where`."""
        return await self.words.lexical(text, limit=limit, where=where)

    async def count(self, where: Filter | None = None) -> int:
        return await self._vectors.count(where)

    async def vectors(self, keys: Int64Array) -> tuple[Int64Array, Float32Array]:
        return await self._vectors.vectors(keys)

    async def keys(self) -> AsyncIterator[Int64Array]:
        async for batch in self._vectors.keys():
            yield batch

    async def flush(self) -> None:
        await self._vectors.flush()
        await self.words.flush()

    async def optimize(self, *, all_cores: bool = False) -> None:
        taken = self._fresh
        await self.words.optimize(all_cores=all_cores)
        self._fresh -= taken
        await self._vectors.optimize(all_cores=all_cores)

    async def stats(self) -> IndexStats:
        """rows: of the engine. bytes, unindexed: with the words."""
        told, words = await self._vectors.stats(), await self.words.stats()
        return IndexStats(told.rows, told.bytes + words.bytes, max(told.unindexed, min(self._fresh, words.rows)))

    async def close(self) -> None:
        try:
            await self._vectors.close()
        finally:
            await self.words.close()


def _of_words(spec: IndexSpec) -> IndexSpec:
    """An index of one component that says nothing, since an engine keeps no rows without vectors."""
    return IndexSpec(spec.name, 1, _PLAIN, spec.fields, spec.language, spec.texts)
