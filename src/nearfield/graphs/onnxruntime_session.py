"""Runs a text model's graph in ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from nearfield.domain.errors import InvalidFile, MissingDependency
from nearfield.graphs.session import inputs_of

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.graphs.use import GraphUse


class OnnxRuntimeSession:
    """See `GraphSession`. Computes in float32."""

    def __init__(self, graph: Path, use: GraphUse, *, threads: int) -> None:
        """threads: 0 means one per core. Raises InvalidFile, MissingDependency."""
        try:
            import onnxruntime  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependency(
                "onnxruntime is not installed; pip install 'nearfield[onnxruntime]', or set runtime to openvino",
                field="runtime",
            ) from exc
        self._use = use
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Idle threads that spin would take the cores from the other session.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # its errors share no class below Exception
            raise InvalidFile(f"onnxruntime cannot read {graph}: {exc}", field=use.field) from exc
        self._inputs = [port.name for port in self._session.get_inputs()]
        use.check_inputs(self._inputs, graph)
        outputs = self._session.get_outputs()
        self._output = outputs[use.pick([([port.name], len(port.shape)) for port in outputs], graph)].name

    def run(self, ids: Int64Array, mask: Int64Array, types: Int64Array | None = None) -> Float32Array:
        """See `GraphSession.run`."""
        feed = inputs_of(self._inputs, ids, mask, types)
        try:
            return cast("Float32Array", self._session.run([self._output], feed)[0])
        except Exception as exc:  # its errors share no class below Exception
            raise self._use.unavailable(f"onnxruntime failed on {ids.shape} tokens: {exc}") from exc
