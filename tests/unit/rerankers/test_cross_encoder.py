"""A cross-encoder built here, in both runtimes. Trained weights are tried where they are to be had, not here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.reference.small_cross_encoder import SCALE, build

from nearfield.domain.errors import InvalidFile, RerankerUnavailable
from nearfield.graphs.tokenization import PairTokenizer
from nearfield.protocols.reranker import FoundModel, RerankerPlace
from nearfield.rerankers.cross_encoder import CrossEncoder
from nearfield.testing.embedder_suite import WORDS
from nearfield.testing.reranker_suite import ANSWER, OTHER, QUERY, RerankerSuite

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.protocols.reranker import Reranker

TEXTS = (*WORDS, QUERY, ANSWER, OTHER, "a plain text")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("small"), TEXTS)


def opened(folder: Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(folder, name="small", digest="d", **options)


class TestOpenVinoNative(RerankerSuite):
    tolerance = 2e-2

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, model: Path) -> Callable[[], Reranker]:
        return lambda: opened(model)


class TestOpenVinoFloat32(RerankerSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, model: Path) -> Callable[[], Reranker]:
        return lambda: opened(model, runtime="openvino", precision="float32")


class TestOnnxRuntime(RerankerSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, model: Path) -> Callable[[], Reranker]:
        return lambda: opened(model, runtime="onnxruntime", batch_tokens=64, turn_pairs=4)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
async def test_the_score_is_the_logistic_of_what_the_graph_computes(model: Path, runtime: Any) -> None:
    """All words of the query are in the one text, and none near any in the other: logits of +-SCALE / 2 or below."""
    reranker = opened(model, runtime=runtime, precision="float32")
    whole, empty = await reranker.score("steel lamp", ["a lamp of steel", "?"])
    assert whole == pytest.approx(1 / (1 + np.exp(-SCALE / 2)), abs=1e-4)
    assert empty == pytest.approx(1 / (1 + np.exp(SCALE / 2)), abs=1e-4)
    await reranker.close()


def test_a_pair_is_marked_and_the_longer_text_is_cut(model: Path) -> None:
    tokenizer = PairTokenizer(model / "tokenizer.json", max_tokens=10)
    (batch,) = tokenizer.batches([("steel lamp", " ".join(["garden"] * 30))], batch_tokens=1)
    assert batch.ids.shape == (1, 10)
    assert batch.types is not None
    assert batch.types.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]]


async def test_callers_who_come_meanwhile_are_scored_together(model: Path) -> None:
    reranker = opened(model, precision="float32")
    await reranker.warm()
    runs: list[int] = []
    score = reranker._score

    def counted(pairs: Any) -> Any:
        runs.append(len(pairs))
        return score(pairs)

    reranker._score = counted  # type: ignore[method-assign]
    await asyncio.gather(*(reranker.score(QUERY, [ANSWER, OTHER]) for _ in range(20)))
    assert sum(runs) == 40
    assert len(runs) < 20, "each caller had a run of its own"
    await reranker.close()


async def test_a_model_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="3 labels") as told:
        opened(build(tmp_path, TEXTS, labels=3))
    assert told.value.field == "rerank.model"


@pytest.mark.parametrize("missing", ["model.onnx", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    build(tmp_path, TEXTS)
    (tmp_path / missing).unlink()
    with pytest.raises(InvalidFile, match=missing):
        opened(tmp_path)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
async def test_a_damaged_graph_is_every_callers_error(tmp_path: Path, runtime: Any) -> None:
    build(tmp_path, TEXTS)
    (tmp_path / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:500])
    reranker = opened(tmp_path, runtime=runtime)
    told = await asyncio.gather(*(reranker.score(QUERY, [ANSWER]) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [InvalidFile] * 3
    await reranker.close()


def test_what_decides_a_score_decides_the_fingerprint(model: Path, tmp_path: Path) -> None:
    first = opened(model)
    assert opened(model, runtime="onnxruntime", threads=1).fingerprint == first.fingerprint
    assert CrossEncoder(model, name="small", digest="other").fingerprint != first.fingerprint
    shorter = build(tmp_path / model.name, TEXTS)
    config = json.loads((shorter / "config.json").read_text("utf-8"))
    (shorter / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 32}), encoding="utf-8")
    assert opened(shorter).max_tokens == 32
    assert opened(shorter).fingerprint != first.fingerprint


async def test_it_opens_by_what_wiring_found(model: Path) -> None:
    asked: list[str] = []

    def find(name: str) -> FoundModel:
        asked.append(name)
        return FoundModel(name, model, "d")

    reranker = CrossEncoder.open("mine", RerankerPlace(find, precision="float32"))
    assert reranker.name == "mine"
    assert (await reranker.score(QUERY, [ANSWER]))[0] > 0.5
    await reranker.close()
    with pytest.raises(RerankerUnavailable, match="the reranker is closed"):
        await reranker.score(QUERY, [ANSWER])
    assert asked == ["mine"]
