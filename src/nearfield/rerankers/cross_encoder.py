"""Cross-encoders as ONNX graphs: OpenVINO on x86-64, ONNX Runtime elsewhere. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from nearfield.domain.errors import RerankerUnavailable
from nearfield.graphs.fingerprint import fingerprint
from nearfield.graphs.gathering import Gathering
from nearfield.graphs.lane import Lane
from nearfield.graphs.onnxruntime_session import OnnxRuntimeSession
from nearfield.graphs.openvino_session import OpenVinoSession
from nearfield.graphs.session import chosen_runtime
from nearfield.graphs.tokenization import PairTokenizer
from nearfield.rerankers.scorer_config import SCORER, ScorerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array
    from nearfield.graphs.session import GraphSession, Precision, Runtime
    from nearfield.protocols.reranker import RerankerPlace

BATCH_TOKENS: Final = 2_048
"""Pairs x longest pair in one run: one run takes every core, and shorter ones would leave some of them waiting."""
TURN_PAIRS: Final = 64
"""Pairs scored in one stay in the thread, of as many callers as fit: those that come meanwhile go together next."""

Pair = tuple[str, str]


class CrossEncoder:
    """See `Reranker`. A score is the logistic function of the model's logit: 1 / (1 + e^-x).

    That keeps the model's order and is the probability its training with binary cross-entropy aimed at. Scores of one
    pair alone and beside others agree to 1e-5 in float32, 2e-2 in bfloat16.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        digest: str,
        runtime: Literal["auto"] | Runtime = "auto",
        precision: Precision = "native",
        threads: int = 0,
        cache_dir: Path | None = None,
        batch_tokens: int = BATCH_TOKENS,
        turn_pairs: int = TURN_PAIRS,
    ) -> None:
        """Read a model's configuration; weights are loaded by `warm`, or by the first `score`.

        Construct it in a thread: the tokenizer is read here. Options as for `OnnxEmbedder`.
        Raises InvalidFile, MissingDependency.
        """
        self._config = ScorerConfig.read(folder)
        self._name = name
        self._runtime = chosen_runtime(runtime)
        self._precision: Precision = precision
        self._threads, self._cache_dir = threads, cache_dir
        self._batch_tokens = batch_tokens
        self._tokenizer = PairTokenizer(self._config.tokenizer, max_tokens=self._config.max_tokens, field=SCORER.field)
        self._lane = Lane("rerank", SCORER)
        self._session: GraphSession | None = None
        self._pairs: Gathering[Pair] = Gathering(self._score_pairs, most=turn_pairs, name="rerank together", use=SCORER)
        self._fingerprint = fingerprint(
            folder.name or name, {"weights": digest, "max_tokens": self._config.max_tokens, "score": "logistic"}
        )

    @classmethod
    def open(cls, model: str, place: RerankerPlace) -> CrossEncoder:
        """See `RerankerKind.open`."""
        found = place.find(model)
        return cls(
            found.folder,
            name=found.name,
            digest=found.digest,
            runtime=place.runtime,
            precision=place.precision,
            threads=place.threads,
            cache_dir=place.cache_dir,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def max_tokens(self) -> int:
        return self._config.max_tokens

    async def score(self, query: str, texts: Sequence[str]) -> Float32Array:
        """See `Reranker.score`. Concurrent calls are scored in common batches, oldest first."""
        self._pairs.check_open()
        if not len(texts):
            return np.empty(0, dtype=np.float32)
        return await self._pairs.ask([(query, text) for text in texts])

    async def warm(self) -> None:
        """See `Reranker.warm`."""
        await self.score("warm", ["warm"])

    async def close(self) -> None:
        """See `Reranker.close`. What waits is still answered."""
        await self._pairs.close()
        await self._lane.close()
        self._session = None

    async def _score_pairs(self, pairs: list[Pair]) -> Float32Array:
        return await self._lane.run(self._score, pairs)

    def _score(self, pairs: Sequence[Pair]) -> Float32Array:
        """Runs in the lane's thread."""
        if self._session is None:
            self._session = self._load()
        logits = np.empty(len(pairs), dtype=np.float64)
        for batch in self._tokenizer.batches(pairs, batch_tokens=self._batch_tokens):
            found = self._session.run(batch.ids, batch.mask, batch.types)
            if found.size != len(batch.rows):
                raise RerankerUnavailable(f"the model gave {found.shape} numbers for {len(batch.rows)} pairs")
            logits[batch.rows] = found.reshape(-1)
        if not np.isfinite(logits).all():
            raise RerankerUnavailable("the model gave a score that is a NaN or an infinity")
        scores: Float32Array = (1.0 / (1.0 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
        return scores

    def _load(self) -> GraphSession:
        if self._runtime == "onnxruntime":
            return OnnxRuntimeSession(self._config.graph, SCORER, threads=self._threads)
        return OpenVinoSession(
            self._config.graph, SCORER, precision=self._precision, threads=self._threads, cache_dir=self._cache_dir
        )
