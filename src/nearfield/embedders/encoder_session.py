"""The seam inside this room: something that runs an encoder's graph, and the choice of it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from nearfield.domain.documents import Float32Array, Int64Array

Runtime = Literal["openvino", "onnxruntime"]
Precision = Literal["native", "float32"]


class EncoderSession(Protocol):
    """A graph, loaded. Used by as many threads at a time as it has streams; gives up the GIL while it computes."""

    def run(self, ids: Int64Array, mask: Int64Array) -> Float32Array:
        """Token vectors, float32, shape (n, tokens, hidden); or (n, hidden) from a graph that pools by itself.

        ids, mask: int64, shape (n, tokens). The answer may lie in the session's own memory, valid until this thread's
        next run.
        Raises EmbedderUnavailable.
        """
        ...


def chosen_runtime(wanted: Literal["auto"] | Runtime) -> Runtime:
    """OpenVINO on x86-64, ONNX Runtime elsewhere, unless one is named."""
    if wanted != "auto":
        return wanted
    return "openvino" if platform.machine().lower() in {"x86_64", "amd64"} else "onnxruntime"
