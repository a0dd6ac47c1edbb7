"""Eight-bit graphs: linear layers in integers, everything between them as before.

Weights are rounded to int8, each output channel to steps of its own. What flows into a layer is rounded to 256 steps
between bounds that real texts gave once (`Ranges`), so nothing is looked for while a text is embedded. A few channels
of that flow are far wider than the rest and would waste the steps of all others: most of their width moves into the
weights first. Source: Xiao et al., SmoothQuant, ICML 2023.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nearfield.domain.errors import InvalidFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nearfield.domain.documents import Float32Array

SMOOTHING: Final = 0.8
"""How much of a channel's width moves into the weights, as a power of it: 0 is none, 1 all. Least cosine of 600 texts
with float32, all-MiniLM-L6-v2: 0.948 at 0.5, 0.994 at 0.8, 0.986 at 0.95."""
_STEPS: Final = 256
_LARGEST: Final = 127  # of a weight; symmetric, so -128 is left out
_LEAST: Final = 1e-5  # width of a channel that no text moved


@dataclass(frozen=True, slots=True)
class Ranges:
    """How wide the flow into a graph's linear layers is.

    bounds: by the tensor's name, float32, shape (2, channels): the least and the greatest value that texts gave.
    """

    bounds: Mapping[str, Float32Array]

    @property
    def digest(self) -> str:
        """Names the bounds: 16 hexadecimal characters."""
        found = hashlib.sha256()
        for name in sorted(self.bounds):
            found.update(name.encode() + b"\0" + self.bounds[name].astype("<f4").tobytes())
        return found.hexdigest()[:16]

    @classmethod
    def read(cls, path: Path) -> Ranges:
        """Read what `write` wrote. Raises InvalidFile."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                bounds = {name: arrays[name].astype(np.float32) for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as exc:
            raise InvalidFile(f"{path} holds no ranges for int8: {exc}", field="embedder") from exc
        for name, each in bounds.items():
            if each.ndim != 2 or len(each) != 2 or not np.isfinite(each).all():
                raise InvalidFile(
                    f"{path}: bounds of {name} have shape {each.shape}, expected (2, channels), all finite",
                    field="embedder",
                )
        return cls(bounds)

    def write(self, path: Path) -> None:
        """Keep the bounds in half precision: far finer than the steps between them."""
        halves = {name: each.astype(np.float16) for name, each in self.bounds.items()}
        np.savez_compressed(path, allow_pickle=False, **halves)


def linear_layers(model: Any) -> dict[str, tuple[Any, list[Any]]]:
    """What flows into the linear layers of an `openvino.Model`: (output, the layers it feeds) by the tensor's name.

    A linear layer multiplies by a constant matrix, (channels in, channels out).
    """
    found: dict[str, tuple[Any, list[Any]]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or any(node.get_attributes().values()):  # either side transposed
            continue
        flow, weights = (node.input(at).get_source_output() for at in (0, 1))
        if weights.get_node().get_type_name() == "Constant" and len(weights.get_partial_shape()) == 2:
            found.setdefault(min(flow.get_names()), (flow, []))[1].append(node)
    return found


def quantize(model: Any, ranges: Ranges, graph: Path) -> None:
    """Turn the linear layers of an `openvino.Model` into integers, in place.

    graph: its file, for messages. Raises InvalidFile where the ranges are another graph's.
    """
    from openvino import opset13 as ops  # noqa: PLC0415

    found = linear_layers(model)
    if not found or set(found) != set(ranges.bounds):
        raise InvalidFile(f"{graph} is not the graph that its ranges for int8 were measured on", field="embedder")
    for name, (flow, layers) in found.items():
        weights = [np.array(layer.input(1).get_source_output().get_node().data, np.float32) for layer in layers]
        bounds = ranges.bounds[name]
        if any(len(each) != bounds.shape[1] for each in weights):
            raise InvalidFile(
                f"{graph}: the ranges for int8 of {name} have {bounds.shape[1]} channels", field="embedder"
            )
        smooth = _smoothing(bounds, weights)
        low, high = (np.float32(bound) for bound in _with_zero(bounds / smooth))
        smoothed = ops.multiply(flow, ops.constant(1 / smooth))
        rounded = ops.fake_quantize(smoothed, *(ops.constant(bound) for bound in (low, high, low, high)), _STEPS)
        for layer, each in zip(layers, weights, strict=True):
            integers, scale = _rounded(each * smooth[:, None])
            stored = ops.multiply(ops.convert(ops.constant(integers), "f32"), ops.constant(scale))
            layer.input(0).replace_source_output(rounded.output(0))
            layer.input(1).replace_source_output(stored.output(0))
    model.validate_nodes_and_infer_types()


def _smoothing(bounds: Float32Array, weights: list[Float32Array]) -> Float32Array:
    """By how much each channel of the flow is narrowed, and the weights that read it widened: (channels,)."""
    flow = np.maximum(np.abs(bounds).max(axis=0), _LEAST)
    read = np.maximum(np.max([np.abs(each).max(axis=1) for each in weights], axis=0), _LEAST)
    narrowed: Float32Array = (flow**SMOOTHING / read ** (1 - SMOOTHING)).astype(np.float32)
    return narrowed


def _with_zero(bounds: Float32Array) -> tuple[float, float]:
    """The least and the greatest of all channels, moved apart so that zero is exactly one of the steps.

    Padding and what a GELU silences are zeros, or nearly; they must stay so.
    """
    low, high = min(float(bounds.min()), -_LEAST), max(float(bounds.max()), _LEAST)
    step = (high - low) / (_STEPS - 1)
    below = max(1, round(-low / step))
    step = max(-low / below, high / (_STEPS - 1 - below)) if below < _STEPS - 1 else -low / below
    return -step * below, step * (_STEPS - 1 - below)


def _rounded(weights: Float32Array) -> tuple[np.ndarray[Any, np.dtype[np.int8]], Float32Array]:
    """(int8, the size of a step by output channel, shape (1, channels))."""
    scale = np.maximum(np.abs(weights).max(axis=0, keepdims=True), _LEAST) / np.float32(_LARGEST)
    return np.rint(weights / scale).astype(np.int8), scale.astype(np.float32)
