"""Static models: a table of token vectors, averaged. Through model2vec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import InvalidFile, MissingDependency
from nearfield.embedders.encoder_ports import ENCODER
from nearfield.embedders.pooling import unit_rows
from nearfield.embedders.roles import checked_role
from nearfield.graphs.fingerprint import fingerprint
from nearfield.graphs.lane import Lane
from nearfield.graphs.tokenization import TextTokenizer, well_formed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.embedder import Role

MAX_TOKENS: Final = 512  # an average over more says little; model2vec's own default too
TURN_TEXTS: Final = 512


class StaticEmbedder:
    """See `Embedder`. A text's vector does not depend on what is embedded beside it, nor on the role.

    A text without a known token (empty, or only emoji, say) gets the table's mean: the direction of nothing particular.
    """

    def __init__(self, folder: Path, *, name: str, digest: str) -> None:
        """Load a model2vec folder (0.1 s; construct it in a thread).

        digest: names the bytes of the model's files. Raises InvalidFile, MissingDependency.
        """
        try:
            from model2vec import StaticModel  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency("static models need model2vec; pip install model2vec", field="embedder") from exc
        for needed in ("config.json", "model.safetensors", "tokenizer.json"):
            # Checked here, because model2vec asks the hub for what a folder lacks.
            if not (folder / needed).is_file():
                raise InvalidFile(f"folder {folder} holds no {needed}", field="embedder")
        try:
            self._model: Any = StaticModel.from_pretrained(folder, max_length=MAX_TOKENS)
        except Exception as exc:  # safetensors and tokenizers share no error class
            raise InvalidFile(f"{folder} is no readable model2vec model: {exc}", field="embedder") from exc
        self._nothing = unit_rows(self._model.embedding.astype(np.float32).mean(axis=0, keepdims=True))[0]
        self._tokenizer = TextTokenizer(folder / "tokenizer.json", max_tokens=MAX_TOKENS, field="embedder")
        self._name = name
        self._fingerprint = fingerprint(
            folder.name or name, {"weights": digest, "pooling": "static mean", "max_tokens": MAX_TOKENS}
        )
        self._lanes: dict[Role, Lane] = {
            "query": Lane("static-queries", ENCODER),
            "document": Lane("static-documents", ENCODER),
        }

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return int(self._model.dim)

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`."""
        lane = self._lanes[checked_role(role)]
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), TURN_TEXTS):
            end = min(start + TURN_TEXTS, len(texts))
            vectors[start:end] = await lane.run(self._encode, texts[start:end])
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """See `Embedder.count_tokens`."""
        return self._tokenizer.count(texts)

    async def warm(self) -> None:
        """See `Embedder.warm`."""
        for role in self._lanes:
            await self.embed(["warm"], role=role)

    async def close(self) -> None:
        """See `Embedder.close`."""
        for lane in self._lanes.values():
            await lane.close()

    def _encode(self, texts: Sequence[str]) -> Float32Array:
        # One process: model2vec would start others for long lists.
        found = self._model.encode([well_formed(text) for text in texts], use_multiprocessing=False)
        return unit_rows(np.asarray(found, dtype=np.float32), nothing=self._nothing)
