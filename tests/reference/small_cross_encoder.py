"""A cross-encoder small enough to be built in a test: real files, a real graph, weights that are computed.

A word's vector is made of its three-letter pieces, so `headphone` is near `headphones`. The graph compares each word of
the query with every word of the text, takes each query word's best, and its logit is the mean of those, scaled: late
interaction (ColBERT's MaxSim) over fixed vectors. It reads pairs as trained cross-encoders do, by `input_ids`,
`attention_mask` and `token_type_ids`, and so runs through the same code, without knowing more than words.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nearfield.domain.documents import Float32Array

DIMENSION = 64
MAX_TOKENS = 128
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SCALE = 12.0
_STOP = {"a", "an", "and", "at", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "with"}


def build(folder: Path, texts: Iterable[str], *, labels: int = 1) -> Path:
    """Write the model of the words of some texts; the folder. labels: of the config, 1 for a cross-encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())} - set(SPECIAL))
    vocabulary = {word: at for at, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = np.stack([_vector(word) for word in vocabulary])
    onnx.save(_graph(vectors), folder / "model.onnx")
    config = {
        "model_type": "bert",
        "max_position_embeddings": MAX_TOKENS,
        "id2label": {at: str(at) for at in range(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _vector(word: str) -> Float32Array:
    """Unit length, but for special tokens and punctuation (zeros) and stop words (a tenth)."""
    if word in SPECIAL or not any(letter.isalnum() for letter in word):
        return np.zeros(DIMENSION, dtype=np.float32)
    total = np.zeros(DIMENSION)
    framed = f"<{word}>"
    for at in range(len(framed) - 2):
        seed = int.from_bytes(hashlib.blake2b(framed[at : at + 3].encode(), digest_size=8).digest(), "big")
        total += np.random.default_rng(seed).standard_normal(DIMENSION)
    unit = total / np.linalg.norm(total)
    return np.asarray(unit * (0.1 if word in _STOP else 1.0), dtype=np.float32)


def _graph(vectors: Float32Array) -> onnx.ModelProto:
    """logits (n, 1) = SCALE * (mean over query tokens of the best product with a text token - 1/2)."""
    node = helper.make_node
    numbers = {
        "table": vectors,
        "one": np.float32(1),
        "far": np.float32(-4),
        "tiny": np.float32(1e-6),
        "half": np.float32(0.5),
        "scale": np.float32(SCALE),
        "last": np.array([2], dtype=np.int64),
        "first": np.array([1], dtype=np.int64),
    }
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),  # (n, t, d)
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        node("Mul", ["types", "mask"], ["in_text"]),  # (n, t)
        node("Sub", ["one", "types"], ["not_text"]),
        node("Mul", ["not_text", "mask"], ["segment"]),
        node("ReduceL2", ["words", "last"], ["length"], keepdims=0),
        node("Mul", ["segment", "length"], ["in_query"]),  # special tokens have length 0
        node("Transpose", ["words"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["words", "turned"], ["alike"]),  # (n, t, t)
        node("Unsqueeze", ["in_text", "first"], ["text_row"]),
        node("Sub", ["one", "text_row"], ["outside"]),
        node("Mul", ["outside", "far"], ["banned"]),
        node("Add", ["alike", "banned"], ["allowed"]),
        node("ReduceMax", ["allowed", "last"], ["best"], keepdims=0),  # (n, t)
        node("Mul", ["best", "in_query"], ["weighed"]),
        node("ReduceSum", ["weighed", "first"], ["total"], keepdims=1),
        node("ReduceSum", ["in_query", "first"], ["weight"], keepdims=1),
        node("Add", ["weight", "tiny"], ["divisor"]),
        node("Div", ["total", "divisor"], ["mean"]),
        node("Sub", ["mean", "half"], ["centred"]),
        node("Mul", ["centred", "scale"], ["logits"]),  # (n, 1)
    ]
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1])]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    graph = helper.make_graph(nodes, "small-cross-encoder", inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
