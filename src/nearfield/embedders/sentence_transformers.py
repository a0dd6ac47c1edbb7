"""Sentence Transformers: any model it knows, and GPUs. Needs the extra `sentence-transformers`, which brings torch."""

from __future__ import annotations

import hashlib
import importlib
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import EmbedderUnavailable, MissingDependency, ModelUnknown, ModelUnreachable
from nearfield.embedders.encoder_ports import ENCODER
from nearfield.embedders.pooling import unit_rows
from nearfield.embedders.roles import checked_role
from nearfield.graphs.fingerprint import fingerprint
from nearfield.graphs.lane import Lane
from nearfield.graphs.tokenization import well_formed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.protocols.embedder import Role

TURN_TEXTS: Final = 64


class SentenceTransformersEmbedder:
    """See `Embedder`. Queries and documents share one model, and one thread: calls take turns of TURN_TEXTS texts."""

    def __init__(self, model: str, *, device: str | None = None, revision: str | None = None) -> None:
        """Load a model; seconds to minutes, downloads included. Construct it in a thread.

        model: a hub name or a folder, as Sentence Transformers takes it. device: `cpu`, `cuda`, ...; None for the best
        there is. revision: of a hub model; None for its newest.
        Raises MissingDependency, ModelUnknown, ModelUnreachable.
        """
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency(
                "sentence-transformers is not installed; pip install 'nearfield[sentence-transformers]'",
                field="embedder",
            ) from exc
        try:
            self._model: Any = SentenceTransformer(model, device=device, revision=revision)
        except ValueError as exc:
            raise ModelUnknown(f"sentence-transformers cannot load {model!r}: {exc}", field="embedder") from exc
        except OSError as exc:
            raise ModelUnreachable(f"sentence-transformers cannot reach {model!r}: {exc}") from exc
        self._model.eval()
        _use_the_cores()
        self._name = f"sentence-transformers:{model}"
        self._dimension = len(self._model.encode(["width"], show_progress_bar=False)[0])
        self._max_tokens = int(self._model.max_seq_length or 0)
        self._fingerprint = fingerprint(
            model,
            {
                "weights": _state_digest(self._model),
                "modules": [type(module).__name__ for module in self._model],
                "max_tokens": self._max_tokens,
                "prompts": dict(self._model.prompts or {}),
                "default_prompt": self._model.default_prompt_name,
            },
        )
        self._lane = Lane("sentence-transformers", ENCODER)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`."""
        checked_role(role)
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # alike in length, so that little is padded
        for start in range(0, len(order), TURN_TEXTS):
            rows = order[start : start + TURN_TEXTS]
            vectors[rows] = await self._lane.run(self._encode, [texts[at] for at in rows], role)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """See `Embedder.count_tokens`."""
        if not len(texts):
            return np.zeros(0, dtype=np.int64)
        given = [well_formed(text) for text in texts]
        ids = self._model.tokenizer(given, truncation=False, padding=False, verbose=False)["input_ids"]
        return np.asarray([len(row) for row in ids], dtype=np.int64)

    async def warm(self) -> None:
        """See `Embedder.warm`."""
        await self.embed(["warm"], role="query")

    async def close(self) -> None:
        """See `Embedder.close`."""
        await self._lane.close()

    def _encode(self, texts: list[str], role: Role) -> Float32Array:
        named = getattr(self._model, f"encode_{role}", self._model.encode)  # absent before Sentence Transformers 5
        try:
            found = named([well_formed(text) for text in texts], convert_to_numpy=True, show_progress_bar=False)
        except RuntimeError as exc:
            raise EmbedderUnavailable(f"sentence-transformers failed on {len(texts)} texts: {exc}") from exc
        return unit_rows(np.asarray(found, dtype=np.float32))


def _state_digest(model: Any) -> str:
    """SHA-256 over every weight's name, type and bytes: what the model is, wherever it came from."""
    uint8 = importlib.import_module("torch").uint8  # numpy has no bfloat16, bytes it has
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{whole.dtype}\0{tuple(whole.shape)}\n".encode())
        digest.update(whole.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def _use_the_cores() -> None:
    """Hold torch to a thread per core: OMP_NUM_THREADS may have been set for another library of the process."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(min(torch.get_num_threads(), os.cpu_count() or 1))
