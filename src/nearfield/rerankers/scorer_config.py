"""What a cross-encoder's own files say about it. The folder layout of Sentence Transformers and its ONNX exports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidFile, RerankerUnavailable
from nearfield.graphs.use import GraphUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nearfield.graphs.use import Output

FIELD: Final = "rerank.model"
GRAPHS: Final = ("model.onnx", "onnx/model.onnx")
_OUTPUTS: Final = frozenset({"logits", "scores"})
_DEFAULT_MAX_TOKENS: Final = 512
_OFFSET_POSITIONS: Final = {"roberta", "xlm-roberta", "camembert", "mpnet"}


def pick_output(outputs: Sequence[Output], graph: Path) -> int:
    """The position of the scores: a well-known name, or else the only output of rank 2. Raises InvalidFile."""
    named = [at for at, (names, rank) in enumerate(outputs) if rank in (1, 2) and _OUTPUTS & set(names)]
    ranked = [at for at, (_, rank) in enumerate(outputs) if rank == 2]
    if named:
        return named[0]
    if len(ranked) == 1:
        return ranked[0]
    raise InvalidFile(f"{graph} has no output of scores (logits, rank 2): it is no cross-encoder", field=FIELD)


SCORER: Final = GraphUse("reranker", FIELD, RerankerUnavailable, _OUTPUTS, pick_output)


@dataclass(frozen=True, slots=True)
class ScorerConfig:
    """How to run a cross-encoder. graph, tokenizer: files. max_tokens: of a pair, special tokens included."""

    graph: Path
    tokenizer: Path
    max_tokens: int

    @classmethod
    def read(cls, folder: Path) -> ScorerConfig:
        """Read a folder. Raises InvalidFile for a file that is missing or no JSON, and for a model of several labels,
        whose scores would mean a class each and not relevance."""
        graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
        if graph is None:
            raise InvalidFile(f"folder {folder} holds no {' or '.join(GRAPHS)}", field=FIELD)
        model = _json(folder / "config.json")
        labels = model.get("id2label")
        count = len(labels) if isinstance(labels, dict) else model.get("num_labels", 1)
        if count != 1:
            raise InvalidFile(f"model in {folder} tells {count} labels; expected one score of relevance", field=FIELD)
        return cls(graph, folder / "tokenizer.json", _max_tokens(folder, model))


def _max_tokens(folder: Path, model: Mapping[str, Any]) -> int:
    positions = _integer(model, "max_position_embeddings")
    if positions is not None and model.get("model_type") in _OFFSET_POSITIONS:
        positions -= 2  # their positions start after the padding token's
    path = folder / "tokenizer_config.json"
    told = _integer(_json(path), "model_max_length") if path.is_file() else None
    # model_max_length is 10**30 in many tokenizers that have no limit of their own
    return min(told or positions or _DEFAULT_MAX_TOKENS, positions or _DEFAULT_MAX_TOKENS)


def _integer(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise InvalidFile(f"{path} is not there", field=FIELD) from exc
    except (OSError, ValueError) as exc:
        raise InvalidFile(f"{path} is no readable JSON: {exc}", field=FIELD) from exc
    if not isinstance(value, dict):
        raise InvalidFile(f"{path} holds {type(value).__name__}, expected an object", field=FIELD)
    return value
