"""The seam inside this room: something that runs a graph, and the choice of it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array, Int64Array

Runtime = Literal["openvino", "onnxruntime"]
Precision = Literal["native", "float32"]
"""What floats are computed in; `native` is what the processor does best. That a graph runs in int8 its ranges say."""


class GraphSession(Protocol):
    """A graph, loaded. Used by as many threads at a time as it has streams; gives up the GIL while it computes."""

    def run(self, ids: Int64Array, mask: Int64Array, types: Int64Array | None = None) -> Float32Array:
        """The output picked, float32: token vectors (n, tokens, hidden), or what is pooled or scored, (n, width).

        ids, mask, types: int64, shape (n, tokens); types tell a pair's second text (1) from its first, None is all 0.
        The answer may lie in the session's own memory, valid until this thread's next run.
        Raises the use's `unavailable`.
        """
        ...


def inputs_of(
    names: Sequence[str], ids: Int64Array, mask: Int64Array, types: Int64Array | None
) -> dict[str, Int64Array]:
    """What a graph with inputs of these names is given. All arrays have the shape of `ids`."""
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids) if types is None else types}
    return {name: given[name] for name in names}


def chosen_runtime(wanted: Literal["auto"] | Runtime) -> Runtime:
    """OpenVINO on x86-64, ONNX Runtime elsewhere, unless one is named."""
    if wanted != "auto":
        return wanted
    return "openvino" if platform.machine().lower() in {"x86_64", "amd64"} else "onnxruntime"
