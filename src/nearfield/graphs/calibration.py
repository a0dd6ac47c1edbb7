"""Measures, on texts, how wide the flow into a graph's linear layers gets: what `int8` needs to know, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.domain.errors import InvalidFile
from nearfield.graphs.int8 import Ranges, linear_layers
from nearfield.graphs.openvino_session import openvino_core
from nearfield.graphs.session import inputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nearfield.domain.documents import Int64Array


def observed(graph: Path, texts: Iterable[Int64Array]) -> Ranges:
    """Run texts through a graph in float32. Each is a run of its own: padding would count as text.

    texts: token ids of one text each, shape (tokens,), at least one. Raises InvalidFile, MissingDependency.
    """
    core = openvino_core()
    from openvino import opset13 as ops  # noqa: PLC0415 - after the core, which imports it the quick way

    model = core.read_model(str(graph))
    flows = {name: flow for name, (flow, _) in linear_layers(model).items()}
    if not flows:
        raise InvalidFile(f"{graph} has no linear layers that int8 knows", field="embedder")
    first = len(model.outputs)
    for flow in flows.values():
        across = np.arange(len(flow.get_partial_shape()) - 1)
        model.add_outputs([reduce(flow, across, False).output(0) for reduce in (ops.reduce_min, ops.reduce_max)])
    inputs = [port.get_any_name() for port in model.inputs]
    request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    bounds: list[Any] = [np.inf, -np.inf] * len(flows)
    for ids in texts:
        row = ids[None, :]
        request.infer(inputs_of(inputs, row, np.ones_like(row), None))
        for at in range(len(bounds)):
            wider = np.maximum if at % 2 else np.minimum
            bounds[at] = wider(bounds[at], request.get_output_tensor(first + at).data)
    return Ranges({name: np.stack(bounds[2 * at : 2 * at + 2]) for at, name in enumerate(flows)})
