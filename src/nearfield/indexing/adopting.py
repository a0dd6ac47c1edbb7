"""Vectors that a known model made elsewhere, put where its own are kept, so that nothing is embedded again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.documents import text_hash
from nearfield.domain.errors import DimensionMismatch, InvalidRequest
from nearfield.indexing.chunking import Chunker
from nearfield.protocols.source import PASSAGES, VECTOR, SourceRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.domain.documents import Float32Array, Rejection
    from nearfield.domain.reports import UpsertResult
    from nearfield.domain.templates import Template
    from nearfield.indexing.imports import Takes
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.store import Store

    Made = list[tuple[str, Float32Array]]  # a passage and the vector it came with, of unit length

SAMPLE: Final = 20
"""Texts embedded before anything is taken, to see whether the model is the one."""
LEAST_COSINE: Final = 0.99
"""Of a text's vector with the one it came with. A model in bfloat16 and in float32 agree to 0.9999, and one asked
another way (without its normalisation, with other prompts, of other text) to far less."""


class AdoptedVectors:
    """Documents of one collection whose vectors were made elsewhere by its embedder. What an import needs of
    `Documents`; each batch has one of its vectors made again and compared."""

    def __init__(self, documents: Takes, store: Store, embedder: Embedder, template: Template) -> None:
        self._documents, self._store, self._embedder = documents, store, embedder
        self._made = MadeElsewhere(embedder, template)

    async def upsert(
        self, name: str, rows: Sequence[SourceRow | Rejection], *, id_field: str | None = "id"
    ) -> UpsertResult:
        """See `Documents.upsert`. Rows without a usable vector are embedded. Raises InvalidRequest as `check` does."""
        made = await asyncio.to_thread(self._made.of, rows)
        if made:
            await check_made_by(self._embedder, made, sample=1)
            hashes, vectors = [text_hash(text) for text, _ in made], np.stack([vector for _, vector in made])
            await self._store.put_vectors(self._embedder.fingerprint, hashes, vectors)
        return await self._documents.upsert(name, [_bare(row) for row in rows], id_field=id_field)

    async def pending(self, name: str) -> int:
        return await self._documents.pending(name)


class MadeElsewhere:
    """Finds, among rows, the texts that will be embedded and the vectors that came with them."""

    def __init__(self, embedder: Embedder, template: Template) -> None:
        self._dimension, self._template, self._chunker = embedder.dimension, template, Chunker(embedder)

    def of(self, rows: Sequence[SourceRow | Rejection]) -> Made:
        """Each passage with its vector, where a row brought as many as it has passages. Blocks."""
        bodies = [row.body for row in rows if isinstance(row, SourceRow)]
        texts = [self._template.render(body) for body in bodies]
        made: Made = []
        for body, text, passages in zip(bodies, texts, self._chunker.split(texts), strict=True):
            given = _given(body, len(passages))
            if text and given is not None:
                made += [(piece, self._unit(vector)) for piece, vector in zip(passages, given, strict=True)]
        return [(text, vector) for text, vector in made if vector.any()]

    def _unit(self, given: Any) -> Float32Array:
        """The vector with unit length; zeros where it is none. Raises DimensionMismatch."""
        try:
            vector = np.asarray(given, np.float64)
        except (TypeError, ValueError):
            return np.zeros(self._dimension, np.float32)
        if vector.shape != (self._dimension,):
            raise DimensionMismatch(
                f"a vector has shape {vector.shape}; this model's have {self._dimension} components", field="vectors_by"
            )
        length = float(np.linalg.norm(vector))
        usable = np.isfinite(length) and length > 0
        return np.asarray(vector / length if usable else np.zeros(self._dimension), np.float32)


async def check_made_by(embedder: Embedder, made: Made, *, sample: int = SAMPLE) -> float:
    """Embed some of the texts, from everywhere among them, and compare; the least cosine.

    Raises InvalidRequest, naming it, when it is below LEAST_COSINE, or when there is nothing to compare.
    """
    if not made:
        raise InvalidRequest(
            f"no text with a vector was found in the first rows, so it cannot be seen whether {embedder.name} made "
            "the vectors; leave the model out to take them as they are, or name the text's template",
            field="vectors_by",
        )
    chosen = [made[place] for place in dict.fromkeys(np.linspace(0, len(made) - 1, sample).astype(int).tolist())]
    ours = await embedder.embed([text for text, _ in chosen], role="document")
    cosines = (ours * np.stack([vector for _, vector in chosen])).sum(axis=1)
    if float(cosines.min()) < LEAST_COSINE:
        raise InvalidRequest(
            f"the vectors were not made by {embedder.name} from these texts: of {len(chosen)} embedded again the "
            f"cosine with the vector that came is {cosines.min():.3f} at least and {cosines.mean():.3f} on average, "
            f"expected {LEAST_COSINE} or more; name the model that made them, or the template of the text it read",
            field="vectors_by",
        )
    return float(cosines.min())


def _given(body: Mapping[str, Any], passages: int) -> Sequence[Any] | None:
    given = body.get(PASSAGES) if passages > 1 else [body.get(VECTOR)]
    return None if given is None or len(given) != passages or any(one is None for one in given) else given


def _bare(row: SourceRow | Rejection) -> SourceRow | Rejection:
    if not isinstance(row, SourceRow):
        return row
    body = {name: value for name, value in row.body.items() if name not in (VECTOR, PASSAGES)}
    return SourceRow(row.line, body, row.textual)
