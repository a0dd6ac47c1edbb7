"""What exact search finds among few listings, in float32, with no engine in it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.listings import EMBED
from nearfield.domain.documents import Float32Array
from nearfield.domain.templates import Template
from nearfield.settings import load_settings
from nearfield.wiring import bare_embedder

MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class Truth:
    """Some listings and their vectors, row by row."""

    ids: tuple[str, ...]
    prices: Float32Array
    vectors: Float32Array

    @classmethod
    def of(cls, documents: Sequence[dict[str, Any]]) -> Truth:
        """Embedded now."""
        template = Template(EMBED)
        return cls(
            tuple(document["id"] for document in documents),
            np.array([document["price"] for document in documents], np.float32),
            embed([template.render(document) for document in documents], role="document"),
        )

    def nearest(self, query: str, *, max_price: float | None, limit: int) -> list[str]:
        """The ids of the nearest listings, best first."""
        scores = self.vectors @ embed([query], role="query")[0]
        if max_price is not None:
            scores = np.where(self.prices <= max_price, scores, -np.inf)
        best = np.argsort(-scores, kind="stable")[:limit]
        return [self.ids[row] for row in best if np.isfinite(scores[row])]


def embed(texts: Sequence[str], *, role: Any) -> Float32Array:
    """In float32, whatever the processor would rather."""
    return _runner().run(_embedder().embed(texts, role=role))


@functools.cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


@functools.cache
def _embedder() -> Any:
    return bare_embedder(MODEL, load_settings(precision="float32"))
