from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nearfield.domain.errors import InvalidFile, InvalidSetting
from nearfield.embedders.encoder_config import EncoderConfig
from nearfield.embedders.onnx import OnnxEmbedder
from nearfield.embedders.pooling import unit_rows
from nearfield.graphs.calibration import observed
from nearfield.graphs.int8 import Ranges
from nearfield.graphs.tokenization import TextTokenizer
from nearfield.testing.embedder_suite import EmbedderSuite, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.models.local import Weights
    from nearfield.protocols.embedder import Embedder

REFERENCE = Path(__file__).parents[2] / "reference"
SMALL, LARGE = "paraphrase-MiniLM-L3-v2", "all-MiniLM-L6-v2"


def onnx(found: Weights, **options: Any) -> OnnxEmbedder:
    return OnnxEmbedder(found.folder, name=found.name, digest=found.digest, **options)


class TestOpenVinoNative(EmbedderSuite):
    tolerance = 2e-3

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, weights: Callable[[str], Weights], compiled: Path) -> Callable[[], Embedder]:
        found = weights(LARGE)
        return lambda: onnx(found, cache_dir=compiled)


@pytest.mark.heavy
class TestOpenVinoInt8(EmbedderSuite):
    tolerance = 2e-2  # a rounding error of the last digit may fall to another step, and go on from there

    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, weights: Callable[[str], Weights], compiled: Path) -> Callable[[], Embedder]:
        found = weights(LARGE)
        return lambda: onnx(found, ranges=found.ranges, cache_dir=compiled)


class TestOpenVinoFloat32(EmbedderSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, weights: Callable[[str], Weights], compiled: Path) -> Callable[[], Embedder]:
        found = weights(SMALL)
        return lambda: onnx(found, precision="float32", cache_dir=compiled)


class TestOnnxRuntime(EmbedderSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def build(cls, weights: Callable[[str], Weights]) -> Callable[[], Embedder]:
        found = weights(SMALL)
        return lambda: onnx(found, runtime="onnxruntime")


def reference_texts(shared_data: Path) -> list[str]:
    """The texts the reference vectors were made of, read again from the data."""
    plan = json.loads((REFERENCE / "minilm_texts.json").read_text("utf-8"))
    texts: list[str] = []
    for folder, ids in plan["ids"].items():
        with gzip.open(shared_data / folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = {row["id"]: f"{row['title']}: {row['text']}" for row in map(json.loads, lines)}
        texts += [rows[name] for name in ids]
    assert hashlib.sha256("\0".join(texts).encode()).hexdigest() == plan["sha256"], "the data is another"
    return texts


@pytest.mark.parametrize(
    ("options", "least"),
    [({}, 0.999), ({"precision": "float32"}, 0.99999), ({"runtime": "onnxruntime"}, 0.99999)],
    ids=["native", "float32", "onnxruntime"],
)
async def test_it_agrees_with_sentence_transformers(
    shared_data: Path, weights: Callable[[str], Weights], compiled: Path, options: dict[str, Any], least: float
) -> None:
    """Cosine of each of 1,000 real texts with the vector that Sentence Transformers gave."""
    expected = unit_rows(np.load(REFERENCE / "minilm_vectors.npy").astype(np.float32))
    texts = reference_texts(shared_data)
    # Every text natively; the slower ways on every tenth, which is as many as tells a wrong pooling or truncation.
    step = 10 if options else 1
    embedder = onnx(weights(LARGE), cache_dir=compiled, **options)
    found = await embedder.embed(texts[::step], role="document")
    await embedder.close()
    cosines = np.einsum("nd,nd->n", found, expected[::step])
    assert len(cosines) == 1_000 // step
    assert cosines.min() >= least


@pytest.mark.heavy
async def test_int8_stays_near_what_sentence_transformers_gave(
    shared_data: Path, weights: Callable[[str], Weights], compiled: Path
) -> None:
    expected = unit_rows(np.load(REFERENCE / "minilm_vectors.npy").astype(np.float32))[::5]
    found = weights(LARGE)
    embedder = onnx(found, ranges=found.ranges, cache_dir=compiled)
    vectors = await embedder.embed(reference_texts(shared_data)[::5], role="document")
    await embedder.close()
    cosines = np.einsum("nd,nd->n", vectors, expected)
    # 0.998 and 0.9956 where the processor multiplies eight bits into 32 (VNNI), 0.995 and 0.991 where into 16
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.98


def test_int8_has_a_fingerprint_of_its_own(weights: Callable[[str], Weights], tmp_path: Path) -> None:
    found = weights(LARGE)
    native, quick = onnx(found), onnx(found, ranges=found.ranges)
    assert quick.arithmetic == "int8"
    assert quick.fingerprint != native.fingerprint
    assert quick.fingerprint.startswith("all-MiniLM-L6-v2-int8-")
    assert found.ranges is not None
    wider = {name: bounds * 2 for name, bounds in Ranges.read(found.ranges).bounds.items()}
    Ranges(wider).write(tmp_path / "int8.npz")
    assert onnx(found, ranges=tmp_path / "int8.npz").fingerprint != quick.fingerprint


def test_int8_is_refused_where_it_cannot_run(weights: Callable[[str], Weights]) -> None:
    found = weights(LARGE)
    with pytest.raises(InvalidSetting, match="set runtime to openvino"):
        onnx(found, ranges=found.ranges, runtime="onnxruntime")


async def test_ranges_of_another_model_are_refused(weights: Callable[[str], Weights]) -> None:
    embedder = onnx(weights(SMALL), ranges=weights(LARGE).ranges)
    with pytest.raises(InvalidFile, match="not the graph"):
        await embedder.warm()
    await embedder.close()


async def test_a_model_can_be_measured_for_int8(weights: Callable[[str], Weights], tmp_path: Path) -> None:
    found = weights(SMALL)
    config = EncoderConfig.read(found.folder)
    texts = [sentence(length, length) for length in (3, 10, 40, 100)]
    ids = TextTokenizer(config.tokenizer, max_tokens=config.max_tokens, field="embedder").encode(texts)
    observed(config.graph, ids).write(tmp_path / "int8.npz")
    vectors = []
    for options in ({"ranges": tmp_path / "int8.npz"}, {"precision": "float32"}):
        embedder = onnx(found, **options)
        vectors.append(await embedder.embed(texts, role="query"))
        await embedder.close()
    cosines = np.einsum("nd,nd->n", *vectors)
    assert cosines.min() > 0.97
    assert cosines.max() < 0.99999, "nothing was rounded"


async def test_the_runtimes_agree(weights: Callable[[str], Weights]) -> None:
    found = weights(SMALL)
    texts = [sentence(length) for length in (1, 5, 30, 200)]
    vectors = []
    for runtime in ("openvino", "onnxruntime"):
        embedder = onnx(found, runtime=runtime, precision="float32")
        vectors.append(await embedder.embed(texts, role="query"))
        await embedder.close()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)


async def test_small_batches_change_nothing(weights: Callable[[str], Weights]) -> None:
    found = weights(SMALL)
    texts = [sentence(length, length) for length in range(1, 40)]
    vectors = []
    for batch_tokens in (1, 64, 100_000):
        embedder = onnx(found, precision="float32", batch_tokens=batch_tokens)
        vectors.append(await embedder.embed(texts, role="document"))
        await embedder.close()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)


