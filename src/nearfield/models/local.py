"""A model in a folder of the user's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import ModelUnknown
from nearfield.models.fingerprint import sha256_of, weights_digest

if TYPE_CHECKING:
    from nearfield.models.catalogue import Kind

GRAPHS: Final = ("model.onnx", "onnx/model.onnx")
RANGES: Final = "int8.npz"
TABLES: Final = ("model.safetensors",)
_CONFIGS: Final = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_WEIGHT_ENDINGS: Final = (".safetensors", ".bin", ".onnx", ".onnx_data")


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files, on disk and checked.

    name: the catalogue's, or the folder as the user wrote it. kind: what can run it.
    digest: of the files' hashes, for the embedder's fingerprint. licence: None when the folder does not say.
    ranges: the file int8 needs, None where there is none; the native vectors do not depend on it, nor does the digest.
    """

    name: str
    kind: Kind
    folder: Path
    digest: str
    licence: str | None = None
    ranges: Path | None = None


def looks_like_folder(name: str) -> bool:
    """Whether a model's name is meant as a path: it starts like one, or there is such a folder."""
    return bool(name) and (name.startswith((".", "/", "~")) or "\\" in name or Path(name).is_dir())


def local_weights(name: str) -> Weights:
    """The model in a folder. Reads every byte of it once, for the digest: about a second per gigabyte.

    Raises ModelUnknown when there is no such folder or nothing in it that can be run.
    """
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise ModelUnknown(f"no folder {name}; expected a model's folder or a known name", field="embedder")
    kind = _kind(folder)
    if kind is None:
        raise ModelUnknown(
            f"folder {name} holds no model; expected {' or '.join(GRAPHS)} beside tokenizer.json, "
            "or a Sentence Transformers folder with modules.json",
            field="embedder",
        )
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files_of(folder, kind)}
    ranges = folder / RANGES
    return Weights(name, kind, folder, weights_digest(hashes), ranges=ranges if ranges.is_file() else None)


def _kind(folder: Path) -> Kind | None:
    if any((folder / graph).is_file() for graph in GRAPHS) and (folder / "tokenizer.json").is_file():
        return "onnx"
    if (folder / TABLES[0]).is_file() and _model_type(folder) == "model2vec":
        return "static"
    if (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return "sentence-transformers"
    return None


def _model_type(folder: Path) -> str | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else None


def _files_of(folder: Path, kind: Kind) -> list[Path]:
    """The files that decide what vectors come out: configs at any depth, and the weights this kind reads."""
    configs = [folder / name for name in _CONFIGS] + sorted(folder.glob("*_*/config.json"))
    if kind == "onnx":
        graph = next(folder / name for name in GRAPHS if (folder / name).is_file())
        weights = [graph, *sorted(graph.parent.glob("*.onnx_data")), *sorted(graph.parent.glob("model.onnx.data"))]
    elif kind == "static":
        weights = [folder / TABLES[0]]
    else:
        weights = sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHT_ENDINGS)
    return [path for path in dict.fromkeys([*configs, *weights]) if path.is_file()]
