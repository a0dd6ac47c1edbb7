"""What a model's own files say about it: pooling, length, prompts. Sentence Transformers' folder layout."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidFile, InvalidSetting
from nearfield.embedders.pooling import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nearfield.protocols.embedder import Role

GRAPHS: Final = ("model.onnx", "onnx/model.onnx")
_MODULES: Final = {"Transformer", "Pooling", "Normalize"}  # what pooling.py can reproduce
_PROMPT_NAMES: Final[Mapping[Role, tuple[str, ...]]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
_DEFAULT_MAX_TOKENS: Final = 512


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """How to run an encoder.

    graph, tokenizer: files. dimension: components. max_tokens: special tokens included, at least 1.
    prompts: text put before every text of a role; empty where the model has none.
    """

    graph: Path
    tokenizer: Path
    pooling: Pooling
    dimension: int
    max_tokens: int
    prompts: Mapping[Role, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> EncoderConfig:
        """Read a folder.

        Raises InvalidFile for a file that is missing or no JSON, InvalidSetting for a model that has more parts than
        an encoder with pooling (a dense layer, say), which only Sentence Transformers itself can run.
        """
        graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
        if graph is None:
            raise InvalidFile(f"folder {folder} holds no {' or '.join(GRAPHS)}", field="embedder")
        model = _json(folder / "config.json")
        _check_modules(folder)
        pooling, pooled = _pooling(folder)
        dimension = pooled or _integer(model, "hidden_size", "dim", "d_model")
        if dimension is None:
            raise InvalidFile(f"{folder}/config.json names no hidden_size", field="embedder")
        return cls(
            graph=graph,
            tokenizer=folder / "tokenizer.json",
            pooling=pooling,
            dimension=dimension,
            max_tokens=_max_tokens(folder, model),
            prompts=_prompts(folder),
        )


def _json(path: Path, *, optional: bool = False) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        if optional:
            return {}
        raise InvalidFile(f"{path} is not there", field="embedder") from exc
    except (OSError, ValueError) as exc:
        raise InvalidFile(f"{path} is no readable JSON: {exc}", field="embedder") from exc
    if not isinstance(value, dict):
        raise InvalidFile(f"{path} holds {type(value).__name__}, expected an object", field="embedder")
    return value


def _integer(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of some keys that holds a positive integer."""
    values = (config.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)


def _check_modules(folder: Path) -> None:
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidFile(f"{path} is no list of modules: {exc}", field="embedder") from exc
    unknown = [kind for kind in kinds if kind not in _MODULES]
    if unknown:
        raise InvalidSetting(
            f"model in {folder} has parts the onnx embedder cannot run: {', '.join(unknown)}; "
            "use the sentence-transformers embedder",
            field="embedder",
        )


def _pooling(folder: Path) -> tuple[Pooling, int | None]:
    """(pooling, dimension); the mean, and no dimension, where the folder says nothing."""
    config = _json(folder / "1_Pooling" / "config.json", optional=True)
    dimension = _integer(config, "word_embedding_dimension", "embedding_dimension")
    named = config.get("pooling_mode")
    wanted = [named] if isinstance(named, str) else [str(part) for part in named or ()]
    flags = [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
    wanted += [key.removeprefix("pooling_mode_") for key in flags]
    if not wanted:
        return Pooling.MEAN, dimension
    try:
        (pooling,) = {Pooling(name.removesuffix("_token").removesuffix("_tokens")) for name in wanted}
    except ValueError as exc:
        raise InvalidSetting(
            f"model in {folder} pools by {' + '.join(wanted)}; the onnx embedder knows one of "
            f"{', '.join(Pooling)}; use the sentence-transformers embedder",
            field="embedder",
        ) from exc
    return pooling, dimension


def _max_tokens(folder: Path, model: Mapping[str, Any]) -> int:
    sentence = _json(folder / "sentence_bert_config.json", optional=True)
    tokenizer = _json(folder / "tokenizer_config.json", optional=True)
    positions = _integer(model, "max_position_embeddings")
    if positions is not None and model.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
        positions -= 2  # their positions start after the padding token's
    told = _integer(sentence, "max_seq_length") or _integer(tokenizer, "model_max_length") or positions
    # model_max_length is 10**30 in many tokenizers that have no limit of their own
    return min(told or _DEFAULT_MAX_TOKENS, positions or _DEFAULT_MAX_TOKENS)


def _prompts(folder: Path) -> Mapping[Role, str]:
    config = _json(folder / "config_sentence_transformers.json", optional=True)
    given = config.get("prompts") or {}
    fallback = given.get(config.get("default_prompt_name"), "")
    return {
        role: next((given[name] for name in names if given.get(name)), fallback)
        for role, names in _PROMPT_NAMES.items()
    }