def test_what_decides_a_vector_decides_the_fingerprint(weights: Callable[[str], Weights], tmp_path: Path) -> None:
    found = weights(SMALL)
    exact = onnx(found, precision="float32")
    same = onnx(found, runtime="onnxruntime", threads=1, batch_tokens=64)
    assert exact.fingerprint == same.fingerprint, "speed is not meaning"
    assert OnnxEmbedder(found.folder, name="x", digest="other", precision="float32").fingerprint != exact.fingerprint
    copy = tmp_path / found.folder.name
    copy.mkdir()
    for path in found.folder.rglob("*.*"):
        if path.name != "sentence_bert_config.json":
            (copy / path.relative_to(found.folder)).parent.mkdir(exist_ok=True)
            (copy / path.relative_to(found.folder)).symlink_to(path)
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 64}', encoding="utf-8")
    shorter = OnnxEmbedder(copy, name="x", digest=found.digest, precision="float32")
    assert shorter.max_tokens == 64
    assert shorter.fingerprint != exact.fingerprint
    assert onnx(found).fingerprint == exact.fingerprint, "an index opens on a processor of another kind"


async def test_a_prompt_is_put_before_each_text(weights: Callable[[str], Weights], tmp_path: Path) -> None:
    found = weights(SMALL)
    for path in found.folder.rglob("*.*"):
        (tmp_path / path.relative_to(found.folder)).parent.mkdir(exist_ok=True)
        (tmp_path / path.relative_to(found.folder)).symlink_to(path)
    prompts = {"prompts": {"query": "find: ", "document": ""}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    prompted = OnnxEmbedder(tmp_path, name="x", digest="x", precision="float32")
    query = await prompted.embed(["blue lamp"], role="query")
    document = await prompted.embed(["find: blue lamp"], role="document")
    np.testing.assert_allclose(query, document, atol=1e-5)
    await prompted.close()


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
async def test_a_damaged_graph_is_told(weights: Callable[[str], Weights], tmp_path: Path, runtime: Any) -> None:
    found = weights(SMALL)
    for name in ("config.json", "tokenizer.json", "sentence_bert_config.json"):
        (tmp_path / name).symlink_to(found.folder / name)
    (tmp_path / "model.onnx").write_bytes((found.folder / "model.onnx").read_bytes()[:100_000])
    embedder = OnnxEmbedder(tmp_path, name="x", digest="x", runtime=runtime)
    with pytest.raises(InvalidFile, match="cannot read"):
        await embedder.embed(["text"], role="query")
    await embedder.close()


async def test_a_query_does_not_wait_for_an_import(weights: Callable[[str], Weights], compiled: Path) -> None:
    """Order, not speed: queries asked after a long list of documents are answered before it is done."""
    embedder = onnx(weights(LARGE), cache_dir=compiled)
    await embedder.warm()
    documents = asyncio.create_task(embedder.embed([sentence(60, at) for at in range(80)], role="document"))
    await asyncio.sleep(0)
    for _ in range(5):
        await embedder.embed(["blue lamp"], role="query")
    assert not documents.done()
    assert (await documents).shape == (80, embedder.dimension)
    await embedder.close()
