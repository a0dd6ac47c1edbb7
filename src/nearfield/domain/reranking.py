"""How a search has its best candidates looked at again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import describe

DEPTH: Final = 50
MAX_DEPTH: Final = 200
_KEYS: Final = ("model", "depth", "weight")


@dataclass(frozen=True, slots=True)
class Rerank:
    """model: a name or folder; None for the setting `reranker`. depth: candidates scored again, 1 to MAX_DEPTH.

    weight: 0 to 1, of the reranker's score beside the one before; 1 is the reranker's alone.
    Raises InvalidRequest naming the field.
    """

    model: str | None = None
    depth: int = DEPTH
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.model is not None and not self.model.strip():
            raise InvalidRequest("the model's name is blank", field="rerank.model")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise InvalidRequest(f"depth is {self.depth}; expected 1 to {MAX_DEPTH}", field="rerank.depth")
        if not math.isfinite(self.weight) or not 0 <= self.weight <= 1:
            raise InvalidRequest(f"weight is {self.weight}; expected 0 to 1", field="rerank.weight")


def parse_rerank(given: object) -> Rerank | bool | None:
    """`true`, `false`, or `{"model": "name", "depth": 50, "weight": 1}`, each part optional; None is not said.

    Raises InvalidRequest naming the field.
    """
    if given is None or isinstance(given, bool):
        return given
    if not isinstance(given, Mapping):
        raise InvalidRequest(
            f'expected true, false or an object such as {{"depth": 50}}, got {describe(given)}', field="rerank"
        )
    for key in given:
        if key not in _KEYS:
            raise InvalidRequest(unknown_name("part", str(key), _KEYS), field=f"rerank.{key}")
    model, depth, weight = given.get("model"), given.get("depth", DEPTH), given.get("weight", 1.0)
    if model is not None and not isinstance(model, str):
        raise InvalidRequest(f"expected a model's name or folder, got {describe(model)}", field="rerank.model")
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise InvalidRequest(f"expected a number of candidates, got {describe(depth)}", field="rerank.depth")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InvalidRequest(f"expected a number of 0 to 1, got {describe(weight)}", field="rerank.weight")
    return Rerank(model, depth, float(weight))
