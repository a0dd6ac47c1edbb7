"""Cross-encoders as ONNX graphs: OpenVINO on x86-64, ONNX Runtime elsewhere. No torch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from nearfield.domain.errors import RerankerUnavailable
from nearfield.graphs.fingerprint import fingerprint
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
        self._batch_tokens, self._turn_pairs = batch_tokens, turn_pairs
        self._tokenizer = PairTokenizer(self._config.tokenizer, max_tokens=self._config.max_tokens, field=SCORER.field)
        self._lane = Lane("rerank", SCORER)
        self._session: GraphSession | None = None
        self._waiting: list[tuple[Sequence[Pair], asyncio.Future[Float32Array]]] = []
        self._running: asyncio.Task[None] | None = None
        self._closed = False
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
        if self._closed:
            raise RerankerUnavailable("the reranker is closed")
        if not len(texts):
            return np.empty(0, dtype=np.float32)
        future: asyncio.Future[Float32Array] = asyncio.get_running_loop().create_future()
        self._waiting.append(([(query, text) for text in texts], future))
        if self._running is None:
            self._running = asyncio.create_task(self._drain(), name="rerank together")
        return await future

    async def warm(self) -> None:
        """See `Reranker.warm`."""
        await self.score("warm", ["warm"])

    async def close(self) -> None:
        """See `Reranker.close`. What waits is still answered."""
        self._closed = True
        if self._running is not None:
            await self._running
        await self._lane.close()
        self._session = None

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._take())
        finally:
            self._running = None
            for _, future in self._waiting:  # none, unless this task was cancelled with its loop
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[Sequence[Pair], asyncio.Future[Float32Array]]]:
        """The oldest callers, up to `turn_pairs` pairs, at least one caller. Those who gave up are passed over."""
        taken: list[tuple[Sequence[Pair], asyncio.Future[Float32Array]]] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0][0]) <= self._turn_pairs):
            pairs, future = self._waiting.pop(0)
            if not future.done():
                taken.append((pairs, future))
                size += len(pairs)
        return taken

    async def _answer(self, taken: Sequence[tuple[Sequence[Pair], asyncio.Future[Float32Array]]]) -> None:
        if not taken:
            return
        try:
            scores = await self._lane.run(self._score, [pair for pairs, _ in taken for pair in pairs])
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        except Exception as exc:  # whatever it is, someone waits for it  # noqa: BLE001
            for _, future in taken:
                if not future.done():
                    future.set_exception(exc)
            return
        ends = np.cumsum([len(pairs) for pairs, _ in taken])
        for (_, future), own in zip(taken, np.split(scores, ends[:-1]), strict=True):
            if not future.done():
                future.set_result(own)

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
