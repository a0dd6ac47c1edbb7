"""BERT-type encoders as ONNX graphs: OpenVINO on x86-64, ONNX Runtime elsewhere. No torch.

Queries and documents run on two sessions of the same graph, each with a thread of its own. A query that had to share
the documents' session waited for the batch in it: 25 ms at the median beside an import, where it now takes 3 to 5.
The price is a second copy of the weights in memory (130 MB for all-MiniLM-L6-v2: its compiled graph, mapped, and what
bfloat16 makes of it), once there is something to write.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from nearfield.domain.errors import InvalidSetting
from nearfield.embedders.encoder_config import EncoderConfig
from nearfield.embedders.encoder_ports import ENCODER
from nearfield.embedders.pooling import pool, unit_rows
from nearfield.embedders.roles import checked_role
from nearfield.graphs.fingerprint import fingerprint
from nearfield.graphs.int8 import SMOOTHING, Ranges
from nearfield.graphs.lane import Lane
from nearfield.graphs.onnxruntime_session import OnnxRuntimeSession
from nearfield.graphs.openvino_session import OpenVinoSession, native_precision
from nearfield.graphs.session import chosen_runtime
from nearfield.graphs.tokenization import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.graphs.session import GraphSession, Precision, Runtime
    from nearfield.graphs.tokenization import TokenBatch
    from nearfield.protocols.embedder import Role

BATCH_TOKENS: Final = 512
"""Measured on two cores: 384 to 1024 are equally fast (a batch then fits the processor's caches), 4096 is slower by a
third. 512 keeps one batch near 70 ms on a core, which bounds what a cancelled call or a closing embedder waits for."""
AT_ONCE: Final = 16  # texts: as many of full length are one turn
TURN_TOKENS: Final = 4_096
"""One stay in the thread: long enough to hide the event loop's latency, short enough to share between callers."""


class OnnxEmbedder:
    """See `Embedder`. Vectors of one text embedded alone and in a batch agree to 1e-5 in float32, 2e-3 in bfloat16.

    In int8 to 2e-2: a last digit may fall to another step.
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
        batch_tokens: int = BATCH_TOKENS,
        cache_dir: Path | None = None,
        ranges: Path | None = None,
    ) -> None:
        """Read a model's configuration; weights are loaded by `warm`, or by the first `embed` of each role.

        Imports the runtime (0.4 s): construct it in a thread. folder: as `EncoderConfig.read` wants it.
        digest: names the bytes of the model's files. precision: `native` is what the processor does best.
        threads: per role, 0 means one per core. batch_tokens: texts x longest text, at least 1.
        cache_dir: where compiled graphs are kept, None for nowhere. ranges: the file that int8 needs, none for floats.
        Raises InvalidFile, InvalidSetting, MissingDependency.
        """
        self._config = EncoderConfig.read(folder)
        self._name = name
        self._runtime = chosen_runtime(runtime)
        self._precision: Precision = precision
        self._ranges = None if ranges is None else self._read_ranges(ranges)
        self._threads = threads
        self._batch_tokens = batch_tokens
        self._cache_dir = cache_dir
        self._tokenizer = TextTokenizer(self._config.tokenizer, max_tokens=self._config.max_tokens, field="embedder")
        self._streams = (threads or os.cpu_count() or 1) if self._runtime == "openvino" else 1
        self._lanes: dict[Role, Lane] = {
            "query": Lane("embed-queries", ENCODER),
            "document": Lane("embed-documents", ENCODER, threads=self._streams),
        }
        self._loading = threading.Lock()
        self._sessions: dict[Role, GraphSession] = {}
        self.arithmetic = self._arithmetic()
        """`bf16`, `f16`, `f32` or `int8`. Which of the first three is not part of the fingerprint: their vectors of a
        text agree to a cosine of 0.9999, and an index must open on a processor of another kind."""
        self._fingerprint = fingerprint(
            (folder.name if folder.name not in {"", "."} else name) + ("" if self._ranges is None else "-int8"),
            {
                "weights": digest,
                "pooling": self._config.pooling,
                "max_tokens": self._config.max_tokens,
                "prompts": dict(self._config.prompts),
                "unit_length": True,
                **({} if self._ranges is None else {"int8": self._ranges.digest, "smoothing": SMOOTHING}),
            },
        )

    def _arithmetic(self) -> str:
        if self._ranges is not None:
            return "int8"
        return native_precision() if (self._runtime, self._precision) == ("openvino", "native") else "f32"

    def _read_ranges(self, path: Path) -> Ranges:
        if self._runtime != "openvino":
            raise InvalidSetting(
                f"{self._name}: int8 runs in openvino and the runtime is {self._runtime}; set runtime to openvino, "
                "or use the model without int8",
                field="embedder",
            )
        return Ranges.read(path)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return self._config.dimension

    @property
    def max_tokens(self) -> int:
        return self._config.max_tokens

    @property
    def runtime(self) -> Runtime:
        """What runs the graph, `auto` resolved."""
        return self._runtime

    async def embed(self, texts: Sequence[str], *, role: Role) -> Float32Array:
        """See `Embedder.embed`. Documents of concurrent calls take turns, of about TURN_TOKENS each."""
        lane = self._lanes[checked_role(role)]
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not len(texts):
            return vectors
        prompt = self._config.prompts.get(role, "")
        prompted = [prompt + text for text in texts] if prompt else texts
        if len(texts) <= AT_ONCE:
            await lane.run(self._embed_at_once, vectors, prompted, role)
            return vectors
        ids = await lane.run(self._tokenizer.encode, prompted)
        batches = self._tokenizer.batches(ids, batch_tokens=self._batch_tokens)
        turns = _turns(batches, TURN_TOKENS if self._streams == 1 else 0)

        async def work() -> None:
            for turn in turns:
                await lane.run(self._fill, vectors, turn, role)

        # a stream a core, each with batches of its own: where one core is lent to other work the others do not wait
        streams = [asyncio.create_task(work()) for _ in range(self._streams if role == "document" else 1)]
        try:
            await asyncio.gather(*streams)
        finally:
            for stream in streams:
                stream.cancel()
        return vectors

    def _embed_at_once(self, vectors: Float32Array, texts: Sequence[str], role: Role) -> None:
        """A few texts in one stay in the thread: each way between threads costs a query 0.1 ms."""
        ids = self._tokenizer.encode(texts)
        self._fill(vectors, list(self._tokenizer.batches(ids, batch_tokens=self._batch_tokens)), role)

    def count_tokens(self, texts: Sequence[str]) -> Int64Array:
        """See `Embedder.count_tokens`. A prompt is not counted."""
        return self._tokenizer.count(texts)

    async def warm(self) -> None:
        """See `Embedder.warm`. Documents wait for their session when the first comes: 0.15 s, once it is compiled.

        A service that only answers goes without it, and the 130 MB it holds of all-MiniLM-L6-v2.
        """
        await self.embed(["warm"], role="query")

    async def close(self) -> None:
        """See `Embedder.close`."""
        for lane in self._lanes.values():
            await lane.close()
        self._sessions.clear()

    def _fill(self, vectors: Float32Array, turn: Sequence[TokenBatch], role: Role) -> None:
        """Write the vectors of some batches into their rows. Runs in the lane's thread."""
        session = self._sessions.get(role)
        if session is None:  # looked at first without the lock: a query does not wait while the documents' is loaded
            with self._loading:
                session = self._sessions.get(role)
                if session is None:
                    session = self._sessions[role] = self._load(role)
        for batch in turn:
            hidden = session.run(batch.ids, batch.mask)
            pooled = pool(hidden, batch.mask, self._config.pooling) if hidden.ndim == 3 else hidden
            vectors[batch.rows] = unit_rows(pooled)

    def _load(self, role: Role) -> GraphSession:
        if self._runtime == "onnxruntime":
            return OnnxRuntimeSession(self._config.graph, ENCODER, threads=self._threads)
        return OpenVinoSession(
            self._config.graph,
            ENCODER,
            precision=self._precision,
            threads=self._threads,
            streams=self._streams if role == "document" else 1,
            cache_dir=self._cache_dir,
            ranges=self._ranges,
        )


def _turns(batches: Iterator[TokenBatch], least: int) -> Iterator[list[TokenBatch]]:
    """Group batches into runs of `least` tokens or more."""
    turn: list[TokenBatch] = []
    tokens = 0
    for batch in batches:
        turn.append(batch)
        tokens += batch.ids.size
        if tokens >= least:
            yield turn
            turn, tokens = [], 0
    if turn:
        yield turn
